"""The quantities of a run: one name, one meaning and one unit, whoever asks.

Claims and figures of studies, ``ngbench check``, ``ngbench tune``, charts and CSV columns take their numbers from the
one table of this module. A quantity may have points along the run (by step, epoch and training time), a value for the
whole run, or both: the value of a loss is the one after the last epoch. Times of steps and phases are those of
:mod:`ngbench.records.timing`.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Literal

from ngbench.errors import ParameterError, UnknownNameError, UsageError
from ngbench.records import statistics, timing
from ngbench.records.predicted_costs import predict
from ngbench.records.record import History, PhaseRecord, RunRecord
from ngbench.records.timing import Timing

__all__ = [
    "ANY",
    "QUANTITIES",
    "ArmRun",
    "Asker",
    "Point",
    "Quantity",
    "Unit",
    "interpolate",
    "names_for",
    "quantity_of",
    "unknown_quantity",
]

ANY = "*"
"""In the place of a name: every phase, or every approximation."""

Unit = Literal["seconds", "bytes", "number", "ratio"]
Per = Literal["run", "epoch", "step", "call"]
Asker = Literal["compare", "gan", "fisher-error", "check", "tune"]
"""The three kinds of studies, for their claims and figures, and two commands."""


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


@dataclass(frozen=True)
class Quantity:
    """A quantity of a run.

    Attributes:
        form: what it is called, with ``NAME`` in the place of the name of a phase, metric or approximation.
        says: what it is.
        unit: of its numbers.
        per: what one number of it is about.
        asked: who may ask for it.
        of_run: the value of a run; ``None`` where it follows from ``time`` or ``reached``, where there is one beside a
            reference arm alone, or at a moment alone.
        along: the points of a run, if it has any.
        time: of a time, its estimate over an arm's runs.
        by_rounds: of a time, how many times as long as in other runs it is, each round beside its counterpart.
        ratio: of a ratio of times, its estimate over an arm's runs and over those of the reference arm.
        reached: of what is needed until a loss is reached, how much of it a run needed.
        names: what ``NAME`` may be in a run, where a check looks for it.
        largest: whether an arm has the largest of its seeds, as it is.
        ranks: the trainings whose arms it ranks.
        higher_is_better: as for accuracies.
        exact: whether it is counted: no seed and no noise changes it.
        name: in the place of ``NAME``.
    """

    form: str
    says: str
    unit: Unit
    per: Per
    asked: frozenset[Asker]
    of_run: Callable[[ArmRun, str], float | None] | None = None
    along: Callable[[ArmRun, str], list[Point]] | None = None
    time: Callable[[Sequence[RunRecord], str], Timing | None] | None = None
    by_rounds: Callable[[Sequence[RunRecord], Sequence[RunRecord], str], Timing | None] | None = None
    ratio: Callable[[Sequence[RunRecord], Sequence[RunRecord], str], Timing | None] | None = None
    reached: Callable[[RunRecord, float], float | None] | None = None
    names: Callable[[RunRecord], Iterable[str]] | None = None
    largest: bool = False
    ranks: Literal["all", "supervised", "gan"] = "all"
    higher_is_better: bool = False
    exact: bool = False
    name: str = ""

    def __str__(self) -> str:
        return self.form.replace("NAME", self.name)

    @property
    def is_curve(self) -> bool:
        """Whether it has points along the run."""
        return self.along is not None

    @property
    def compares_absolute_times(self) -> bool:
        """Whether it means something only on one and the same machine."""
        return self.unit == "seconds"

    @property
    def is_ratio_of_times(self) -> bool:
        """Whether it is a time in units of another one: processors differ in these too, if less than in seconds."""
        return self.unit == "ratio"

    @property
    def metric(self) -> str | None:
        """The name of a task's metric, if it is one."""
        return self.name if self.form in ("metric.NAME", "training_metric.NAME") else None

    def value(self, run: ArmRun) -> float | None:
        """The number of the run; ``None`` where it has none."""
        if self.time is not None:
            found = self.time([run.record], self.name)
            return None if found is None else found.value
        if self.reached is not None:
            target = run.record.target_loss
            return None if target is None else self.reached(run.record, target)
        return None if self.of_run is None else self.of_run(run, self.name)

    def points(self, run: ArmRun) -> list[Point]:
        """Where it was measured and what it was, in order; none where the run has none."""
        return [] if self.along is None else self.along(run, self.name)


