"""Statistics of runs, computed from records alone by pure functions.

An interval is two-sided and exists only when the data support it: a single value has none. There are two
confidences, one for each purpose. Times of steps have an estimator of their own, :mod:`ngbench.records.timing`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ngbench.records.record import RunRecord

__all__ = [
    "CONFIDENCE",
    "FAILED",
    "FEWEST_ESTIMATES",
    "GATE_CONFIDENCE",
    "UncertainValue",
    "best_loss",
    "curvature_estimates",
    "epochs_to_target",
    "final_loss",
    "mean_interval",
    "seconds_per_epoch",
    "seconds_to_target",
    "target_on",
]

CONFIDENCE = 0.95
"""Of the intervals that are shown, in tables, figures and exports."""
GATE_CONFIDENCE = 0.98
"""Of the changes that ``ngbench check`` judges. One end is then wrong once in a hundred times, so a threshold of 0
would raise false alarms at that rate, and any other fewer, as far as the rounds vary independently."""
FAILED = frozenset({"diverged", "out_of_memory", "killed", "failed"})
"""Statuses whose runs have no final loss."""
FEWEST_ESTIMATES = 10
"""Of the curvature, with which a run still says something of the method that needs it."""


@dataclass(frozen=True)
class UncertainValue:
    """A number with its interval.

    Attributes:
        value: the point estimate.
        low: lower end of the interval, ``None`` where the data support no interval.
        high: upper end.
        n: how many values (runs, rounds or steps) it rests on.
    """

    value: float
    low: float | None
    high: float | None
    n: int

    @property
    def error(self) -> float | None:
        """Half the width of the interval, or ``None``.

        >>> UncertainValue(2.0, 1.5, 3.5, 4).error
        1.0
        """
        if self.low is None or self.high is None:
            return None
        return (self.high - self.low) / 2

    def exceeds(self, limit: float) -> bool:
        """Whether the whole interval lies beyond the limit; without an interval that cannot be said, and is false.

        >>> UncertainValue(2.0, 1.5, 3.5, 4).exceeds(1.4), UncertainValue(2.0, 1.5, 3.5, 4).exceeds(1.6)
        (True, False)
        >>> UncertainValue(2.0, None, None, 1).exceeds(1.4)
        False
        """
        return self.low is not None and self.low > limit


def mean_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> UncertainValue | None:
    """The mean of independent values (one per seed) with Student's t interval; ``None`` of no values.

    >>> estimate = mean_interval([1.0, 2.0, 3.0])
    >>> round(estimate.value, 3), round(estimate.low, 3), round(estimate.high, 3), estimate.n
    (2.0, -0.484, 4.484, 3)
    >>> mean_interval([1.0])
    UncertainValue(value=1.0, low=None, high=None, n=1)
    """
    n = len(values)
    if n == 0:
        return None
    mean = float(np.mean(values))
    if n == 1:
        return UncertainValue(mean, None, None, 1)
    half = _student(n - 1, confidence) * float(np.std(values, ddof=1)) / math.sqrt(n)
    return UncertainValue(mean, mean - half, mean + half, n)


def curvature_estimates(run: RunRecord) -> int | None:
    """In how many steps the run estimated or inverted a curvature; ``None`` where it has none, or did in each."""
    estimates = run.steps.kind.count("refresh")
    return estimates if 0 < estimates < len(run.steps.kind) else None


def seconds_per_epoch(run: RunRecord) -> float | None:
    """Training seconds of a finished epoch, on average; ``None`` if none was finished."""
    history = run.history
    return history.elapsed_seconds[-1] / history.epoch[-1] if history.epoch else None


def final_loss(run: RunRecord, which: Literal["train", "validation"] = "train") -> float | None:
    """The loss after the last epoch; ``None`` for a run that failed or diverged, or finished no epoch."""
    losses = _losses(run, which)
    return losses[-1] if losses and run.status not in FAILED else None


def best_loss(run: RunRecord, which: Literal["train", "validation"] = "train") -> float | None:
    """The lowest loss of any epoch; ``None`` for a run that failed or diverged, or finished no epoch."""
    if run.status in FAILED:
        return None
    return min((loss for loss in _losses(run, which) if loss is not None), default=None)


def epochs_to_target(run: RunRecord, target: float) -> int | None:
    """The first epoch whose loss, that of :func:`target_on`, is at most the target; ``None`` if there is none."""
    at = _reached(run, target)
    return None if at is None else run.history.epoch[at]


def seconds_to_target(run: RunRecord, target: float) -> float | None:
    """Training seconds until the end of the first epoch whose loss is at most the target."""
    at = _reached(run, target)
    return None if at is None else run.history.elapsed_seconds[at]


def target_on(run: RunRecord) -> Literal["train", "validation"]:
    """Which loss has the target, as the run was asked to."""
    return "validation" if run.conditions.get("target_on") == "validation" else "train"


def _losses(run: RunRecord, which: Literal["train", "validation"]) -> list[float | None]:
    return run.history.train_loss if which == "train" else run.history.validation_loss


def _reached(run: RunRecord, target: float) -> int | None:
    losses = enumerate(_losses(run, target_on(run)))
    return next((at for at, loss in losses if loss is not None and loss <= target), None)


def _student(degrees: int, confidence: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + confidence) / 2))
