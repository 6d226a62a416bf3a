"""What the steps of each arm cost, cut into rounds: the numbers that tools beside this one tabulate and compare.

The parts of a step have the names that ``ngbench check`` and studies know them by: ``step_time`` for the whole step,
amortised over plain and refresh steps; ``step_time.plain`` and ``step_time.refresh`` where an arm takes both;
``phase.NAME``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ngbench.records import timing
from ngbench.records.comparability import group_arms
from ngbench.records.record import PhaseRecord, RunRecord
from ngbench.records.statistics import UncertainValue
from ngbench.records.timing import Timing

__all__ = ["STEP", "Cost", "costs_of"]

STEP = "step_time"


@dataclass(frozen=True)
class Cost:
    """What one part of an arm's step costs.

    Attributes:
        part: ``step_time``, ``step_time.plain``, ``step_time.refresh`` or ``phase.NAME``.
        arm: the label.
        samples: seconds of the part, one entry for each round in which it occurred: the mean over the steps, or the
            calls of the phase, in that round. Of plain and of refresh steps, those of each step. Interrupted steps do
            not count (:mod:`ngbench.records.timing`).
        iterations: over how many steps or calls most of the samples are means.
        calls: how often the part occurred in all.
        seconds: of a step or a call, trimmed.
        ratio: seconds that a step spends in the part, in units of the reference arm's step, measured in the same round;
            ``None`` for ``step_time.plain`` and ``step_time.refresh``, and where the arms share no round.
        flops: floating-point operations of a call, of a phase whose operations were counted.
        bytes: read and written in a call.
    """

    part: str
    arm: str
    samples: Sequence[float]
    iterations: int
    calls: int
    seconds: UncertainValue
    ratio: UncertainValue | None = None
    flops: int | None = None
    bytes: int | None = None


def phase_part(name: str) -> str:
    """What the phase is called as a part of a step."""
    return f"phase.{name}"


def costs_of(runs: Sequence[RunRecord], reference: str) -> list[Cost]:
    """The costs of all arms of one task, part by part; an arm that took no step has none.

    Args:
        runs: of one task, of any number of arms and seeds.
        reference: the label of the arm that ratios refer to.
    """
    arms = group_arms(run for run in runs if run.steps.seconds)
    costs = [cost for arm, ours in arms.items() for cost in _costs_of_arm(arm, ours, arms.get(reference, []))]
    parts = list(dict.fromkeys(cost.part for cost in costs))
    return sorted(costs, key=lambda cost: parts.index(cost.part))


def _costs_of_arm(arm: str, runs: Sequence[RunRecord], reference: Sequence[RunRecord]) -> Iterator[Cost]:
    parts = timing.counted_rounds(runs)
    yield _cost(
        STEP,
        arm,
        [math.fsum(seconds for seconds, _ in part) / len(part) for part in parts],
        [len(part) for part in parts],
        timing.mean_step(runs),
        timing.step_ratio(runs, reference),
    )
    by_kind = {kind: [s for part in parts for s, of_kind in part if of_kind == kind] for kind in timing.KINDS}
    if all(by_kind.values()):
        for kind, seconds in by_kind.items():
            yield _cost(f"{STEP}.{kind}", arm, seconds, [1] * len(seconds), timing.step_of_kind(runs, kind))
    for name in dict.fromkeys(name for run in runs for name in run.phases):
        phases = [run.phases[name] for run in runs if name in run.phases]
        samples = timing.phase_samples(runs, name)
        if samples:
            yield _cost(
                phase_part(name),
                arm,
                [seconds / calls for seconds, calls in samples],
                [calls for _, calls in samples],
                timing.phase_seconds(runs, name),
                timing.phase_ratio(runs, reference, name),
                flops=_if_equal(phases, lambda phase: phase.flops),
                counted_bytes=_if_equal(phases, lambda phase: phase.bytes),
            )


def _cost(
    part: str,
    arm: str,
    samples: list[float],
    counts: list[int],
    seconds: Timing | None,
    ratio: Timing | None = None,
    *,
    flops: int | None = None,
    counted_bytes: int | None = None,
) -> Cost:
    estimate = timing.estimate(seconds)
    assert estimate is not None, "what has samples has a time"
    return Cost(
        part=part,
        arm=arm,
        samples=samples,
        iterations=Counter(counts).most_common(1)[0][0],
        calls=sum(counts),
        seconds=estimate,
        ratio=timing.estimate(ratio),
        flops=flops,
        bytes=counted_bytes,
    )


def _if_equal(phases: Sequence[PhaseRecord], count: Callable[[PhaseRecord], int | None]) -> int | None:
    """What all seeds agree on: operations depend on no seed, unless an iteration ended sooner in one of them."""
    counts = {count(phase) for phase in phases}
    return counts.pop() if len(counts) == 1 else None