def quantity_of(text: str, asker: Asker | None = None) -> Quantity:
    """The quantity called ``text``.

    >>> str(quantity_of("phase.refresh.flops", "compare")), quantity_of("phase.*.flops", "check").name
    ('phase.refresh.flops', '*')
    >>> quantity_of("metric.accuracy").higher_is_better
    True

    Args:
        text: its form, with a name in the place of ``NAME``.
        asker: who asks; nobody is refused without.

    Raises:
        UnknownNameError: there is none, or the asker may not ask for it.
        ParameterError: it has another name today.
    """
    known = [one for one in QUANTITIES.values() if asker is None or asker in one.asked]
    for one in known:
        before, hole, after = one.form.partition("NAME")
        if text == one.form and not hole:
            return one
        if hole and text.startswith(before) and text.endswith(after) and len(text) > len(before) + len(after):
            return replace(one, name=text[len(before) : len(text) - len(after)])
    raise unknown_quantity(text, [one.form for one in known])


def unknown_quantity(text: str, known: Iterable[str]) -> UsageError:
    """What to raise where nothing is called ``text``: it says the name of today for one of before.

    >>> print(unknown_quantity("final_loss", []))
    the quantity 'final_loss' is called 'training_loss'
    """
    if text in _RENAMED:
        return ParameterError(f"the quantity {text!r} is called {_RENAMED[text]!r}")
    return UnknownNameError("quantity", text, known)


_RENAMED = {
    "final_loss": "training_loss",
    "train_loss": "training_loss",
    "best_loss": "best_training_loss",
    "final_validation_loss": "validation_loss",
    "time_to_target": "seconds_to_target",
    "step_time.mean": "step_time",
}


def names_for(asker: Asker) -> str:
    """The names of what may be asked for, as help lists them."""
    return ", ".join(one.form for one in QUANTITIES.values() if asker in one.asked)


def interpolate(points: Sequence[Point], at: float, where: Literal["seconds", "step"] = "seconds") -> float | None:
    """The value after so many training seconds or steps, linear between points.

    ``None`` before the first point, after the last, and next to a value that is no number.

    >>> points = [Point(10, 1, 2.0, 8.0), Point(20, 2, 4.0, 6.0)]
    >>> interpolate(points, 3.0), interpolate(points, 4.0), interpolate(points, 1.9), interpolate(points, 4.1)
    (7.0, 6.0, None, None)
    """
    placed = [(float(place), point.value) for point in points if (place := getattr(point, where)) is not None]
    for (before, left), (after, right) in zip([*placed[:1], *placed], placed, strict=False):
        if before <= at <= after and left is not None and right is not None:
            part = (at - before) / (after - before) if after > before else 1.0
            return left + part * (right - left)
    return None


def _by_epoch(
    pick: Callable[[History, str], Sequence[float | None]],
) -> Callable[[ArmRun, str], list[Point]]:
    """The points of a column of the history."""

    def points(run: ArmRun, name: str) -> list[Point]:
        history = run.record.history
        rows = zip(history.step, history.epoch, history.elapsed_seconds, pick(history, name), strict=False)
        return [Point(step, epoch, seconds, value) for step, epoch, seconds, value in rows]

    return points


def _last(along: Callable[[ArmRun, str], list[Point]]) -> Callable[[ArmRun, str], float | None]:
    def value(run: ArmRun, name: str) -> float | None:
        points = along(run, name)
        return points[-1].value if points else None

    return value


def _training_loss(run: ArmRun, name: str) -> list[Point]:
    if run.approximation is None:
        return _by_epoch(lambda history, _: history.train_loss)(run, name)
    return [Point(step, None, None, loss) for step, loss in enumerate(run.record.step_losses, 1)]


def _score(run: ArmRun, name: str) -> list[Point]:
    adversarial = run.record.adversarial
    if adversarial is None:
        return []
    return _by_epoch(lambda history, _: history.metrics.get(adversarial.fid.metric, []))(run, name)


def _player(name: str) -> Callable[[ArmRun, str], list[Point]]:
    return _by_epoch(lambda history, _: history.metrics.get(name, []))


def _error(
    column: Literal["error_1", "error_2", "iterations", "seconds"],
) -> Callable[[ArmRun, str], list[Point]]:
    """What was measured of an approximation of the first measured layer, in the steps in which its errors were."""

    def points(run: ArmRun, name: str) -> list[Point]:
        for error in run.record.fisher_errors[:1]:
            if run.approximation in error.approximations:
                values = getattr(error.approximations[run.approximation], column)
                return [Point(step, None, None, value) for step, value in zip(error.steps, values, strict=False)]
        return []

    return points


