"""How long steps and phases took: the one estimator of times, whatever asks for them.

The arms of a comparison take turns in rounds. Steps in which the operating system took the processor away are left out
where the records name them and they are no more than half: such a step took as long as other programs pleased. Beyond
half of them all steps count, and :func:`busy_machine` says so. Within a round a step's time is the plain mean of the
others, so that work done on every tenth step counts in full; over the rounds it is the trimmed mean, so that a round in
which the machine was busy with something else does not count at all. Plain and refresh steps are averaged apart and put
together in the proportion in which they occurred, because a round may hold no refresh. Where a reference arm is given,
each round is measured in units of that arm's plain step in the same round: what slows the whole machine cancels.

What one process takes says little of what another will: memory lies elsewhere, and the rounds of a process do not tell.
Where runs were made in several fresh processes, the estimate is the mean of those of the processes, and its variance is
that between them.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar, cast

import numpy as np
from scipy.special import stdtrit

from ngbench.records.record import RunRecord
from ngbench.records.statistics import CONFIDENCE, GATE_CONFIDENCE, UncertainValue
from ngbench.units import enumerated

__all__ = [
    "KINDS",
    "MOST_INTERRUPTED",
    "Timing",
    "busy_machine",
    "counted_rounds",
    "estimate",
    "mean_step",
    "median_step",
    "phase_change",
    "phase_per_step",
    "phase_ratio",
    "phase_samples",
    "phase_seconds",
    "relative_change",
    "step_of_kind",
    "step_ratio",
]

TRIM = 0.2
"""The part of the rounds left out at each end, as Wilcox (*Robust Estimation*, 3rd ed., section 3.3) advises."""

MOST_INTERRUPTED = 0.5
"""The part of a run's steps up to which those that were interrupted are left out. Beyond it steps are so long, or the
machine so busy, that what is left would be a selection; each step then has its share of interruptions."""
_MOST_NAMED = 3

_WIDEST = math.log(1000)

Kind = Literal["plain", "refresh"]
KINDS: tuple[Kind, ...] = ("plain", "refresh")


@dataclass(frozen=True)
class Timing:
    """A time, or a ratio of times.

    Attributes:
        value: the estimate.
        variance: of the estimate relative to it, squared; ``None`` where there are too few rounds to tell.
        degrees: degrees of freedom of the variance.
        n: how many rounds it rests on, or processes where there are several.
        processes: how many it is the mean of; the variance of several is that between them.
    """

    value: float
    variance: float | None
    degrees: float
    n: int
    processes: int = 1


def robust_mean(values: Sequence[float]) -> Timing | None:
    """The mean without the fifth of the values at each end, and its variance; ``None`` of no values.

    The variance is ``(n - 1) s_w^2 / (h (h - 1))`` with the Winsorised variance ``s_w^2`` and the ``h`` values
    that are left, with ``h - 1`` degrees of freedom (Yuen, *Biometrika* 61, 1974). Fewer than five values lose
    none, and the variance is that of the mean.

    >>> robust_mean([1.0, 1.1, 0.9, 1.0, 50.0]).value
    1.0333333333333334
    >>> robust_mean([1.0])
    Timing(value=1.0, variance=None, degrees=0, n=1, processes=1)
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


def estimate(timing: Timing | None, confidence: float = CONFIDENCE) -> UncertainValue | None:
    """The value with its interval, Student's on the logarithm, as that of a relative change.

    An interval that reaches over more than three orders of magnitude either way is none.
    """
    if timing is None:
        return None
    half = math.inf
    if timing.variance is not None and timing.degrees > 0:
        half = float(stdtrit(timing.degrees, (1 + confidence) / 2)) * math.sqrt(timing.variance)
    if half > _WIDEST:
        return UncertainValue(timing.value, None, None, timing.n)
    return UncertainValue(timing.value, timing.value / math.exp(half), timing.value * math.exp(half), timing.n)


