"""The numbers of the two sides of a claim, seed by seed, point by point, or round by round."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ngbench.experiments.studies.claims import At, Moment, moment_text
from ngbench.records import timing
from ngbench.records.claim_rule import MeanDifference
from ngbench.records.quantities import ArmRun, Point, Quantity, interpolate
from ngbench.records.record import RunRecord
from ngbench.records.timing import Timing

__all__ = ["NoValue", "View", "paired_points", "seed_values", "timed_ratio"]


class NoValue(Exception):
    """A number that a claim needs does not exist, for a reason in words."""


@dataclass(frozen=True)
class View:
    """A side of a claim, with the runs that it is about: ``(runs / divided_by) × times`` or ``(runs - minus) × times``.

    Attributes:
        measurement: what is taken of each run.
        at: when.
        runs: one for each seed; none for a side that is a number.
        divided_by: likewise, if there is a quotient.
        minus: likewise, if there is a difference.
        times: the factor; the number itself where there are no runs.
    """

    measurement: Quantity
    at: Moment | At
    runs: Sequence[ArmRun] = ()
    divided_by: Sequence[ArmRun] | None = None
    minus: Sequence[ArmRun] | None = None
    times: float = 1.0

    @property
    def is_number(self) -> bool:
        """Whether it is a number, and no run's."""
        return not self.runs

    @property
    def is_plain(self) -> bool:
        """Whether it is one arm's measurement and a factor at most."""
        return bool(self.runs) and self.divided_by is None and self.minus is None

    def with_seed(self, seed: int) -> Iterator[ArmRun]:
        """All runs with that seed that it is made of."""
        for runs in (self.runs, self.divided_by or (), self.minus or ()):
            yield from (run for run in runs if run.seed == seed)


def _combined(view: View, first: float, second: float | None) -> float:
    if view.divided_by is not None:
        assert second is not None
        if second == 0:
            raise NoValue("the divisor is 0")
        # A run that diverged is worse than any: as a divisor too.
        return view.times * (first / second if math.isfinite(second) else 0.0)
    return view.times * (first - second if second is not None else first)


def seed_values(left: View, right: View) -> tuple[dict[int, float], dict[int, float]]:
    """For each seed that both sides ran, the value of each.

    A loss of a run that diverged is infinite, the wrong way for a metric that is better when higher.

    Raises:
        NoValue: where no seed gives a number, the reason of the first.
    """
    seeds = _seeds(left, right)
    values: tuple[dict[int, float], dict[int, float]] = ({}, {})
    reasons: list[NoValue] = []
    for seed in seeds:
        end = _equal_end(seed, left, right)
        try:
            found = [_value(view, seed, end) for view in (left, right)]
        except NoValue as missing:
            reasons.append(missing)
            continue
        for side, value in zip(values, found, strict=True):
            side[seed] = value
    if not values[0] and reasons:
        raise reasons[0]
    return values


def _seeds(left: View, right: View) -> list[int]:
    sides = [
        {run.seed for run in runs}
        for view in (left, right)
        for runs in (view.runs, view.divided_by, view.minus)
        if runs
    ]
    return sorted(set.intersection(*sides)) if sides else []


def _value(view: View, seed: int, end: float | None) -> float:
    if view.is_number:
        return view.times
    (first, *others) = view.with_seed(seed)
    second = _of_run(others[0], view, end) if others else None
    return _combined(view, _of_run(first, view, end), second)


def _equal_end(seed: int, left: View, right: View) -> float | None:
    """The training time at which the first of the sound runs with this seed ended."""
    ends = []
    for view in (left, right):
        for run in view.with_seed(seed):
            elapsed = run.record.history.elapsed_seconds
            if elapsed and not run.diverged:
                ends.append(elapsed[-1])
    return min(ends, default=None)


def _of_run(run: ArmRun, view: View, end: float | None) -> float:
    """The value of one run, infinite if it diverged before.

    Raises:
        NoValue: there is none.
    """
    measurement = view.measurement
    if not measurement.is_curve:
        number = measurement.value(run)
        if number is None:
            raise NoValue(f"{run.record.label} has no {measurement}")
        return float(number)
    points = measurement.points(run)
    value, reached = _at(points, view.at, end, measurement)
    if value is not None:
        return value
    if run.diverged:
        return -math.inf if measurement.higher_is_better else math.inf
    if not points:
        raise NoValue(f"{run.record.label} has no {measurement}")
    if not reached:
        raise NoValue(f"{run.record.label} ended before {moment_text(view.at)}")
    raise NoValue(f"{measurement} of {run.record.label} is no number at {moment_text(view.at)}")