def _diagnostic(key: str) -> Callable[[ArmRun, str], list[Point]]:
    """A diagnostic by step. The searches of a layer, ``KEY/LAYER/SEARCH``, add up, and layers are averaged."""

    def points(run: ArmRun, name: str) -> list[Point]:
        record = run.record
        by_step: dict[int, list[float]] = {}
        layers = set()
        for found in record.diagnostics:
            if found == key or (key == "iterations" and found.startswith("iterations/")):
                layers.add(found.split("/")[1] if "/" in found else found)
                for step, value in record.diagnostic(found):
                    by_step.setdefault(step, []).append(value)
        elapsed = [0.0, *accumulate(record.steps.seconds)]
        return [
            Point(
                step,
                _epoch_at(step, record),
                elapsed[step] if step < len(elapsed) else None,
                math.fsum(values) / max(len(layers), 1),
            )
            for step, values in sorted(by_step.items())
        ]

    return points


def _epoch_at(step: int, record: RunRecord) -> float | None:
    ends = [0, *record.history.step]
    at = bisect.bisect_left(ends, step)
    if at >= len(ends):
        return None
    return float(at) if at == 0 else at - 1 + (step - ends[at - 1]) / (ends[at] - ends[at - 1])


def _iterations(run: ArmRun, name: str) -> list[Point]:
    return (_diagnostic("iterations") if run.approximation is None else _error("iterations"))(run, name)


def _of_record(value: Callable[[RunRecord], float | None]) -> Callable[[ArmRun, str], float | None]:
    return lambda run, name: value(run.record)


def _phases(run: RunRecord) -> Iterable[str]:
    return run.phases


def _phase(count: Callable[[PhaseRecord], int | None]) -> Callable[[ArmRun, str], float | None]:
    def value(run: ArmRun, name: str) -> float | None:
        phase = run.record.phases.get(name)
        return None if phase is None else count(phase)

    return value


def _predicted(run: ArmRun, name: str) -> float | None:
    prediction = predict(run.record).get(name)
    return None if prediction is None else prediction.operations


def _table(rows: Iterable[Quantity]) -> dict[str, Quantity]:
    return {row.form: row for row in rows}


def _who(*askers: Asker) -> frozenset[Asker]:
    return frozenset(askers)


_COMPARE, _GAN, _FISHER = _who("compare"), _who("gan"), _who("fisher-error")
_CHECK, _TUNE = _who("check"), _who("tune")
_RUNS = _COMPARE | _GAN

_validation_loss = _by_epoch(lambda history, _: history.validation_loss)
_metric = _by_epoch(lambda history, name: history.metrics.get(name, []))
_training_metric = _by_epoch(lambda history, name: history.training_metrics.get(name, []))
_elapsed = _by_epoch(lambda history, _: history.elapsed_seconds)

