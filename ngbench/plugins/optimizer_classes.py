"""Optimizer classes, such as ``torch.optim.AdamW``, as plugins.

A class that trains matrices alone (``torch.optim.Muon``) leaves biases and the weights of convolutions to another
class. Which one is the hyper-parameter ``others``, so that a record and its tables say it.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from ngbench.errors import ParameterError, PluginError
from ngbench.plugins.located import locate
from ngbench.plugins.parameters import Parameter, Range, parameters_of

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["build_from_class", "check_class", "class_parameters", "is_optimizer_class"]

OTHERS = "others"
OTHERS_LR = "others_lr"
# The documentation of torch.optim.Muon: it takes matrices; "other parameters, such as bias, and embedding, should be
# optimized by a standard method such as AdamW".
_OTHERS_OF = {"torch.optim.Muon": "torch.optim.AdamW"}


class _Nobody:
    """The default of ``others`` where the class itself trains everything."""

    def __repr__(self) -> str:
        return "none"


def optimizer_class(name: str) -> type[torch.optim.Optimizer]:
    """The optimizer class of ``name``, which says where it is.

    Raises:
        PluginError: it cannot be imported, is no optimizer class, or its ``step`` cannot be called without a closure.
        UnknownNameError: the module has nothing of that name.
    """
    return check_class(name, locate(name, "optimizer", "class", is_optimizer_class).found)


def check_class(name: str, found: Any) -> type[torch.optim.Optimizer]:
    """What was found under ``name``, an optimizer class whose ``step`` needs no closure.

    Raises:
        PluginError: it is not.
    """
    if not is_optimizer_class(found):
        raise PluginError(f"optimizer {name!r} is not allowed, it must be a subclass of torch.optim.Optimizer")
    closure = inspect.signature(found.step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise PluginError(
            f"optimizer {name!r} is not allowed, its step must not need a closure that evaluates the loss"
        )
    return found  # type: ignore[no-any-return]


def is_optimizer_class(value: Any) -> bool:
    """Whether the object is a subclass of ``torch.optim.Optimizer``."""
    import torch

    base = torch.optim.Optimizer
    return isinstance(value, type) and issubclass(value, base) and value is not base


def class_parameters(name: str, found: type[torch.optim.Optimizer]) -> tuple[Parameter, ...]:
    """The hyper-parameters of the class: its own, then which class trains the parameters that are no matrices.

    Args:
        name: by which the class was found.
        found: the class.
    """
    initialise: Any = found.__init__
    others = Parameter(
        OTHERS,
        str,
        _OTHERS_OF.get(name, _Nobody()),
        description="the class, by where it is, that trains the parameters that are no matrices",
    )
    rate = Parameter(
        OTHERS_LR,
        Annotated[float, Range(above=0)],
        _Nobody(),
        description="learning rate of that class; its own default if not given",
    )
    return (*parameters_of(initialise, skip=2, lenient=True), others, rate)


def build_from_class(
    found: type[torch.optim.Optimizer], model: nn.Module, hyperparameters: Mapping[str, Any]
) -> torch.optim.Optimizer:
    """The optimizer of the class on the parameters of ``model``, or on its matrices if another has the ``others``.

    Raises:
        ParameterError: there is no matrix, or a learning rate for others that there are not.
    """
    own = {key: value for key, value in hyperparameters.items() if key not in (OTHERS, OTHERS_LR)}
    others, rate = hyperparameters.get(OTHERS), hyperparameters.get(OTHERS_LR)
    if others is None:
        if rate is not None:
            raise ParameterError(f"{OTHERS_LR}={rate:g} is not allowed without {OTHERS}=PACKAGE.MODULE.CLASS")
        return found(model.parameters(), **own)
    from ngbench.plugins.combined import CombinedOptimizer

    second = optimizer_class(others)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in trained if parameter.ndim == 2]
    rest = [parameter for parameter in trained if parameter.ndim != 2]
    if not matrices:
        raise ParameterError(f"{OTHERS}={others} is not allowed: the model has no parameter that is a matrix")
    first = found(matrices, **own)
    if not rest:
        return first
    return CombinedOptimizer([first, second(rest, **({} if rate is None else {"lr": rate}))])