def _at(
    points: Sequence[Point], at: Moment | At, end: float | None, measurement: Quantity
) -> tuple[float | None, bool]:
    """The value at that moment, and whether the run got there."""
    values = [point.value for point in points if point.value is not None]
    if isinstance(at, At):
        if at.seconds is not None:
            seconds = end if at.seconds == "equal" else at.seconds
            last = max((point.seconds for point in points if point.seconds is not None), default=-math.inf)
            return (None, False) if seconds is None else (interpolate(points, seconds), last >= seconds)
        where = "epoch" if at.epoch is not None else "step"
        return _last_before(points, where, at.epoch if at.epoch is not None else at.step or 0)
    if at == "final":
        # A score is not taken after each epoch; a run that diverged has no last value.
        return (points[-1].value if points else None), True
    if at == "mean":
        return (math.fsum(values) / len(values) if values and values == [p.value for p in points] else None), True
    best = max if measurement.higher_is_better else min
    return best(values, default=None), True


def _last_before(points: Sequence[Point], where: str, limit: float) -> tuple[float | None, bool]:
    places = [(getattr(point, where), point.value) for point in points if getattr(point, where) is not None]
    if not places or max(place for place, _ in places) < limit:
        return None, False
    before = [value for place, value in places if place <= limit]
    return (before[-1] if before else None), True


def paired_points(left: View, right: View, after: int | None) -> dict[int, list[tuple[float, float]]]:
    """For each seed, the values of both sides at each point that both measured.

    Args:
        left: one side.
        right: the other.
        after: points up to this step are left out.
    """
    found: dict[int, list[tuple[float, float]]] = {}
    for seed in _seeds(left, right):
        curves = [_curve(view, seed) for view in (left, right)]
        shared = [step for step in (curves[0] or curves[1] or {}) if all(c is None or step in c for c in curves)]
        found[seed] = [
            tuple(
                view.times if curve is None else curve[step] for view, curve in zip((left, right), curves, strict=True)
            )  # type: ignore[misc]
            for step in shared
            if after is None or step > after
        ]
    return found


def _curve(view: View, seed: int) -> Mapping[int, float] | None:
    """The side at each measured step; ``None`` for a number."""
    if view.is_number:
        return None
    curves = []
    for run in view.with_seed(seed):
        points = view.measurement.points(run)
        curves.append(
            {point.step: point.value for point in points if point.step is not None and point.value is not None}
        )
    first, *others = curves
    if not others:
        return {step: _combined(view, value, None) for step, value in first.items()}
    return {step: _combined(view, value, others[0][step]) for step, value in first.items() if step in others[0]}


def timed_ratio(left: View, right: View) -> tuple[MeanDifference, float, float] | None:
    """The logarithm of the ratio of two arms' times, estimated over the rounds in which they took turns.

    What slows the machine hits both arms of a round alike, so that one seed is enough. Of a quotient of two arms' times
    beside a number it is that of the quotient and the number.

    Returns:
        The estimate and both values; ``None`` for what is no time of two arms.
    """
    quantity = left.measurement
    if left.divided_by is not None and left.minus is None and right.is_number and right.times > 0:
        ratio = _ratio(quantity, _records(left.runs), _records(left.divided_by))
        if ratio is None or left.times <= 0:
            return None
        return _logarithm(ratio, left, right.times), left.times * ratio.value, right.times
    if quantity != right.measurement or not left.is_plain or not right.is_plain or right.times * left.times <= 0:
        return None
    ratio = _ratio(quantity, _records(left.runs), _records(right.runs))
    ours, theirs = (_time(quantity, _records(view.runs)) for view in (left, right))
    if ratio is None or ours is None or theirs is None:
        return None
    return _logarithm(ratio, left, right.times), ours.value * left.times, theirs.value * right.times


def _logarithm(ratio: Timing, left: View, right: float) -> MeanDifference:
    error = math.nan if ratio.variance is None else math.sqrt(ratio.variance)
    return MeanDifference(math.log(left.times * ratio.value / right), error, max(ratio.degrees, 1), len(left.runs))


def _records(runs: Sequence[ArmRun]) -> list[RunRecord]:
    return [run.record for run in runs]


def _time(quantity: Quantity, runs: Sequence[RunRecord]) -> Timing | None:
    return timing.phase_seconds(runs, quantity.name) if quantity.name else timing.mean_step(runs)


def _ratio(quantity: Quantity, runs: Sequence[RunRecord], others: Sequence[RunRecord]) -> Timing | None:
    """How many times longer the runs take; ``None`` for what is no time."""
    if quantity.form == "step_time":
        return timing.step_ratio(runs, others)
    if quantity.form == "phase.NAME.seconds":
        return timing.phase_change(runs, others, quantity.name)
    return None