# fmt: off
QUANTITIES: dict[str, Quantity] = _table([
    Quantity("training_loss", "training loss; of a run the one after the last epoch", "number", "epoch",
             _RUNS | _FISHER | _CHECK | _TUNE, _of_record(statistics.final_loss), _training_loss,
             ranks="supervised"),
    Quantity("validation_loss", "validation loss; of a run the one after the last epoch", "number", "epoch",
             _COMPARE | _CHECK | _TUNE, _of_record(lambda run: statistics.final_loss(run, "validation")),
             _validation_loss),
    Quantity("best_training_loss", "lowest training loss of any epoch", "number", "run",
             _CHECK | _TUNE, _of_record(statistics.best_loss), ranks="supervised"),
    Quantity("best_validation_loss", "lowest validation loss of any epoch", "number", "run",
             _CHECK | _TUNE, _of_record(lambda run: statistics.best_loss(run, "validation"))),
    Quantity("metric.NAME", "the task's metric on validation data; of a run the one after the last epoch", "number",
             "epoch", _COMPARE | _TUNE, _last(_metric), _metric, higher_is_better=True),
    Quantity("training_metric.NAME", "the same on training data, averaged over the epoch's mini-batches", "number",
             "epoch", _COMPARE | _TUNE, _last(_training_metric), _training_metric, higher_is_better=True),
    Quantity("elapsed_seconds", "training time until the end of an epoch, as it passed", "seconds", "epoch",
             _RUNS, _last(_elapsed), _elapsed),
    Quantity("seconds_per_epoch", "training time of an epoch, as it passed", "seconds", "run",
             _RUNS, _of_record(statistics.seconds_per_epoch)),
    Quantity("seconds_to_target", "training time until the target loss", "seconds", "run",
             _RUNS | _CHECK | _TUNE, reached=statistics.seconds_to_target),
    Quantity("epochs_to_target", "epochs until the target loss", "number", "run",
             _RUNS | _CHECK | _TUNE, reached=statistics.epochs_to_target),
    Quantity("diverged", "1 of a run whose loss became no number, else 0", "number", "run",
             _RUNS, lambda run, _: float(run.diverged), exact=True),
    Quantity("step_time", "time of a step, amortised over refreshes", "seconds", "step",
             _RUNS | _CHECK, time=lambda runs, _: timing.mean_step(runs),
             by_rounds=lambda runs, others, _: timing.step_ratio(runs, others)),
    Quantity("step_time.plain", "time of a step without a refresh", "seconds", "step",
             _RUNS, time=lambda runs, _: timing.step_of_kind(runs, "plain")),
    Quantity("step_time.refresh", "time of a step that refreshes the curvature", "seconds", "step",
             _RUNS, time=lambda runs, _: timing.step_of_kind(runs, "refresh")),
    Quantity("step_time.median", "time of a typical step; does not see rare refreshes", "seconds", "step",
             _CHECK, time=lambda runs, _: timing.median_step(runs)),
    Quantity("step_time.ratio", "step in units of the reference arm's step, amortised over refreshes", "ratio",
             "step", _CHECK, ratio=lambda runs, reference, _: timing.step_ratio(runs, reference)),
    Quantity("phase.NAME.seconds", "time of a call of the phase", "seconds", "call",
             _RUNS | _CHECK, time=timing.phase_seconds, by_rounds=timing.phase_change, names=_phases),
    Quantity("phase.NAME.ratio", "time of the phase in a step, in units of the reference arm's step", "ratio", "step",
             _CHECK, ratio=timing.phase_ratio, names=_phases),
    Quantity("phase.NAME.flops", "operations of a call of the phase", "number", "call",
             _RUNS | _CHECK, _phase(lambda phase: phase.flops), exact=True, largest=True, names=_phases),
    Quantity("phase.NAME.bytes", "bytes that a call of the phase reads and writes", "bytes", "call",
             _RUNS | _CHECK, _phase(lambda phase: phase.bytes), exact=True, largest=True, names=_phases),
    Quantity("phase.NAME.calls", "calls of the phase", "number", "run",
             _RUNS | _CHECK, _phase(lambda phase: phase.calls), exact=True, largest=True, names=_phases),
    Quantity("phase.NAME.predicted", "operations of a call of the phase as declared", "number", "call",
             _RUNS, _predicted, exact=True),
    Quantity("peak_memory", "largest peak of any seed", "bytes", "run",
             _RUNS | _CHECK, _of_record(lambda run: run.memory.peak_bytes), largest=True),
    Quantity("optimizer_state", "largest optimizer state of any seed", "bytes", "run",
             _RUNS | _CHECK, _of_record(lambda run: run.memory.optimizer_state_bytes), exact=True,
             largest=True),
    Quantity("energy_gap", "energy gap of a coarse correction", "number", "step", _COMPARE,
             along=_diagnostic("energy_gap")),
    Quantity("exact_angle", "angle between a step and the exact natural gradient", "number", "step", _COMPARE,
             along=_diagnostic("exact_angle")),
    Quantity("exact_distance", "distance of a step to the exact natural gradient", "number", "step", _COMPARE,
             along=_diagnostic("exact_distance")),
    Quantity("iterations", "iterations that an approximation took, mean over layers", "number", "step",
             _COMPARE | _FISHER, along=_iterations),
    Quantity("fid", "Fréchet distance of generated images", "number", "epoch", _GAN | _CHECK, _last(_score),
             _score, ranks="gan"),
    Quantity("critic_loss", "loss of the critic, the penalty included", "number", "epoch", _GAN,
             _last(_player("critic_loss")), _player("critic_loss")),
    Quantity("gradient_penalty", "gradient penalty, before it is weighted", "number", "epoch", _GAN,
             _last(_player("gradient_penalty")), _player("gradient_penalty")),
    Quantity("error_1", "Error 1 of an approximation", "number", "step", _FISHER, along=_error("error_1")),
    Quantity("error_2", "Error 2 of an approximation", "number", "step", _FISHER, along=_error("error_2")),
    Quantity("seconds", "time that an approximation took", "seconds", "step", _FISHER, along=_error("seconds")),
    Quantity("fisher_error.NAME", "mean Error 1 of the approximation", "number", "run", _CHECK),
])
# fmt: on
"""Every quantity; better when it is lower, but for metrics."""
