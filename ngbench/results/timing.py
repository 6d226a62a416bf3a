"""Times that survive a noisy machine, with the variance that a comparison between two documents needs.

The arms of a comparison take turns in rounds. Steps in which the operating system took the processor away are left out
where the records name them and they are fewer than half: such a step took as long as other programs pleased. Within a
round a step's time is the plain mean of the others, so that work done on every tenth step counts in full; over the
rounds it is the trimmed mean, so that a round in which the machine was busy with something else does not count at all.
Plain and refresh steps are averaged apart and put together in the proportion in which they occurred, because a round
may hold no refresh. Where a reference arm is given, each round is measured in units of that arm's plain step in the
same round: what slows the whole machine cancels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import stdtrit

from ngbench.results.record import RunRecord
from ngbench.results.statistics import rounds

__all__ = [
    "CONFIDENCE",
    "Timing",
    "mean_step",
    "median_step",
    "phase_ratio",
    "phase_seconds",
    "relative_change",
    "robust_mean",
    "step_ratio",
]

TRIM = 0.2
"""The part of the rounds left out at each end, as Wilcox (*Robust Estimation*, 3rd ed., section 3.3) advises."""

CONFIDENCE = 0.98
"""Of the two-sided intervals of changes. One end is then wrong once in a hundred times, so a threshold of nothing
at all would raise false alarms at that rate, and any other fewer, as far as the rounds vary independently."""

MOST_INTERRUPTED = 0.5
"""The part of a run's steps up to which those that were interrupted are left out. Beyond it steps are so long, or the
machine so busy, that what is left would be a selection; each step then has its share of interruptions."""

_Kind = Literal["plain", "refresh"]
_KINDS: tuple[_Kind, ...] = ("plain", "refresh")


@dataclass(frozen=True)
class Timing:
    """A time, or a ratio of times.

    Attributes:
        value: the estimate.
        variance: of the estimate relative to it, squared; ``None`` where there are too few rounds to tell.
        degrees: degrees of freedom of the variance.
        n: how many rounds it rests on.
    """

    value: float
    variance: float | None
    degrees: float
    n: int


def robust_mean(values: Sequence[float]) -> Timing | None:
    """The mean without the fifth of the values at each end, and its variance; ``None`` of no values.

    The variance is ``(n - 1) s_w^2 / (h (h - 1))`` with the Winsorised variance ``s_w^2`` and the ``h`` values
    that are left, with ``h - 1`` degrees of freedom (Yuen, *Biometrika* 61, 1974). Fewer than five values lose
    none, and the variance is that of the mean.

    >>> robust_mean([1.0, 1.1, 0.9, 1.0, 50.0]).value
    1.0333333333333334
    >>> robust_mean([1.0])
    Timing(value=1.0, variance=None, degrees=0, n=1)
    """
    n = len(values)
    if n == 0:
        return None
    ordered = np.sort(np.asarray(values, dtype=float))
    cut = int(TRIM * n)
    left = n - 2 * cut
    mean = float(ordered[cut : n - cut].mean())
    if n == 1:
        return Timing(mean, None, 0, 1)
    winsorised = np.clip(ordered, ordered[cut], ordered[n - cut - 1])
    variance = float(winsorised.var(ddof=1)) * (n - 1) / (left * (left - 1))
    return Timing(mean, variance / mean**2 if mean > 0 else 0.0, left - 1, n)


def mean_step(runs: Sequence[RunRecord]) -> Timing | None:
    """Seconds of a step, plain and refresh steps in the proportion in which they occurred."""
    cuts = _cut(runs)
    return _amortised(cuts, _seconds(cuts))


def median_step(runs: Sequence[RunRecord]) -> Timing | None:
    """Seconds of a typical step: the median within a round, which does not see rare steps, over the rounds."""
    return robust_mean([float(np.median(part)) for run in runs for part in rounds(run) if part])


def step_ratio(runs: Sequence[RunRecord], reference: Sequence[RunRecord]) -> Timing | None:
    """How many times longer a step takes than the reference arm's, amortised over plain and refresh steps.

    Only seeds that both arms ran count; ``None`` where there is none, or no round that both ran.
    """
    ours, theirs = _shared(runs, reference)
    units = [_units(cut) for cut in theirs]
    numerator, denominator = _amortised(ours, units), _amortised(theirs, units)
    if numerator is None or denominator is None or denominator.value <= 0:
        return None
    return _quotient(numerator, denominator)


def phase_seconds(runs: Sequence[RunRecord], name: str) -> Timing | None:
    """Seconds of a call of the phase; ``None`` where it was not called.

    Records that do not say what the phase took in each round give a value without variance.
    """
    cuts = _cut(runs)
    return _phase_call(cuts, _seconds(cuts), name)


def phase_ratio(runs: Sequence[RunRecord], reference: Sequence[RunRecord], name: str) -> Timing | None:
    """Seconds that a step spends in the phase, in units of the reference arm's step; ``None`` where unknown.

    Records that do not say what the phase took in each round give a value without variance.
    """
    ours, theirs = _shared(runs, reference)
    units = [_units(cut) for cut in theirs]
    call, unit = _phase_call(ours, units, name), _amortised(theirs, units)
    steps = sum(len(cut.run.steps.seconds) for cut in ours)
    if call is None or unit is None or unit.value <= 0 or not steps:
        return None
    calls = sum(cut.run.phases[name].calls for cut in ours if name in cut.run.phases)
    per_step = Timing(call.value * calls / steps, call.variance, call.degrees, call.n)
    return _quotient(per_step, unit)


def relative_change(
    baseline: Timing, current: Timing, confidence: float = CONFIDENCE
) -> tuple[float, float, float] | None:
    """``current / baseline - 1`` and its interval; ``None`` where either has no variance.

    The interval is Welch's for the difference of the logarithms.

    >>> point, low, high = relative_change(Timing(2.0, 1e-4, 9, 10), Timing(2.2, 1e-4, 9, 10))
    >>> round(point, 3), round(low, 3), round(high, 3)
    (0.1, 0.061, 0.14)
    """
    if baseline.variance is None or current.variance is None or baseline.value <= 0 or current.value <= 0:
        return None
    difference = math.log(current.value / baseline.value)
    variance = baseline.variance + current.variance
    half = 0.0
    if variance > 0:
        degrees = _degrees([(baseline.variance, baseline.degrees), (current.variance, current.degrees)])
        half = float(stdtrit(degrees, (1 + confidence) / 2)) * math.sqrt(variance)
    # The exponential of an interval that means nothing would overflow.
    return math.expm1(difference), math.expm1(difference - half), math.expm1(min(difference + half, 700.0))


@dataclass(frozen=True)
class _Cut:
    """A run cut into rounds, of which each step has its seconds and its kind.

    Attributes:
        run: the record.
        whole: the steps of each round.
        counted: those that were not interrupted; all where that is not known or too many were.
        undisturbed: whether interrupted steps are left out.
    """

    run: RunRecord
    whole: list[list[tuple[float, _Kind]]]
    counted: list[list[tuple[float, _Kind]]]
    undisturbed: bool


def _cut(runs: Sequence[RunRecord]) -> list[_Cut]:
    """The runs cut into rounds; either all of them lose their interrupted steps or none does."""
    undisturbed = all(
        run.steps.interrupted is not None and len(run.steps.interrupted) <= MOST_INTERRUPTED * len(run.steps.seconds)
        for run in runs
    )
    return [_cut_one(run, undisturbed) for run in runs]


def _cut_one(run: RunRecord, undisturbed: bool) -> _Cut:
    left_out = set(run.steps.interrupted or ()) if undisturbed else set()
    whole: list[list[tuple[float, _Kind]]] = []
    counted: list[list[tuple[float, _Kind]]] = []
    start = 0
    for part in rounds(run):
        steps = list(zip(part, run.steps.kind[start : start + len(part)], strict=True))
        whole.append(steps)
        counted.append([step for at, step in enumerate(steps, start) if at not in left_out])
        start += len(part)
    return _Cut(run, whole, counted, undisturbed)


def _shared(runs: Sequence[RunRecord], others: Sequence[RunRecord]) -> tuple[list[_Cut], list[_Cut]]:
    """The runs of the seeds that both arms have, paired and cut into rounds."""
    by_seed = {run.seed: run for run in others}
    ours = [run for run in runs if run.seed in by_seed]
    cuts = _cut([*ours, *(by_seed[run.seed] for run in ours)])
    return cuts[: len(ours)], cuts[len(ours) :]


def _seconds(cuts: Sequence[_Cut]) -> list[list[float]]:
    """The units of the rounds that leave times in seconds."""
    return [[1.0] * len(cut.whole) for cut in cuts]


def _units(cut: _Cut) -> list[float]:
    """For each round the mean of the plain steps, the speed of the machine; 0 where there is none."""
    found = []
    for part in cut.counted:
        plain = [second for second, kind in part if kind == "plain"]
        found.append(math.fsum(plain) / len(plain) if plain else 0.0)
    return found


def _amortised(cuts: Sequence[_Cut], units: Sequence[Sequence[float]]) -> Timing | None:
    """The time of a step of the runs in the units of their rounds, each kind averaged apart."""
    kinds = [kind for cut in cuts for kind in cut.run.steps.kind]
    parts = [(robust_mean(_by_kind(cuts, units, kind)), kinds.count(kind)) for kind in _KINDS]
    known = [(timing, count / len(kinds)) for timing, count in parts if timing is not None]
    if not known:
        return None
    value = sum(share * timing.value for timing, share in known)
    n = max(timing.n for timing, _ in known)
    spread = max((timing.variance * timing.n for timing, _ in known if timing.variance is not None), default=None)
    if spread is None or value <= 0:
        return Timing(value, None, 0, n)
    terms = []
    for timing, share in known:
        # A kind that occurred in one round only (curvature estimated once) varies as the other kind does.
        variance, degrees = (spread, n - 1) if timing.variance is None else (timing.variance, timing.degrees)
        terms.append(((share * timing.value / value) ** 2 * variance, degrees))
    return Timing(value, sum(variance for variance, _ in terms), _degrees(terms), n)


def _by_kind(cuts: Sequence[_Cut], units: Sequence[Sequence[float]], kind: _Kind) -> list[float]:
    """For each round that has steps of the kind, their mean in the round's unit."""
    # A kind whose every step was interrupted (curvature estimated once) is better known so than not at all.
    return _means([cut.counted for cut in cuts], units, kind) or _means([cut.whole for cut in cuts], units, kind)


