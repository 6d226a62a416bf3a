"""How a run ended, derived from its record alone."""

from __future__ import annotations

from dataclasses import dataclass

from ngbench.records.record import RunRecord

__all__ = ["EarlyStop", "describe_ending", "early_stop"]


@dataclass(frozen=True)
class EarlyStop:
    """What a run did that early stopping ended.

    Attributes:
        done: how much it did, in ``unit``.
        limit: how much its budget allowed; ``None`` where that was not limited by a number.
        unit: ``epochs``, or ``steps`` where its budget counts these alone.
        patience: epochs without a new lowest value.
        watched: the value.
    """

    done: int
    limit: int | None
    unit: str
    patience: int
    watched: str


def early_stop(run: RunRecord) -> EarlyStop | None:
    """What early stopping left undone; ``None`` for a run that it did not end.

    A run is ``done`` when it has reached one of its numbers of epochs and steps or, before that, when its patience has
    run out.
    """
    patience = run.budget.early_stopping
    if run.status != "done" or patience is None or not run.history.epoch:
        return None
    epochs, steps = run.budget.epochs, run.budget.steps
    epoch, step = len(run.history.epoch), run.history.step[-1]
    if (epochs is not None and epoch >= epochs) or (steps is not None and step >= steps):
        return None
    watched = "training loss" if run.adversarial is None else "score"
    if epochs is None and steps is not None:
        return EarlyStop(step, steps, "steps", patience, watched)
    return EarlyStop(epoch, epochs, "epochs", patience, watched)


def describe_ending(run: RunRecord) -> str:
    """The run's status in words; one that ended before its budget did, as asked, ``stopped early``."""
    return run.status.replace("_", " ") if early_stop(run) is None else "stopped early"