def rounds(run: RunRecord) -> list[list[float]]:
    """The run's step times in seconds, cut at the ends of its turns, or of its epochs where the record does not say
    how turns were cut; what is left comes last."""
    seconds = run.steps.seconds
    ends = run.steps.turns or run.history.step
    cuts = sorted({0, len(seconds), *(step for step in ends if step <= len(seconds))})
    return [seconds[start:stop] for start, stop in itertools.pairwise(cuts)]


def counted_rounds(runs: Sequence[RunRecord]) -> list[list[tuple[float, Kind]]]:
    """Seconds and kind of the steps of each round that count, of all processes; rounds without one are left out."""
    return [part for cut in _cut(_made(runs)) for part in cut.counted if part]


def busy_machine(runs: Iterable[RunRecord], each: str = "arm") -> list[str]:
    """A sentence if more than half of the steps of a run were interrupted, of all arms (or what ``each`` is) alike."""
    found: dict[str, list[RunRecord]] = {}
    for run in _made(runs):
        if len(run.steps.interrupted or ()) > MOST_INTERRUPTED * len(run.steps.seconds):
            found.setdefault(run.label, []).append(run)
    if not found:
        return []
    shares = [
        f"{sum(len(run.steps.interrupted or ()) for run in of_arm)} of {sum(len(run.steps.seconds) for run in of_arm)}"
        for of_arm in found.values()
    ]
    few = len(found) <= _MOST_NAMED
    who = enumerated([*found]) if few else f"{len(found)} {each}s"
    how_many = f"{enumerated(shares)} steps" if few else "more than half of their steps"
    return [
        f"{who} {'was' if len(found) == 1 else 'were'} measured on a busy machine: {how_many} were interrupted, and "
        "all of them count. Stop other programs; ngbench doctor says what can be told here."
    ]


_Estimator = TypeVar("_Estimator", bound=Callable[..., Timing | None])


def _over_processes(estimator: _Estimator) -> _Estimator:
    """The estimator, whose first arguments are the runs of one arm or of two, over the processes that made them."""

    @functools.wraps(estimator)
    def over(*args: Any) -> Timing | None:
        sides = [given for given in args if not isinstance(given, str)]
        found = [estimator(*part, *args[len(sides) :]) for part in _by_process(sides)]
        known = [timing for timing in found if timing is not None]
        return mean_of_processes([timing.value for timing in known]) if len(known) > 1 else next(iter(known), None)

    return cast(_Estimator, over)


def mean_of_processes(values: Sequence[float]) -> Timing:
    """The mean of what two or more processes took, and the variance of it between them."""
    mean, n = float(np.mean(values)), len(values)
    variance = float(np.var(values, ddof=1)) / (n * mean**2) if mean > 0 else 0.0
    return Timing(mean, variance, n - 1, n, processes=n)


def _by_process(sides: Sequence[Sequence[RunRecord]]) -> list[list[list[RunRecord]]]:
    """For each process the run that it made, of each side the one that took turns with it; all runs together where no
    run was made again."""
    made = [{(run.seed, at): one for run in side for at, one in enumerate(run.processes)} for side in sides]
    shared = [key for key in made[0] if all(key in other for other in made)]
    if any(at for _, at in shared):
        return [[[one[key]] for one in made] for key in shared]
    return [[[run.processes[0] for run in side] for side in sides]]


def _made(runs: Iterable[RunRecord]) -> list[RunRecord]:
    return [one for run in runs for one in run.processes]


@_over_processes
def mean_step(runs: Sequence[RunRecord]) -> Timing | None:
    """Seconds of a step, plain and refresh steps in the proportion in which they occurred."""
    cuts = _cut(runs)
    return _amortised(cuts, _seconds(cuts))


@_over_processes
def step_of_kind(runs: Sequence[RunRecord], kind: Kind) -> Timing | None:
    """Seconds of a step of the kind: what :func:`mean_step` is put together from."""
    cuts = _cut(runs)
    return robust_mean(_by_kind(cuts, _seconds(cuts), kind))


