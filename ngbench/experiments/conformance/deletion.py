"""That an optimizer leaves nothing behind once it is deleted."""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from typing import Any

from torch import nn
from torch.nn.modules import module as global_hooks

from ngbench.experiments.conformance.costs import only_new_objects
from ngbench.experiments.conformance.outcome import CheckFailed, Passed
from ngbench.experiments.conformance.trial import OptimizerSubject, Trial

__all__ = ["check_hooks"]

_OF_MODULES = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)
_OF_PARAMETERS = ("_backward_hooks", "_post_accumulate_grad_hooks")


def check_hooks(subject: OptimizerSubject) -> Passed:
    """Hooks on the model and on its parameters go with the optimizer, and nothing keeps it alive."""
    before: Counter[str] = Counter()
    with only_new_objects():
        trial = Trial(subject, alter=lambda model: before.update(_hooks(model)))
        used = (_hooks(trial.model) - before).total()
        trial.run(2)
        optimizer = weakref.ref(trial.optimizer)
        del trial.optimizer
        gc.collect()
    left = _hooks(trial.model) - before
    if left:
        place, count = left.most_common(1)[0]
        raise CheckFailed(
            f"{count} hook{'s stay' if count > 1 else ' stays'} on the {place} after the optimizer was deleted: keep "
            "the handles, remove them in weakref.finalize(self, ...), and let hooks refer to the optimizer by "
            "weakref.ref alone"
        )
    if optimizer() is not None:
        raise CheckFailed(
            "the optimizer stays alive after it was deleted: something that outlives it (the model, a module's "
            "variable) refers to it; use weakref.ref"
        )
    return Passed(f"{used} hooks, all gone" if used else "none")


def _hooks(model: nn.Module) -> Counter[str]:
    """How many hooks there are, by place: on the modules of the model, its parameters, and on all modules."""
    found: Counter[str] = Counter()
    for name, module in model.named_modules():
        for kind in _OF_MODULES:
            found[f"module {name!r}" if name else "model"] += _count(getattr(module, kind, None))
    for name, parameter in model.named_parameters():
        for kind in _OF_PARAMETERS:
            found[f"parameter {name!r}"] += _count(getattr(parameter, kind, None))
    for kind, hooks in vars(global_hooks).items():
        if kind.startswith("_global_") and kind.endswith("hooks"):
            found["modules of all models (register_module_..._hook)"] += _count(hooks)
    return found


def _count(hooks: Any) -> int:
    return len(hooks) if hooks else 0
