"""What an approximation says of itself beside what it computes: its name, what it costs, and how it is damped."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeVar

from ngbench.curvature.blocks.block import FisherBlock
from ngbench.curvature.bounds import Radius, checked
from ngbench.curvature.kronecker.estimate import Approximation, Estimate

__all__ = ["PredictedCost", "Setting", "at_radius", "declaration_of", "declares", "described", "options_of"]

F = TypeVar("F", bound=Callable[..., Estimate])


@dataclass(frozen=True)
class Setting:
    """One layer in one run, for predictions.

    Attributes:
        d_in: columns of the weight matrix, the bias column included.
        d_out: its rows.
        positions: T.
        examples: m of an estimate.
        options: of the approximation, by name.
    """

    d_in: int
    d_out: int
    positions: int
    examples: int
    options: Mapping[str, Any]


@dataclass(frozen=True)
class PredictedCost:
    """What a phase is predicted to cost for one layer.

    Attributes:
        order: the formula, as a table shows it.
        operations: floating-point operations, a multiplication and its addition counted as two.
        per_iteration: further ones for each iteration that the estimate takes.
    """

    order: str
    operations: float
    per_iteration: float = 0.0


@dataclass(frozen=True)
class Declaration:
    """What an approximation may say of itself.

    Attributes:
        costs: of one layer, by phase: ``accumulate``, ``refresh`` and ``precondition``.
        damping_by_positions: whether λ is divided by the number of positions of a layer that has several. It is in the
            published runs of KFAC and its relatives, under factored damping, and under normal damping so that one λ
            means the same for both kinds; (4.54) itself has λ.
    """

    costs: Callable[[Setting], Mapping[str, PredictedCost]] = lambda setting: {}
    damping_by_positions: bool = True


def declares(**declared: Any) -> Callable[[F], F]:
    """Have an approximation declare what :class:`Declaration` has fields for."""
    declaration = Declaration(**declared)

    def decorate(approximation: F) -> F:
        approximation.declaration = declaration  # type: ignore[attr-defined]
        return approximation

    return decorate


def declaration_of(approximation: Approximation) -> Declaration:
    """What an approximation declares, whatever options it was given."""
    found: Declaration = getattr(_function(approximation), "declaration", Declaration())
    return found


def options_of(approximation: Approximation) -> dict[str, Any]:
    """The options of an approximation by name, defaults included."""
    parameters = inspect.signature(_at_all_radii(approximation)).parameters.values()
    return {parameter.name: parameter.default for parameter in parameters if parameter.default is not parameter.empty}


def described(approximation: Approximation) -> str:
    """What approximates, in words that are equal where running averages may be continued: ``"deflation of rank 2"``."""
    function = _function(approximation)
    name = getattr(function, "__qualname__", type(function).__qualname__)
    rank = options_of(approximation).get("rank")
    found = name if rank is None else f"{name} of rank {rank}"
    whole = _at_all_radii(approximation)
    return found if whole is approximation else f"{found} within {_radius(approximation)} positions"


@checked
def at_radius(approximation: Approximation, positions: Radius) -> Approximation:
    """``approximation`` of the block cut off at pairs of positions that are at most ``positions`` apart (3.35-3.36).

    With ``"filter"`` these are, in each layer, as many as its own filter is wide (3.4.3).
    """
    if positions == "all":
        return approximation
    return partial(_truncated, approximation=approximation, positions=positions)


def _truncated(
    block: FisherBlock, previous: Any, *, approximation: Approximation, positions: int | Literal["filter"]
) -> Estimate:
    return approximation(block.truncated(positions), previous)


def _at_all_radii(approximation: Approximation) -> Approximation:
    if isinstance(approximation, partial) and approximation.func is _truncated:
        whole: Approximation = approximation.keywords["approximation"]
        return whole
    return approximation


def _radius(approximation: Approximation) -> Any:
    assert isinstance(approximation, partial)
    return approximation.keywords["positions"]


def _function(approximation: Approximation) -> Callable[..., Estimate]:
    function: Callable[..., Estimate] = _at_all_radii(approximation)
    while isinstance(function, partial):
        function = function.func
    return function
