"""A/A noise: the same comparison over and over, and what ``ngbench check`` could tell apart here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ngbench.experiments.doctor.findings import NOTHING, finding
from ngbench.experiments.runs import SilentObserver, refuse_unfinished
from ngbench.records import timing
from ngbench.records.experiments import FindingRecord, FindingState
from ngbench.records.power import Noise, noise_of, repeats_needed, smallest_regression
from ngbench.records.record import RunRecord
from ngbench.records.thresholds import Threshold
from ngbench.records.timing import Timing
from ngbench.running.plan import Plan
from ngbench.running.problem import Problem
from ngbench.running.schedule import execute
from ngbench.running.workers import Worker
from ngbench.spelling import argument
from ngbench.units import format_number, format_seconds, format_share

__all__ = ["examine_noise", "make_equal"]

_DISTRUST = 2.0
"""How many times larger than their rounds say the spread of equal runs must be to be worth a warning."""
_ENOUGH = 4
"""Equal runs from which their spread says something."""


@dataclass(frozen=True)
class Equal:
    """The same comparison, made several times.

    Attributes:
        arm: label of the optimizer that is looked at.
        reference: label of the arm that ratios refer to.
        documents: for each comparison the runs of the arm, and those of the reference.
    """

    arm: str
    reference: str
    documents: Sequence[tuple[Sequence[RunRecord], Sequence[RunRecord]]]


def make_equal(
    plan: Plan[Problem],
    workers: Callable[[], Mapping[str, Worker]],
    *,
    documents: int,
    note: Callable[[str], None],
) -> Equal:
    """Make the comparison of the plan ``documents`` times.

    Args:
        plan: of two arms, the reference first.
        workers: makes new ones for each comparison, as each ``ngbench compare`` has its own.
        documents: how many.
        note: is told of each.

    Raises:
        NgbenchError: a run did not end as it should.
        KeyboardInterrupt: the user interrupted.
    """
    reference, arm = (run.config.label for run in plan.groups[0])
    made = []
    for at in range(1, documents + 1):
        note(f"comparison {at} of {documents}: {reference} and {arm}, nothing changed")
        records, interrupted = execute(plan.groups, workers(), SilentObserver())
        if interrupted:
            raise KeyboardInterrupt
        refuse_unfinished(records)
        ours, theirs = ([run for run in records if run.label == label] for label in (arm, reference))
        made.append((ours, theirs))
    return Equal(arm, reference, made)


def examine_noise(equal: Equal, threshold: Threshold) -> list[FindingRecord]:
    """For the step and each phase: how it varies, and what a check with the threshold would catch.

    Args:
        equal: at least one comparison.
        threshold: relative; its metric does not matter.
    """
    found = [_finding(metric, unit, noise_of(values), equal, threshold) for metric, unit, values in _timings(equal)]
    return [_interrupted(equal), *found]


def _interrupted(equal: Equal) -> FindingRecord:
    """In how many steps the system took the processor away."""
    topic = "noise: interrupted steps"
    runs = [run for ours, theirs in equal.documents for run in (*ours, *theirs)]
    known = [(len(run.steps.interrupted), len(run.steps.seconds)) for run in runs if run.steps.interrupted is not None]
    if not known:
        return finding(topic, FindingState.NOTE, "not known on this device or system", NOTHING, {"share": None})
    share = sum(count for count, _ in known) / max(1, sum(steps for _, steps in known))
    most = max(count / max(1, steps) for count, steps in known)
    values = {"share": share, "largest_share_of_a_run": most}
    fact = f"{format_share(share)} of all steps, at most {format_share(most)} of a run's"
    if most > timing.MOST_INTERRUPTED:
        fact += (
            "; measured on a busy machine: beyond "
            f"{format_share(timing.MOST_INTERRUPTED)} they cannot be left out, and ratios are noisier"
        )
        return finding(
            topic,
            FindingState.BAD,
            fact,
            f"stop other programs, or use shorter steps ({argument('batch_size')})",
            values,
        )
    return finding(topic, FindingState.GOOD, f"{fact}; comparisons leave them out", NOTHING, values)


def _timings(equal: Equal) -> Iterator[tuple[str, str, list[Timing]]]:
    pairs = equal.documents
    yield "step_time.ratio", "ratio", _known(timing.step_ratio(*pair) for pair in pairs)
    yield "step_time", "seconds", _known(timing.mean_step(ours) for ours, _ in pairs)
    names = dict.fromkeys(name for ours, _ in pairs for run in ours for name in run.phases)
    for name in names:
        yield f"phase.{name}.ratio", "ratio", _known(timing.phase_ratio(*pair, name) for pair in pairs)


def _known(timings: Iterator[Timing | None]) -> list[Timing]:
    return [found for found in timings if found is not None]


def _finding(metric: str, unit: str, noise: Noise | None, equal: Equal, threshold: Threshold) -> FindingRecord:
    topic = f"noise: {metric}"
    if noise is None:
        fact, advice = "too few rounds to tell", f"more {argument('steps')}, for two rounds or more"
        return finding(topic, FindingState.NOTE, fact, advice, {"metric": metric, "arm": equal.arm})
    caught = smallest_regression(noise, threshold.amount)
    repeats = repeats_needed(noise, threshold.amount)
    shown = (
        format_seconds(noise.value)
        if unit == "seconds"
        else f"{format_number(noise.value)} of {equal.reference}'s step"
    )
    fact = (
        f"{shown}; equal runs differ by {format_share(noise.deviation)} (standard deviation); under a threshold of "
        f"{format_share(threshold.amount)} a slow-down from {format_share(caught)} on is caught in 95 %"
    )
    values = {
        "metric": metric,
        "arm": equal.arm,
        "reference": equal.reference,
        "value": noise.value,
        "relative_error_of_a_run": noise.within,
        "relative_spread_of_equal_runs": noise.between,
        "comparisons": noise.n,
        "threshold": threshold.amount,
        "smallest_regression": caught,
        "repeats_for_twice_the_threshold": repeats,
    }
    twice = format_share(2 * threshold.amount)
    if noise.between is not None and noise.n >= _ENOUGH and noise.between > _DISTRUST * noise.within:
        fact += f"; they differ {noise.between / noise.within:.1f} times as much as their rounds tell"
        return finding(
            topic, FindingState.BAD, fact, f"{_repeat(repeats, twice)}, on a machine that does nothing else", values
        )
    if repeats == 1:
        return finding(topic, FindingState.GOOD, fact, NOTHING, values)
    return finding(topic, FindingState.NOTE, fact, _repeat(repeats, twice), values)


def _repeat(repeats: int | None, twice: str) -> str:
    if repeats is None:
        return f"no number of repeats makes {twice} visible: choose a larger threshold"
    return f"{argument('seeds', repeats)} in both runs, or as many times the steps, to catch {twice}"
