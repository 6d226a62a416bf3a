"""That models of other floating-point types are trained: their weights move, and where those of float32 do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor

from ngbench.experiments.conformance.convergence import learning_rates
from ngbench.experiments.conformance.moves import dtype_name, expect_types
from ngbench.experiments.conformance.outcome import CheckFailed, Passed, raised
from ngbench.experiments.conformance.trial import CPU, OptimizerSubject, Trial

__all__ = ["check_dtype"]

Result = TypeVar("Result")

DTYPES = (torch.float64, torch.bfloat16)
STEPS = 3
LEAST_MOVED = 0.9
"""Of the elements that float32 moves by more than the type resolves, the share that must move."""
LEAST_COSINE = 0.9
"""Of a step with that of float32; gradients that were computed in bfloat16 leave some 0.99."""
ENOUGH = 0.5
"""Of the elements that move in float32, the share that must do so by more than the type resolves: from smaller steps
nothing can be seen, and another learning rate is tried."""


@dataclass
class _Moves:
    """What a few steps did in a type, beside those of float32 from the same weights.

    Attributes:
        seen: by parameter, the elements with a gradient that float32 moved by more than the type resolves.
        moved: of these, those that moved.
        moving: all elements that float32 moved.
        cosine: the least of all steps.
    """

    seen: Counter[str] = field(default_factory=Counter)
    moved: Counter[str] = field(default_factory=Counter)
    moving: int = 0
    cosine: float = 1.0

    @property
    def share(self) -> float:
        """Of the elements that should move, those that did."""
        return self.moved.total() / self.seen.total() if self.seen.total() else 1.0

    @property
    def shown(self) -> float:
        """Of the elements that move, those that must be seen to."""
        return self.seen.total() / self.moving if self.moving else 0.0


def check_dtype(subject: OptimizerSubject) -> Passed:
    """Models of float64 and bfloat16 are trained in their own type, as those of float32 are."""
    found = [_check(subject, dtype) for dtype in DTYPES]
    worst = min(found, key=lambda moves: moves.cosine)
    if not all(moves.seen for moves in found):
        return Passed("float64 and bfloat16, whose steps are all smaller than what bfloat16 resolves")
    share = min(moves.share for moves in found)
    return Passed(
        f"float64 and bfloat16: {share:.0%} of the weights move, by steps of cosine {worst.cosine:.3f} with those of "
        "float32",
        {"cosine": worst.cosine, "moved": share},
    )


def _check(subject: OptimizerSubject, dtype: torch.dtype) -> _Moves:
    name = dtype_name(dtype)
    best = _Moves()
    for _, changes in learning_rates(subject):
        best = max(best, _compare(subject, dtype, changes), key=lambda moves: moves.shown)
        if best.shown >= ENOUGH:
            break
    still = [parameter for parameter in best.seen if not best.moved[parameter]]
    if still or best.share < LEAST_MOVED:
        which = f"{still[0]} stands" if still else f"{1 - best.share:.0%} of the weights stand"
        raise CheckFailed(
            f"{which} still in {name} where float32 moves by more than {name} resolves: update every element, with a "
            f"kernel that is right in {name}"
        )
    if best.seen and best.cosine < LEAST_COSINE:
        raise CheckFailed(
            f"a step in {name} has cosine {best.cosine:.3f} with that of float32 from the same weights, it must be at "
            f"least {LEAST_COSINE:g}: compute in a wider type what {name} is too coarse for"
        )
    return best


def _compare(subject: OptimizerSubject, dtype: torch.dtype, changes: dict[str, float]) -> _Moves:
    """Some steps in ``dtype``, and at each of them that of float32 from the same weights, as long as that is finite."""
    moves = _Moves()
    reference = Trial(subject, changes=changes)
    trial = _tried(dtype, lambda: Trial(subject, dtype=dtype, changes=changes))
    for _ in range(STEPS):
        reference.model.load_state_dict(trial.model.state_dict())
        start = reference.parameters()
        try:
            reference.step()
        except ArithmeticError:
            break
        right = reference.parameters()
        if not all(end.isfinite().all() for end in right.values()):
            break
        _tried(dtype, trial.step)
        expect_types(trial, dtype, CPU)
        _add(moves, trial, right, start)
    return moves


def _add(moves: _Moves, trial: Trial, right: dict[str, Tensor], start: dict[str, Tensor]) -> None:
    eps = max(torch.finfo(trial.dtype).eps, torch.finfo(torch.float32).eps)
    products = torch.zeros(3, dtype=torch.float64)
    for name, parameter in trial.model.named_parameters():
        made, step = (end.double() - start[name].double() for end in (parameter.detach(), right[name]))
        seen = step.abs() > eps * torch.maximum(start[name].abs(), right[name].abs())
        if parameter.grad is not None:
            # A gradient that is zero but for rounding may be zero in one type alone.
            seen &= parameter.grad != 0
        moves.moving += int((step != 0).sum())
        if seen.any():
            moves.seen[name] += int(seen.sum())
            moves.moved[name] += int((made[seen] != 0).sum())
        made, step = made[seen], step[seen]
        products += torch.stack([(made * step).sum(), made.square().sum(), step.square().sum()])
    product, own, other = products.tolist()
    if other:
        moves.cosine = min(moves.cosine, product / (own * other) ** 0.5 if own else 0.0)


def _tried(dtype: torch.dtype, action: Callable[[], Result]) -> Result:
    try:
        return action()
    except Exception as error:
        raise CheckFailed(
            f"a model in {dtype_name(dtype)} raised {raised(error)}; make buffers in the type of the parameter "
            "(torch.zeros_like) and convert what is computed in another"
        ) from error
