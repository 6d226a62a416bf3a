"""What a metric is in two documents: taken from the records of an arm, with the interval of its difference."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from ngbench.records import statistics, timing
from ngbench.records.comparability import Obstacle, Pair
from ngbench.records.quantities import ANY, ArmRun, Quantity
from ngbench.records.record import RunRecord
from ngbench.records.timing import Timing
from ngbench.records.verdict import Change
from ngbench.spelling import argument

__all__ = ["NotApplicable", "Outcome", "expand", "measure", "recorded_target"]


@dataclass(frozen=True)
class NotApplicable:
    """The arm does not have the metric, by its nature: there is nothing to compare and nothing is wrong.

    Attributes:
        reason: in words.
        new: whether the arm has it now and the baseline does not, which is worth saying.
        expected: whether nobody would look for it there, unless by its name.
    """

    reason: str
    new: bool = False
    expected: bool = False


Outcome = Change | Obstacle | NotApplicable


def recorded_target(runs: Iterable[RunRecord]) -> float | None:
    """The target loss that all runs were given, or ``None``."""
    targets = {run.target_loss for run in runs}
    return targets.pop() if len(targets) == 1 else None


def expand(metric: Quantity, pair: Pair) -> list[Quantity]:
    """The metric for each of its names that the arm has, where its name is :data:`ANY`; else the metric itself."""
    if metric.name != ANY or metric.names is None:
        return [metric]
    names = dict.fromkeys(name for run in (*pair.baseline, *pair.current) for name in metric.names(run))
    return [replace(metric, name=name) for name in names]


def measure(metric: Quantity, pair: Pair, *, target: float | None = None) -> Outcome:
    """The change of a metric of an arm, or why there is none.

    Args:
        metric: any but those of Fisher errors, which no arm has.
        pair: the arm's runs.
        target: the loss of ``seconds_to_target`` and ``epochs_to_target``.
    """
    missing = _missing(metric, pair)
    if missing is not None:
        return missing
    if metric.time is not None and metric.by_rounds is not None and pair.together:
        ratio = metric.by_rounds(pair.current, pair.baseline, metric.name)
        return change_by_rounds(metric.time(pair.baseline, metric.name), ratio, metric)
    if metric.time is not None:
        before, now = metric.time(pair.baseline, metric.name), metric.time(pair.current, metric.name)
        return timed_change(before, now, 1.0, metric)
    if metric.ratio is not None:
        return _ratio(metric, pair, metric.ratio)
    if metric.reached is not None:
        return _target(metric, pair, target, metric.reached)
    return _largest(metric, pair) if metric.largest else _of_seeds(metric, pair)


def _missing(metric: Quantity, pair: Pair) -> Outcome | None:
    """Why the arm does not have the metric, if it does not."""
    kind = "gan" if all(run.adversarial is not None for run in (*pair.baseline, *pair.current)) else "supervised"
    if metric.ranks not in ("all", kind):
        reason = "the loss of a generator ranks nothing" if kind == "gan" else "it trains no two players"
        return NotApplicable(reason, expected=kind == "supervised")
    if metric.names is None:
        return None
    what, names = metric.form.partition(".")[0], metric.names
    before, now = (any(metric.name in names(run) for run in runs) for runs in (pair.baseline, pair.current))
    if not before and not now:
        return NotApplicable(f"it has no {what} {metric.name}")
    if not before:
        return NotApplicable(f"its {what} {metric.name} is new, the baseline does not have it", new=True)
    if not now:
        return Obstacle(f"{metric} of {pair.label}", f"the {what} {metric.name} has vanished, the baseline has it")
    return None


def timed_change(
    baseline: Timing | None, current: Timing | None, seconds_per_unit: float | None, metric: Quantity
) -> Outcome:
    """The change between two timings, or the problem that one of them is missing."""
    if baseline is None or current is None:
        side = "in the baseline" if baseline is None else "this time"
        return Obstacle(str(metric), f"it was not measured {side}")
    n = min(baseline.n, current.n)
    change = timing.relative_change(baseline, current)
    if change is None:
        note = "no interval: one round, or a record without times by round; run more epochs or seeds"
        return Change(baseline.value, current.value, None, None, n, seconds_per_unit, note)
    _, low, high = change
    return Change(
        baseline.value, current.value, baseline.value * low, baseline.value * high, n, seconds_per_unit=seconds_per_unit
    )


def change_by_rounds(baseline: Timing | None, ratio: Timing | None, metric: Quantity) -> Outcome:
    """The change of a time that both sides measured in turns: what slows the whole machine in a round cancels.

    Args:
        baseline: its seconds.
        ratio: of the current time to it, round by round.
        metric: what it is.
    """
    if baseline is None or ratio is None:
        return Obstacle(str(metric), "it was not measured on both sides")
    interval = timing.estimate(ratio, statistics.GATE_CONFIDENCE)
    assert interval is not None
    low, high = (None if end is None else baseline.value * (end - 1) for end in (interval.low, interval.high))
    note = "no interval: one round; run more epochs or seeds" if low is None else ""
    return Change(baseline.value, baseline.value * ratio.value, low, high, ratio.n, 1.0, note)


_ROUNDING = 1e-6
"""Relative: what sums in single precision differ by whose terms stand in another order."""


def paired_change(
    values: Sequence[tuple[int, float | None, float | None]], spread: float | None = None
) -> Change | None:
    """The change of the mean over seeds, from (seed, baseline, current); ``None`` where no number exists at all.

    Seeds fix weights, data order and samples, but training makes of a difference in rounding one that can be seen.
    Several pairs give Student's interval. A single one has none, unless both are equal but for rounding or differ by
    more than seeds do.

    >>> paired_change([(0, 1.0, 1.5)]).low is None, paired_change([(0, 1.0, 1.0 + 1e-7)]).high
    (True, 0.0)
    >>> paired_change([(0, 1.0, 1.5)], spread=0.4)
    Change(baseline=1.0, current=1.5, low=0.5, high=0.5, n=1, seconds_per_unit=None, note='')

    Args:
        values: of each seed.
        spread: the largest difference between seeds, where it is known.
    >>> paired_change([(0, 1.0, None), (1, 1.0, 1.0)]).note
    'no number any more with seed 0'
    """
    lost = [seed for seed, before, now in values if before is not None and now is None]
    gained = [seed for seed, before, now in values if before is None and now is not None]
    both = [(before, now) for _, before, now in values if before is not None and now is not None]
    if lost:
        note = f"no number any more with seed {', '.join(map(str, lost))}"
        return Change(_mean([before for _, before, _ in values]), None, None, None, len(values), note=note)
    if not both:
        if not gained:
            return None
        note = f"a number now with seed {', '.join(map(str, gained))}"
        return Change(None, _mean([now for _, _, now in values]), None, None, len(values), note=note)
    difference = statistics.mean_interval([now - before for before, now in both], statistics.GATE_CONFIDENCE)
    assert difference is not None
    low, high = difference.low, difference.high
    notes = [f"left out, without a number in the baseline: seed {', '.join(map(str, gained))}"] if gained else []
    if len(both) == 1:
        if math.isclose(*both[0], rel_tol=_ROUNDING):
            low = high = 0.0
        elif spread is not None and abs(difference.value) > spread:
            low = high = difference.value
        else:
            notes.append(f"no interval: one seed; run more ({argument('seeds')})")
    baseline, current = (math.fsum(side) / len(both) for side in zip(*both, strict=True))
    return Change(baseline, current, low, high, len(both), note="; ".join(notes))


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known)


def _ratio(
    metric: Quantity,
    pair: Pair,
    estimate: Callable[[Sequence[RunRecord], Sequence[RunRecord], str], Timing | None],
) -> Outcome:
    if pair.is_reference:
        return NotApplicable("it is the reference arm itself")
    if pair.reference is None:
        return Obstacle(f"{metric} of {pair.label}", "the reference arm cannot be compared")
    before, now = pair.reference
    unit = timing.mean_step(now)
    was, found = estimate(pair.baseline, before, metric.name), estimate(pair.current, now, metric.name)
    return timed_change(was, found, unit.value if unit is not None else None, metric)


def _largest(metric: Quantity, pair: Pair) -> Outcome:
    """The change of the largest of the seeds, compared as it is."""
    before, now = (
        max((value for run in runs if (value := metric.value(ArmRun(run))) is not None), default=None)
        for runs in (pair.baseline, pair.current)
    )
    if before is None and now is None:
        return NotApplicable("it was not counted")
    if before is None or now is None:
        side = "in the baseline" if before is None else "this time"
        return Obstacle(f"{metric} of {pair.label}", f"it was not counted {side}")
    return Change(float(before), float(now), float(now - before), float(now - before))


def _of_seeds(metric: Quantity, pair: Pair) -> Outcome:
    runs = [*pair.baseline, *pair.current]
    if not any(run.history.epoch for run in runs):
        return NotApplicable("no epoch was trained")
    both = zip(pair.baseline, pair.current, strict=True)
    values = [(before.seed, metric.value(ArmRun(before)), metric.value(ArmRun(now))) for before, now in both]
    seeds = [value for run in (*pair.current, *pair.further) if (value := metric.value(ArmRun(run))) is not None]
    change = paired_change(values, max(seeds) - min(seeds) if len(seeds) > 1 else None)
    if change is None and metric.ranks == "gan":
        return NotApplicable("no images were scored")
    if change is None:
        return Obstacle(f"{metric} of {pair.label}", "it is no number in the baseline nor now")
    return change


def _target(
    metric: Quantity, pair: Pair, target: float | None, needed: Callable[[RunRecord, float], float | None]
) -> Outcome:
    if target is None:
        return Obstacle(
            f"{metric} of {pair.label}", f"the records have no common target loss; give {argument('target_loss')}"
        )
    reached = [
        (before.seed, needed(before, target), needed(now, target))
        for before, now in zip(pair.baseline, pair.current, strict=True)
    ]
    # How many epochs a seed takes is what it is.
    change = paired_change(reached, spread=0.0)
    if change is None:
        return NotApplicable(f"neither the baseline nor the current runs reach {target:g}")
    seconds_per_unit = 1.0 if metric.compares_absolute_times else None
    if change.baseline is None or change.current is None:
        return replace(change, seconds_per_unit=seconds_per_unit)
    if seconds_per_unit is None:
        # What is counted is fixed by the seed: it has no interval beyond its own difference.
        difference = change.current - change.baseline
        return replace(change, low=difference, high=difference)
    both = [(before, now) for _, before, now in reached if before is not None and now is not None]
    before, now = (
        _varying_as_steps(runs, values)
        for runs, values in zip((pair.baseline, pair.current), zip(*both, strict=True), strict=True)
    )
    outcome = timed_change(before, now, 1.0, metric)
    return replace(outcome, note=change.note or outcome.note) if isinstance(outcome, Change) else outcome


def _varying_as_steps(runs: Sequence[RunRecord], seconds: Sequence[float]) -> Timing | None:
    """The mean of times that vary as the steps do: how many steps there are is fixed by the seed."""
    step = timing.mean_step(runs)
    first = timing.mean_step([run.processes[0] for run in runs])
    # The seconds are those of the first process.
    return None if step is None or first is None else replace(step, value=_mean(seconds) * step.value / first.value)
