"""Optimizer classes, such as ``torch.optim.AdamW``, as plugins.

Its constructor's first parameter is filled in: the parameters of the model, the model where it is called ``model``, or
an optimizer of another class where it is called ``optimizer``. The others are hyper-parameters. A class says neither
whether it trains matrices alone (``torch.optim.Muon``), nor whether it evaluates the loss again or differentiates the
gradient: that are further hyper-parameters, so that a record and its tables tell it.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from ngbench.errors import ParameterError, PluginError
from ngbench.plugins.located import locate
from ngbench.plugins.parameters import Parameter, Range, parameters_of

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = [
    "beside_the_point",
    "build_from_class",
    "check_class",
    "class_parameters",
    "is_optimizer_class",
    "step_needs_closure",
]

_MODEL = "model"
_WRAPPED = "optimizer"
# By this key of its parameter groups, Keller Jordan's Muon and those after it know which parameters are matrices.
_MATRICES_KEY = "use_muon"
_FOUNDATIONS = ("torch.optim.optimizer", "builtins", "typing", "abc")
# The documentation of torch.optim.Muon: it takes matrices; "other parameters, such as bias, and embedding, should be
# optimized by a standard method such as AdamW".
_OTHERS_OF = {"torch.optim.Muon": "torch.optim.AdamW"}


class _Nobody:
    """The default of a hyper-parameter that no record needs to tell, unless it is given."""

    def __repr__(self) -> str:
        return "none"


_RATE = Annotated[float, Range(above=0)]
_ABOUT = {
    "others": (str, "the class, by where it is, that trains the parameters that are no matrices"),
    "others_lr": (_RATE, "learning rate of that class; its own default if not given"),
    "needs_closure": (bool, "whether a step evaluates loss and gradient again, as sharpness-aware ones do"),
    "needs_graph": (bool, "whether a step differentiates the gradient, as estimates of the Hessian do"),
}
_ABOUT_WRAPPED = {
    "optimizer": (str, "the class, by where it is, of the optimizer that is wrapped"),
    "optimizer_lr": (_RATE, "learning rate of that class; its own default if not given"),
}


def optimizer_class(name: str) -> type[torch.optim.Optimizer]:
    """The optimizer class of ``name``, which says where it is.

    Raises:
        PluginError: it cannot be imported or is no optimizer class.
        UnknownNameError: the module has nothing of that name.
    """
    return check_class(name, locate(name, "optimizer", "class", is_optimizer_class).found)


def check_class(name: str, found: Any) -> type[torch.optim.Optimizer]:
    """What was found under ``name``, an optimizer class.

    Raises:
        PluginError: it is not.
    """
    if not is_optimizer_class(found):
        raise PluginError(f"optimizer {name!r} is not allowed, it must be a subclass of torch.optim.Optimizer")
    return found  # type: ignore[no-any-return]


def is_optimizer_class(value: Any) -> bool:
    """Whether the object is a subclass of ``torch.optim.Optimizer``."""
    import torch

    base = torch.optim.Optimizer
    return isinstance(value, type) and issubclass(value, base) and value is not base


def class_parameters(name: str, found: type[torch.optim.Optimizer]) -> tuple[Parameter, ...]:
    """The hyper-parameters of the class: its own, then how it is used.

    Args:
        name: by which the class was found.
        found: the class.
    """
    initialise: Any = found.__init__
    own = [parameter for parameter in parameters_of(initialise, skip=2, lenient=True) if parameter.name != "params"]
    wraps = _arguments(found)[:1] == [_WRAPPED]
    about = {**(_ABOUT_WRAPPED if wraps else {}), **_ABOUT}
    used = [
        Parameter(
            key,
            annotation,
            _OTHERS_OF.get(name, _Nobody()) if key == "others" else _Nobody(),
            required=key == _WRAPPED,
            description=description,
        )
        for key, (annotation, description) in about.items()
        if key not in {parameter.name for parameter in own}
    ]
    return (*own, *used)


def beside_the_point(name: str) -> frozenset[str]:
    """Hyper-parameters that nobody asks for: how else to use a class of torch that trains parameters of any shape."""
    return frozenset(_ABOUT) if name.startswith("torch.optim.") and name not in _OTHERS_OF else frozenset()


def build_from_class(
    found: type[torch.optim.Optimizer], model: nn.Module, hyperparameters: Mapping[str, Any]
) -> torch.optim.Optimizer:
    """The optimizer of the class on the parameters of ``model``, or on its matrices if another has the ``others``.

    Raises:
        ParameterError: there is no matrix, or a learning rate for others that there are not.
        PluginError, UnknownNameError: a hyper-parameter names no optimizer class.
    """
    own = dict(hyperparameters)
    others, rate = own.pop("others", None), own.pop("others_lr", None)
    told = {key: own.pop(key) for key in ("needs_closure", "needs_graph") if key in own}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in trained if parameter.ndim == 2]
    rest = [parameter for parameter in trained if parameter.ndim != 2]
    if others is None:
        if rate is not None:
            raise ParameterError(f"others_lr={rate:g} is not allowed without others=PACKAGE.MODULE.CLASS")
        parameters: Any = model.parameters()
        if _asks_for_groups(found):
            parameters = [{"params": part, _MATRICES_KEY: part is matrices} for part in (matrices, rest) if part]
        built = _construct(found, model, parameters, own)
    else:
        from ngbench.plugins.combined import CombinedOptimizer

        if not matrices:
            raise ParameterError(f"others={others} is not allowed: the model has no parameter that is a matrix")
        if _arguments(found)[:1] == [_MODEL]:
            raise ParameterError(f"others={others} is not allowed: {found.__name__} takes the whole model")
        second = optimizer_class(others)
        if told.get("needs_closure") or any(map(step_needs_closure, (found, second))):
            raise ParameterError(f"others={others} is not allowed where a step evaluates the loss again")
        built = _construct(found, model, matrices, own)
        if rest:
            built = CombinedOptimizer([built, second(rest, **_learning_rate(rate))])
    for key, value in told.items():
        setattr(built, key, value)
    return built


def _construct(
    found: type[torch.optim.Optimizer], model: nn.Module, parameters: Iterable[Any], own: dict[str, Any]
) -> torch.optim.Optimizer:
    """The optimizer, with what its constructor's first parameter asks for, and classes where it wants some."""
    first: Any = parameters
    if _arguments(found)[:1] == [_MODEL]:
        first = model
    elif _arguments(found)[:1] == [_WRAPPED]:
        first = optimizer_class(own.pop(_WRAPPED))(parameters, **_learning_rate(own.pop("optimizer_lr", None)))
    classes = {key: optimizer_class(value) for key, value in own.items() if "optimizer" in key and _names_class(value)}
    if "params" in _arguments(found)[1:]:
        own["params"] = parameters
    build: Any = found
    built: torch.optim.Optimizer = build(first, **{**own, **classes})
    return built


def _arguments(found: type[torch.optim.Optimizer]) -> list[str]:
    initialise: Any = found.__init__
    return [*inspect.signature(initialise).parameters][1:]


def _names_class(value: Any) -> bool:
    return isinstance(value, str) and "." in value


def _learning_rate(rate: float | None) -> dict[str, Any]:
    return {} if rate is None else {"lr": rate}


def _asks_for_groups(found: type[torch.optim.Optimizer]) -> bool:
    """Whether the class wants to be told in its parameter groups which parameters are matrices."""
    return any(_MATRICES_KEY in _source(part) for part in found.__mro__ if part.__module__ not in _FOUNDATIONS)


def _source(part: type) -> str:
    try:
        return inspect.getsource(part)
    except (OSError, TypeError):
        return ""


def step_needs_closure(kind: type[torch.optim.Optimizer]) -> bool:
    """Whether ``step`` of the class cannot be called without arguments."""
    parameters = inspect.signature(kind.step).parameters.values()
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    required = [p for p in parameters if p.default is p.empty and p.kind not in kinds]
    return len(required) > 1
