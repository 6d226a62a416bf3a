"""What a claim can be about: the curves and numbers of a run, by name, taken from its record.

A curve has points by step, epoch and training time: losses, a task's metrics on validation data (``metric.NAME``) and
on training data (``training_metric.NAME``), diagnostics, scores, Fisher errors. A number is one for the whole run:
times, operations, memory. All are better when they are lower, but for metrics.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal

from ngbench.errors import UnknownNameError
from ngbench.results import statistics, timing
from ngbench.results.predicted_costs import predict
from ngbench.results.record import RunRecord
from ngbench.results.timing import Timing

__all__ = [
    "ArmRun",
    "Measurement",
    "Point",
    "curve_of",
    "interpolate",
    "measurement_of",
    "number_of",
]

_LOSSES = ("training_loss", "validation_loss")
_METRICS = ("metric", "training_metric")
_DIAGNOSTICS = ("energy_gap", "exact_angle", "exact_distance", "iterations")
_PLAYERS = ("fid", "critic_loss", "gradient_penalty")
_ERRORS = ("error_1", "error_2", "iterations", "seconds")
_NUMBERS = (
    "seconds_per_epoch",
    "step_time",
    "step_time.plain",
    "step_time.refresh",
    "peak_memory",
    "optimizer_state",
    "epochs_to_target",
    "seconds_to_target",
    "diverged",
)
_PHASE = ("seconds", "flops", "bytes", "calls", "predicted")
_COUNTED = frozenset({"optimizer_state", "diverged", "flops", "bytes", "calls", "predicted"})
_CURVES: Mapping[str, Sequence[str]] = {
    "compare": (*_LOSSES, "seconds", *_DIAGNOSTICS),
    "gan": ("training_loss", "seconds", *_PLAYERS),
    "fisher-error": (*_ERRORS, "training_loss"),
}


@dataclass(frozen=True)
class Measurement:
    """A measurement that a claim or a figure names.

    Attributes:
        name: in full.
        is_curve: whether it has points, rather than one value for a run.
        higher_is_better: as for accuracies.
        exact: whether it is counted: no seed and no noise changes it.
        metric: the name of a task's metric, if it is one.
    """

    name: str
    is_curve: bool
    higher_is_better: bool = False
    exact: bool = False
    metric: str | None = None

    @property
    def is_time(self) -> bool:
        """Whether it is measured in seconds."""
        return self.name.startswith("step_time") or "seconds" in self.name


def measurement_of(name: str, measure: Literal["compare", "gan", "fisher-error"]) -> Measurement:
    """The measurement called ``name`` in studies of this kind.

    >>> measurement_of("phase.refresh.flops", "compare").exact
    True
    >>> measurement_of("metric.accuracy", "compare").metric
    'accuracy'

    Raises:
        UnknownNameError: there is none.
    """
    head, _, rest = name.partition(".")
    if name in _CURVES[measure]:
        return Measurement(name, True)
    if measure != "fisher-error":
        phase, _, what = rest.rpartition(".")
        if name in _NUMBERS:
            return Measurement(name, False, exact=name in _COUNTED)
        if head == "phase" and phase and what in _PHASE:
            return Measurement(name, False, exact=what in _COUNTED)
    if measure == "compare" and head in _METRICS and rest:
        return Measurement(name, True, higher_is_better=True, metric=rest)
    known = [*_CURVES[measure]]
    if measure != "fisher-error":
        known += [*_NUMBERS, *(f"phase.NAME.{what}" for what in _PHASE)]
    if measure == "compare":
        known += [f"{kind}.NAME" for kind in _METRICS]
    raise UnknownNameError("measurement", name, known)


@dataclass(frozen=True)
class ArmRun:
    """A run of an arm: a record, or the part of one that measured an approximation's Fisher errors.

    Attributes:
        record: of the run.
        approximation: whose errors, if that is what was measured.
    """

    record: RunRecord
    approximation: str | None = None

    @property
    def seed(self) -> int:
        """Of the run."""
        return self.record.seed

    @property
    def diverged(self) -> bool:
        """Whether its loss became no number."""
        return self.record.status == "diverged"


@dataclass(frozen=True)
class Point:
    """A measured value, with where in the run it was measured; ``None`` is what is not known or no number."""

    step: int | None
    epoch: float | None
    seconds: float | None
    value: float | None


def curve_of(run: ArmRun, name: str) -> list[Point]:
    """The points of a curve, in the order in which they were measured; none where the run has none."""
    if run.approximation is not None:
        return _fisher_curve(run.record, run.approximation, name)
    record, history = run.record, run.record.history
    if name in _DIAGNOSTICS:
        return _diagnostic_curve(record, name)
    columns: dict[str, Sequence[float | None]] = {
        "training_loss": history.train_loss,
        "validation_loss": history.validation_loss,
        "seconds": history.elapsed_seconds,
        **{f"metric.{metric}": values for metric, values in history.metrics.items()},
        **{f"training_metric.{metric}": values for metric, values in history.training_metrics.items()},
    }
    if record.adversarial is not None:
        columns |= history.metrics
        columns["fid"] = history.metrics.get(record.adversarial.fid.metric, [])
    values = columns.get(name, [])
    rows = zip(history.step, history.epoch, history.elapsed_seconds, values, strict=False)
    return [Point(step, epoch, seconds, value) for step, epoch, seconds, value in rows]


def _diagnostic_curve(record: RunRecord, name: str) -> list[Point]:
    by_step: dict[int, list[float]] = {}
    layers = set()
    for key in record.diagnostics:
        if key == name or (name == "iterations" and key.startswith("iterations/")):
            layers.add(key.split("/")[1] if "/" in key else key)
            for step, value in record.diagnostic(key):
                by_step.setdefault(step, []).append(value)
    elapsed = [0.0, *accumulate(record.steps.seconds)]
    # The searches of a layer add up, layers are averaged.
    return [
        Point(
            step,
            _epoch_at(step, record),
            elapsed[step] if step < len(elapsed) else None,
            math.fsum(values) / max(len(layers), 1),
        )
        for step, values in sorted(by_step.items())
    ]


def _epoch_at(step: int, record: RunRecord) -> float | None:
    ends = [0, *record.history.step]
    at = bisect.bisect_left(ends, step)
    if at >= len(ends):
        return None
    return float(at) if at == 0 else at - 1 + (step - ends[at - 1]) / (ends[at] - ends[at - 1])


def _fisher_curve(record: RunRecord, approximation: str, name: str) -> list[Point]:
    extra = record.model_extra or {}
    if name == "training_loss":
        return [Point(step, None, None, loss) for step, loss in enumerate(extra.get("step_losses", []), 1)]
    held: Any = extra.get("fisher_error", {})
    part = held[0] if isinstance(held, list) else held
    values = part.get("approximations", {}).get(approximation, {}).get(name, [])
    return [Point(step, None, None, value) for step, value in zip(part.get("steps", []), values, strict=False)]


def number_of(run: ArmRun, name: str) -> float | None:
    """A number of the run; ``None`` where it has none."""
    record = run.record
    head, _, rest = name.partition(".")
    if head == "phase":
        return _phase_number(record, *rest.rsplit(".", 1))
    if head == "step_time" and rest:
        return _value(timing.step_of_kind([record], rest))  # type: ignore[arg-type]
    if name == "step_time":
        return _value(timing.mean_step([record]))
    if name.endswith("_to_target"):
        if record.target_loss is None:
            return None
        reached = statistics.epochs_to_target if name.startswith("epochs") else statistics.seconds_to_target
        return reached(record, record.target_loss)
    numbers = {
        "seconds_per_epoch": statistics.seconds_per_epoch(record),
        "peak_memory": record.memory.peak_bytes,
        "optimizer_state": record.memory.optimizer_state_bytes,
        "diverged": float(run.diverged),
    }
    return numbers[name]


def _phase_number(record: RunRecord, phase: str, what: str) -> float | None:
    """Of a phase: of one call, but for the number of calls."""
    if what == "predicted":
        prediction = predict(record).get(phase)
        return None if prediction is None else prediction.operations
    cost = record.phases.get(phase)
    if cost is None:
        return None
    if what == "seconds":
        return _value(timing.phase_seconds([record], phase))
    counts: dict[str, int | None] = {"flops": cost.flops, "bytes": cost.bytes, "calls": cost.calls}
    return counts[what]


def _value(measured: Timing | None) -> float | None:
    return None if measured is None else measured.value


def interpolate(points: Sequence[Point], seconds: float) -> float | None:
    """The value after so many training seconds, linear between points.

    ``None`` before the first point, after the last, and next to a value that is no number.

    >>> points = [Point(10, 1, 2.0, 8.0), Point(20, 2, 4.0, 6.0)]
    >>> interpolate(points, 3.0), interpolate(points, 4.0), interpolate(points, 1.9), interpolate(points, 4.1)
    (7.0, 6.0, None, None)
    """
    timed = [(point.seconds, point.value) for point in points if point.seconds is not None]
    for (before, left), (after, right) in zip([*timed[:1], *timed], timed, strict=False):
        if before <= seconds <= after and left is not None and right is not None:
            part = (seconds - before) / (after - before) if after > before else 1.0
            return left + part * (right - left)
    return None
