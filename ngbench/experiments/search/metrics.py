"""What a search makes small or large: a number of each run, and its mean over the seeds of a trial."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from ngbench.errors import ParameterError
from ngbench.experiments.search.ledger import Outcome
from ngbench.experiments.search.samplers import Direction
from ngbench.records import statistics
from ngbench.records.quantities import QUANTITIES, ArmRun, quantity_of, unknown_quantity
from ngbench.records.record import RunRecord
from ngbench.spelling import argument

__all__ = ["SearchMetric", "metric_in_words", "parse_metric", "trial_outcome"]

_ENDS: dict[str, Direction] = {"min": "minimize", "max": "maximize"}


@dataclass(frozen=True)
class SearchMetric:
    """A metric of runs.

    Attributes:
        name: of a quantity that searches may ask for.
        direction: whether small or large values are good.
        target: the training loss to reach, where the metric is about that.
    """

    name: str
    direction: Direction
    target: float | None = None

    @property
    def needs_target(self) -> bool:
        """Whether a run may have no value without having failed."""
        return self.name.endswith("_to_target")

    def value(self, run: RunRecord) -> float | None:
        """The number of one run that neither failed nor diverged; ``None`` if there is none."""
        if self.needs_target:
            run = run.model_copy(update={"target_loss": self.target})
        return quantity_of(self.name, "tune").value(ArmRun(run))

    def __str__(self) -> str:
        return metric_in_words(self.name)


def metric_in_words(name: str) -> str:
    """What the quantity of a search is called in sentences."""
    return name.removeprefix("metric.").replace("_", " ")


def parse_metric(text: str, own: Collection[str], target: float | None) -> SearchMetric:
    """The metric that ``NAME``, ``NAME:min`` or ``NAME:max`` means.

    Args:
        text: what the user gave.
        own: the names of the task's metrics.
        target: the training loss to reach, if there is one.

    Raises:
        UnknownNameError: there is no such quantity, or none that a search asks for.
        ParameterError: it needs a target, or is to be made large though only small makes sense.
    """
    name, colon, end = text.partition(":")
    quantities = {
        str(found): found
        for one in QUANTITIES.values()
        if "tune" in one.asked
        for found in ([replace(one, name=name) for name in own] if "NAME" in one.form else [one])
    }
    if name not in quantities:
        raise unknown_quantity(name, quantities)
    if colon and end not in _ENDS:
        raise ParameterError(f"metric {text!r} is not allowed, what follows the colon must be min or max")
    if quantities[name].metric is None:
        if end == "max":
            raise ParameterError(f"metric {text!r} is not allowed, {name} is better when it is lower")
        metric = SearchMetric(name, "minimize")
        if metric.needs_target and target is None:
            raise ParameterError(f"metric {name!r} needs {argument('target_loss')}, the training loss to reach")
        return replace(metric, target=target) if metric.needs_target else metric
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