def _means(
    runs: Sequence[Sequence[Sequence[tuple[float, _Kind]]]], units: Sequence[Sequence[float]], kind: _Kind
) -> list[float]:
    found = []
    for parts, run_units in zip(runs, units, strict=True):
        # A run that ended early has fewer rounds than its reference, and the other way round.
        for part, unit in zip(parts, run_units, strict=False):
            seconds = [second for second, is_kind in part if is_kind == kind]
            if seconds and unit > 0:
                found.append(math.fsum(seconds) / len(seconds) / unit)
    return found


def _phase_call(cuts: Sequence[_Cut], units: Sequence[Sequence[float]], name: str) -> Timing | None:
    """The time of a call of the phase in the units of the rounds."""
    having = [(cut, run_units) for cut, run_units in zip(cuts, units, strict=True) if name in cut.run.phases]
    phases = [(cut.run.phases[name], cut.undisturbed, run_units) for cut, run_units in having]
    found: list[float] = []
    for phase, undisturbed, run_units in phases:
        if undisturbed:
            found += _calls(phase.undisturbed_seconds_by_round, phase.undisturbed_calls_by_round, run_units)
    if not found:
        for phase, _, run_units in phases:
            found += _calls(phase.seconds_by_round, phase.calls_by_round, run_units)
    calls = sum(phase.calls for phase, _, _ in phases)
    if found or not calls:
        return robust_mean(found)
    totals = []
    for phase, _, run_units in phases:
        known = [unit for unit in run_units if unit > 0]
        if known:
            totals.append(phase.seconds_total / (math.fsum(known) / len(known)))
    return Timing(math.fsum(totals) / calls, None, 0, len(totals))


def _calls(seconds: Sequence[float], calls: Sequence[int], units: Sequence[float]) -> list[float]:
    """For each round in which the phase was called, the mean time of a call in the round's unit."""
    by_round = zip(seconds, calls, units, strict=False)
    return [amount / count / unit for amount, count, unit in by_round if count and unit > 0]


def _quotient(numerator: Timing, denominator: Timing) -> Timing:
    value, n = numerator.value / denominator.value, min(numerator.n, denominator.n)
    if numerator.variance is None or denominator.variance is None:
        return Timing(value, None, 0, n)
    terms = [(numerator.variance, numerator.degrees), (denominator.variance, denominator.degrees)]
    return Timing(value, numerator.variance + denominator.variance, _degrees(terms), n)


def _degrees(terms: Iterable[tuple[float, float]]) -> float:
    """Degrees of freedom of a sum of independent variances (Welch and Satterthwaite)."""
    known = [(variance, degrees) for variance, degrees in terms if variance > 0]
    total = sum(variance for variance, _ in known)
    return total**2 / sum(variance**2 / degrees for variance, degrees in known) if known else 1.0
