"""What a search makes small or large: a number of each run, and its mean over the seeds of a trial."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ngbench.errors import ParameterError, UnknownNameError
from ngbench.results import statistics
from ngbench.results.record import RunRecord
from ngbench.tuning.ledger import Outcome
from ngbench.tuning.samplers import Direction

__all__ = ["METRICS", "SearchMetric", "parse_metric", "trial_outcome"]

METRICS = {
    "final_loss": "training loss after the last epoch",
    "best_loss": "lowest training loss of any epoch",
    "validation_loss": "validation loss after the last epoch",
    "best_validation_loss": "lowest validation loss of any epoch",
    "time_to_target": "training time until the target loss, in seconds",
    "epochs_to_target": "epochs until the target loss",
}
"""What any task has: better when lower. A task's own metrics are better when higher, unless the user says else."""

_TO_TARGET: dict[str, Callable[[RunRecord, float], float | None]] = {
    "time_to_target": statistics.seconds_to_target,
    "epochs_to_target": statistics.epochs_to_target,
}
_ENDS: dict[str, Direction] = {"min": "minimize", "max": "maximize"}


@dataclass(frozen=True)
class SearchMetric:
    """A metric of runs.

    Attributes:
        name: of :data:`METRICS`, or a metric of the task.
        direction: whether small or large values are good.
        target: the training loss to reach, where the metric is about that.
    """

    name: str
    direction: Direction
    target: float | None = None

    @property
    def needs_target(self) -> bool:
        """Whether a run may have no value without having failed."""
        return self.name in _TO_TARGET

    def value(self, run: RunRecord) -> float | None:
        """The number of one run that neither failed nor diverged; ``None`` if there is none."""
        if self.name in _TO_TARGET:
            assert self.target is not None
            return _TO_TARGET[self.name](run, self.target)
        if self.name == "final_loss":
            return statistics.final_loss(run)
        if self.name == "best_loss":
            return statistics.best_loss(run)
        if self.name == "validation_loss":
            return statistics.final_loss(run, "validation")
        if self.name == "best_validation_loss":
            return statistics.best_loss(run, "validation")
        values = run.history.metrics.get(self.name)
        return values[-1] if values else None

    def __str__(self) -> str:
        return self.name.replace("_", " ")


def parse_metric(text: str, own: Iterable[str], target: float | None) -> SearchMetric:
    """The metric that ``NAME``, ``NAME:min`` or ``NAME:max`` means.

    Args:
        text: what the user gave.
        own: the names of the task's metrics.
        target: the training loss to reach, if there is one.

    Raises:
        UnknownNameError: there is no such metric.
        ParameterError: it needs a target, or is to be made large though only small makes sense.
    """
    name, colon, end = text.partition(":")
    known = [*METRICS, *own]
    if name not in known:
        raise UnknownNameError("metric", name, known)
    if colon and end not in _ENDS:
        raise ParameterError(f"metric {text!r} is not allowed, what follows the colon must be min or max")
    if name in METRICS:
        if end == "max":
            raise ParameterError(f"metric {text!r} is not allowed, {name} is better when it is lower")
        if name in _TO_TARGET and target is None:
            raise ParameterError(f"metric {name!r} needs --target-loss, the training loss to reach")
        return SearchMetric(name, "minimize", target if name in _TO_TARGET else None)
    return SearchMetric(name, _ENDS[end] if colon else "maximize")


def trial_outcome(runs: Sequence[RunRecord], metric: SearchMetric) -> Outcome:
    """What came of a trial, from the runs of its seeds; the last one may have ended it before all seeds were run."""
    seconds = math.fsum(run.history.elapsed_seconds[-1] for run in runs if run.history.elapsed_seconds)
    steps = sum(len(run.steps.seconds) for run in runs)

    def outcome(run: RunRecord | None, name: str, message: str | None = None) -> Outcome:
        several = len(runs) > 1 and run is not None
        text = f"seed {run.seed}: {message}" if several and run is not None and message else message
        return Outcome(name, None, text, seconds, steps)  # type: ignore[arg-type]

    values = []
    for run in runs:
        if run.status in (*statistics.FAILED, "interrupted"):
            return outcome(run, run.status, run.message)
        value = metric.value(run)
        if value is None:
            if metric.needs_target:
                return outcome(run, "target_not_reached", f"the training loss did not reach {metric.target:g}")
            return outcome(run, "no_value", f"the run has no {metric}")
        values.append(value)
    return Outcome("done", math.fsum(values) / len(values), None, seconds, steps)
