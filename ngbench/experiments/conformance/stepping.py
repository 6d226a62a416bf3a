"""That an optimizer takes steps, the same ones each time, and names their phases."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

from ngbench.errors import NgbenchError, PluginError
from ngbench.experiments.conformance.outcome import CheckFailed, CheckNotApplicable, Passed, raised
from ngbench.experiments.conformance.trial import OptimizerSubject, Trial, differ
from ngbench.measurement.phases import PHASES, no_phase
from ngbench.plugins.protocol import measured

__all__ = ["check_determinism", "check_measured", "check_phases", "check_step"]

STEPS = 6


def check_step(subject: OptimizerSubject) -> Passed:
    """It is built with its defaults and moves the parameters."""
    try:
        trial = Trial(subject)
        before = trial.parameters()
        trial.run(2)
    except NgbenchError as error:
        raise CheckFailed(f"{error}; nothing else can be checked", fatal=True) from error
    except Exception as error:
        raise CheckFailed(
            f"it raised {raised(error)} on a small convolutional network; run ngbench train with NGBENCH_TRACEBACK=1 "
            "to see where",
            fatal=True,
        ) from error
    moved = differ(before, trial.parameters())
    if not moved:
        raise CheckFailed("two steps moved no parameter: step() must update them in place", fatal=True)
    if not all(torch.isfinite(tensor).all() for tensor in trial.parameters().values()):
        raise CheckFailed("two steps with the defaults left NaN or infinite parameters: lower the default step size")
    return Passed(f"moved {len(moved)} of {len(before)} parameters")


def check_determinism(subject: OptimizerSubject) -> Passed:
    """Two runs with the same seed are the same bit for bit."""
    first, second = Trial(subject), Trial(subject)
    for step in range(1, STEPS + 1):
        first.step()
        second.step()
        if changed := differ(first.parameters(), second.parameters()):
            raise CheckFailed(
                f"two runs with one seed differ at step {step} in {changed[0]}: draw random numbers from torch's "
                "global generator, or from one that is seeded by it"
            )
    return Passed(f"{STEPS} steps bit for bit")


def check_phases(subject: OptimizerSubject) -> Passed:
    """An optimizer that names its phases uses the names that there are."""
    trial = Trial(subject)
    told = measured(trial.optimizer)
    if not told.names_phases:
        raise CheckNotApplicable("it has no attribute phase: it is timed as a whole")
    named: set[str] = set()

    def phase(name: str) -> AbstractContextManager[None]:
        named.add(name)
        return no_phase(name)

    told.report_to(phase)
    trial.run(2)
    unknown = sorted(named - set(PHASES))
    if unknown:
        raise CheckFailed(f"phase {unknown[0]!r} is not one of {', '.join(PHASES)}")
    if not named:
        raise CheckFailed(
            "it has an attribute phase and enters none: wrap its work in self.phase('update') and the like"
        )
    return Passed(", ".join(sorted(named, key=PHASES.index)))


def check_measured(subject: OptimizerSubject) -> Passed:
    """What else it tells of a step is what a record can hold."""
    trial = Trial(subject)
    told = measured(trial.optimizer)
    told.diagnose()
    modules = dict(trial.model.named_modules())
    try:
        for _ in range(2):
            trial.run(1)
            _ = told.refreshed, told.diagnostics()
        layers = told.layers()
    except PluginError as error:
        raise CheckFailed(str(error)) from error
    for layer in layers:
        if layer.name not in modules:
            raise CheckFailed(f"layers() names {layer.name!r}, which is no module of the model: see named_modules()")
    return Passed(", ".join(told.parts) or "it tells nothing, as a plain optimizer")
