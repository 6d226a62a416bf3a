"""When a run ends: pure functions of its budget and of its history."""

from __future__ import annotations

from collections.abc import Sequence

from ngbench.records.record import History, Status
from ngbench.running.config import Budget

__all__ = ["status_after_epoch", "steps_left"]


def epochs_since_lowest(values: Sequence[float | None]) -> int:
    """How many epochs ago the value was the lowest so far; an epoch without a value has not improved."""
    best, since = None, 0
    for value in values:
        if value is not None and (best is None or value < best):
            best, since = value, 0
        else:
            since += 1
    return since


def steps_left(budget: Budget, history: History) -> int | None:
    """How many steps the budget still allows; ``None`` for any number."""
    taken = history.step[-1] if history.step else 0
    return None if budget.steps is None else budget.steps - taken


def status_after_epoch(budget: Budget, history: History, watched: Sequence[float | None]) -> Status:
    """``done``, ``timeout``, or ``running`` if there is more to do.

    Args:
        budget: of the run.
        history: with the epoch.
        watched: by epoch, what early stopping waits for a new lowest value of.
    """
    left = steps_left(budget, history)
    if (budget.epochs is not None and len(history.epoch) >= budget.epochs) or (left is not None and left <= 0):
        return "done"
    if budget.early_stopping is not None and epochs_since_lowest(watched) >= budget.early_stopping:
        return "done"
    if budget.time_limit is not None and history.elapsed_seconds[-1] >= budget.time_limit:
        return "timeout"
    return "running"