@_over_processes
def median_step(runs: Sequence[RunRecord]) -> Timing | None:
    """Seconds of a typical step: the median within a round, which does not see rare steps, over the rounds."""
    return robust_mean([float(np.median([seconds for seconds, _ in part])) for part in counted_rounds(runs)])


@_over_processes
def step_ratio(runs: Sequence[RunRecord], reference: Sequence[RunRecord]) -> Timing | None:
    """How many times longer a step takes than the reference arm's, amortised over plain and refresh steps.

    Only seeds that both arms ran count; ``None`` where there is none, or no round that both ran.
    """
    ours, theirs, units = _shared(runs, reference)
    return _quotient(_amortised(ours, units), _amortised(theirs, units))


def phase_samples(runs: Sequence[RunRecord], name: str) -> list[tuple[float, int]]:
    """Seconds and calls of the phase in each round in which it was called, or in each run whose record has no
    rounds."""
    found: list[tuple[float, int]] = []
    for cut in _cut(_made(runs)):
        if (phase := cut.run.phases.get(name)) is None:
            continue
        by_round = [*zip(phase.seconds_by_round, phase.calls_by_round, strict=True)]
        if cut.undisturbed and any(phase.undisturbed_calls_by_round):
            by_round = [*zip(phase.undisturbed_seconds_by_round, phase.undisturbed_calls_by_round, strict=True)]
        called = [sample for sample in by_round if sample[1]]
        found += called or [(phase.seconds_total, phase.calls)] * (phase.calls > 0)
    return found


@_over_processes
def phase_seconds(runs: Sequence[RunRecord], name: str) -> Timing | None:
    """Seconds of a call of the phase; ``None`` where it was not called.

    Records that do not say what the phase took in each round give a value without variance.
    """
    cuts = _cut(runs)
    return _phase_call(cuts, _seconds(cuts), name)


@_over_processes
def phase_per_step(runs: Sequence[RunRecord], name: str) -> Timing | None:
    """Seconds that a step spends in the phase on average: :func:`phase_seconds` times its calls for each step."""
    cuts = _cut(runs)
    return _per_step(_phase_call(cuts, _seconds(cuts), name), cuts, name)


@_over_processes
def phase_ratio(runs: Sequence[RunRecord], reference: Sequence[RunRecord], name: str) -> Timing | None:
    """Seconds that a step spends in the phase, in units of the reference arm's step; ``None`` where unknown.

    Records that do not say what the phase took in each round give a value without variance.
    """
    ours, theirs, units = _shared(runs, reference)
    return _quotient(_per_step(_phase_call(ours, units, name), ours, name), _amortised(theirs, units))


@_over_processes
def phase_change(runs: Sequence[RunRecord], others: Sequence[RunRecord], name: str) -> Timing | None:
    """How many times longer a call of the phase takes than in the other arm."""
    ours, theirs, units = _shared(runs, others)
    return _quotient(_phase_call(ours, units, name), _phase_call(theirs, units, name))


