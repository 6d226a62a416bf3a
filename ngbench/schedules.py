"""How a learning rate goes over a run: the texts that say it, and what they mean at each step. Loads no torch."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from ngbench.errors import ParameterError
from ngbench.spelling import argument
from ngbench.values import format_value, read_literal

__all__ = ["CONSTANT", "NO_WARMUP", "SCHEDULES", "as_schedule", "as_warmup", "relative_rate"]

CONSTANT = "constant"
NO_WARMUP = "0"
SCHEDULES = "constant|linear|cosine|power:EXPONENT|steps:FACTOR@EPOCH/..."
_TO_THE_END = ("linear", "cosine")
_EPOCHS = re.compile(r"(\d+(?:\.\d+)?) *epochs?", re.ASCII)
_LONGEST = 10**9


def as_schedule(value: Any) -> str:
    """The schedule that is meant, as a record has it.

    >>> as_schedule("steps: 0.10@30/60/80")
    'steps:0.1@30/60/80'

    Raises:
        ParameterError: it is none.
    """
    shape, number, epochs = _parsed(str(value))
    after = f"@{format_value(epochs)}" if epochs else ""
    return shape if number is None else f"{shape}:{format_value(number)}{after}"


def as_warmup(value: Any) -> str:
    """The length of a warm-up, as a record has it: steps, or epochs.

    >>> as_warmup(500), as_warmup("5 epochs")
    ('500', '5epochs')

    Raises:
        ParameterError: it is none.
    """
    text = str(value).strip()
    epochs = _EPOCHS.fullmatch(text)
    number = read_literal(epochs[1] if epochs else text)
    if not _is_number(number, least=0) or not (epochs or isinstance(number, int)) or number > _LONGEST:
        raise ParameterError(f"warmup={text} is not allowed, it must be steps such as 500, or epochs such as 5epochs")
    return f"{number}epochs" if epochs else str(number)


@dataclass(frozen=True)
class RelativeRate:
    """What the learning rate is multiplied with at each step t, counted from 0: ``min(1, (t + 1) / W) · s(t)``.

    W is the warm-up, T the end of the run, and ``x = max(0, t − W) / (T − W)``. s(t) is 1 for ``constant``, ``1 − x``
    for ``linear``, ``(1 + cos πx) / 2`` for ``cosine``, ``(max(1, W) / (t + 1))^p`` after the warm-up for ``power:p``,
    and for ``steps:f@…`` f to the power of how many of the milestones lie at or before t.

    Attributes:
        shape: the schedule's name.
        number: p or f.
        milestones: in steps.
        warmup: W.
        end: T, where the shape needs it.
    """

    shape: str = CONSTANT
    number: float = 1.0
    milestones: tuple[int, ...] = ()
    warmup: int = 0
    end: int = 0

    @property
    def changes(self) -> bool:
        """Whether it is anything but 1."""
        return self.shape != CONSTANT or self.warmup > 0

    def __call__(self, step: int) -> float:
        """The factor at the step, counted from 0."""
        rising = 1.0 if step >= self.warmup else (step + 1) / self.warmup
        return rising * self._scheduled(step)

    def _scheduled(self, step: int) -> float:
        if self.shape == "power":
            return float(max(1.0, (step + 1) / max(1, self.warmup)) ** -self.number)
        if self.shape == "steps":
            return float(self.number ** sum(milestone <= step for milestone in self.milestones))
        if step < self.warmup or self.shape == CONSTANT:
            return 1.0
        past = (step - self.warmup) / (self.end - self.warmup)
        return 1 - past if self.shape == "linear" else (1 + math.cos(math.pi * past)) / 2


def relative_rate(schedule: str, warmup: str, *, epoch_steps: int, end: int | None) -> RelativeRate:
    """The meaning of both texts for a run.

    Args:
        schedule: see :func:`as_schedule`.
        warmup: see :func:`as_warmup`.
        epoch_steps: steps of an epoch.
        end: how many steps the run has at most, if that is known.

    Raises:
        ParameterError: a text is none, or the schedule needs an end that is not known.
    """
    shape, number, epochs = _parsed(schedule)
    if shape in _TO_THE_END and end is None:
        raise ParameterError(
            f"schedule={schedule} is not allowed with a time limit alone, since it falls towards the last step: give "
            f"{argument('epochs')} or {argument('steps')} as well"
        )
    length = as_warmup(warmup)
    rise = round(float(length.removesuffix("epochs")) * epoch_steps) if length.endswith("epochs") else int(length)
    milestones = tuple(round(epoch * epoch_steps) for epoch in epochs)
    return RelativeRate(shape, 1.0 if number is None else number, milestones, rise, end or 0)


def _parsed(text: str) -> tuple[str, float | None, tuple[float, ...]]:
    """Name, exponent or factor, and epochs."""
    shape, colon, rest = (part.strip() for part in text.partition(":"))
    if shape in (CONSTANT, *_TO_THE_END) and not colon:
        return shape, None, ()
    before, at, after = (part.strip() for part in rest.partition("@"))
    number, found = read_literal(before), read_literal(after)
    epochs = found if isinstance(found, tuple) else (found,)
    if shape == "power" and not at and _is_number(number) and number <= 100:
        return shape, number, ()
    falls = _is_number(number) and number < 1
    if shape == "steps" and falls and all(map(_is_number, epochs)) and list(epochs) == sorted(set(epochs)):
        return shape, number, epochs
    raise ParameterError(
        f"schedule={text} is not allowed, it must be constant, linear, cosine, power:EXPONENT with an exponent > 0 "
        "such as power:0.5, or steps:FACTOR@EPOCH/EPOCH with a factor in (0, 1) and rising epochs such as "
        "steps:0.1@30/60/80"
    )


def _is_number(value: Any, least: float = math.ulp(0)) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= _LONGEST