def relative_change(
    baseline: Timing, current: Timing, confidence: float = GATE_CONFIDENCE
) -> tuple[float, float, float] | None:
    """``current / baseline - 1`` and its interval; ``None`` where either has no variance.

    The interval is that of the difference of the logarithms: Welch's, if each was measured in one process. If one of
    them was in several, it is Student's with the variance between processes, which is taken to be that of both, since
    they are the same arm; a single process adds the variance within it.

    >>> point, low, high = relative_change(Timing(2.0, 1e-4, 9, 10), Timing(2.2, 1e-4, 9, 10))
    >>> round(point, 3), round(low, 3), round(high, 3)
    (0.1, 0.061, 0.14)
    """
    if baseline.variance is None or current.variance is None or baseline.value <= 0 or current.value <= 0:
        return None
    difference = math.log(current.value / baseline.value)
    sides = (baseline.variance, baseline), (current.variance, current)
    terms = [(variance, timing.degrees) for variance, timing in sides if timing.processes == 1]
    if degrees := sum(timing.processes - 1 for _, timing in sides):
        squares = sum(variance * timing.processes * (timing.processes - 1) for variance, timing in sides)
        terms.append((squares / degrees * sum(1 / timing.processes for _, timing in sides), degrees))
    half = 0.0
    if (variance := sum(term for term, _ in terms)) > 0:
        half = float(stdtrit(_degrees(terms), (1 + confidence) / 2)) * math.sqrt(variance)
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
    whole: list[list[tuple[float, Kind]]]
    counted: list[list[tuple[float, Kind]]]
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
    whole: list[list[tuple[float, Kind]]] = []
    counted: list[list[tuple[float, Kind]]] = []
    start = 0
    for part in rounds(run):
        steps = list(zip(part, run.steps.kind[start : start + len(part)], strict=True))
        whole.append(steps)
        counted.append([step for at, step in enumerate(steps, start) if at not in left_out])
        start += len(part)
    return _Cut(run, whole, counted, undisturbed)


def _shared(runs: Sequence[RunRecord], others: Sequence[RunRecord]) -> tuple[list[_Cut], list[_Cut], list[list[float]]]:
    """The runs of the seeds that both arms have, paired and cut into rounds, and the units of the rounds."""
    by_seed = {run.seed: run for run in others}
    ours = [run for run in runs if run.seed in by_seed]
    cuts = _cut([*ours, *(by_seed[run.seed] for run in ours)])
    theirs = cuts[len(ours) :]
    return cuts[: len(ours)], theirs, [_units(cut) for cut in theirs]


def _seconds(cuts: Sequence[_Cut]) -> list[list[float]]:
    """The units of the rounds that leave times in seconds."""
    return [[1.0] * len(cut.whole) for cut in cuts]


def _units(cut: _Cut) -> list[float]:
    """For each round the mean of the plain steps, the speed of the machine; 0 where there is none.

    Of an arm that refreshes its curvature in every step all steps are alike, and any of them does.
    """
    alike = "plain" not in cut.run.steps.kind
    found = []
    for part in cut.counted:
        chosen = [second for second, kind in part if alike or kind == "plain"]
        found.append(math.fsum(chosen) / len(chosen) if chosen else 0.0)
    return found


def _amortised(cuts: Sequence[_Cut], units: Sequence[Sequence[float]]) -> Timing | None:
    """The time of a step of the runs in the units of their rounds, each kind averaged apart."""
    kinds = [kind for cut in cuts for kind in cut.run.steps.kind]
    parts = [(robust_mean(_by_kind(cuts, units, kind)), kinds.count(kind)) for kind in KINDS]
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


def _by_kind(cuts: Sequence[_Cut], units: Sequence[Sequence[float]], kind: Kind) -> list[float]:
    """For each round that has steps of the kind, their mean in the round's unit."""
    # A kind whose every step was interrupted (curvature estimated once) is better known so than not at all.
    return _means([cut.counted for cut in cuts], units, kind) or _means([cut.whole for cut in cuts], units, kind)


def _means(
    runs: Sequence[Sequence[Sequence[tuple[float, Kind]]]], units: Sequence[Sequence[float]], kind: Kind
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


def _per_step(call: Timing | None, cuts: Sequence[_Cut], name: str) -> Timing | None:
    steps = sum(len(cut.run.steps.seconds) for cut in cuts)
    if call is None or not steps:
        return None
    calls = sum(cut.run.phases[name].calls for cut in cuts if name in cut.run.phases)
    return replace(call, value=call.value * calls / steps)


def _quotient(numerator: Timing | None, denominator: Timing | None) -> Timing | None:
    if numerator is None or denominator is None or denominator.value <= 0:
        return None
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
