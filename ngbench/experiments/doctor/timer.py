"""The clock of the measurements, looked at with itself: how fine it is, and how often the process is interrupted."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ngbench.experiments.doctor.findings import NOTHING, finding
from ngbench.records.experiments import FindingRecord, FindingState
from ngbench.units import format_seconds, format_share

__all__ = ["examine_timer", "read_clock"]

READS = 20_000
WATCHED = 0.5
"""Seconds for which interruptions are looked for."""

INTERRUPTION = 50e-6
"""A gap between two consecutive reads from which the process must have been interrupted: a read takes far less than
a microsecond, and what the kernel does between two of its own ticks a few microseconds."""

COARSE = 1e-6
LOST = 0.02
ACCURACY = 100
"""A duration of so many steps of the clock is known to one per cent."""


@dataclass(frozen=True)
class Readings:
    """What consecutive readings of a clock say; all times in seconds.

    Attributes:
        step: the smallest difference between two readings that differ.
        cost: the median time between two consecutive readings.
        lost: the part of the time that lies in gaps of :data:`INTERRUPTION` or more.
        longest: the longest gap.
    """

    step: float
    cost: float
    lost: float
    longest: float


def read_clock(
    clock: Callable[[], float] = time.perf_counter, *, reads: int = READS, watched: float = WATCHED
) -> Readings:
    """Read the clock over and over.

    Args:
        clock: returns seconds and never goes back.
        reads: how many readings at least; the clock's step and cost are found from these.
        watched: seconds to go on for, by this clock.
    """
    marks = [clock() for _ in range(reads + 1)]
    gaps = np.diff(marks)
    positive = gaps[gaps > 0]
    step = float(positive.min()) if len(positive) else 0.0
    start = previous = clock()
    lost = longest = 0.0
    while previous - start < watched:
        now = clock()
        gap = now - previous
        previous = now
        if gap >= INTERRUPTION:
            lost += gap
            longest = max(longest, gap)
    return Readings(step, float(np.median(gaps)), lost / (previous - start), longest)


def examine_timer(readings: Readings) -> list[FindingRecord]:
    """What the readings mean for measurements."""
    coarse = readings.step > COARSE
    least = max(readings.step, readings.cost) * ACCURACY
    resolution = finding(
        "timer",
        FindingState.BAD if coarse else FindingState.GOOD,
        f"steps of {format_seconds(readings.step)}, {format_seconds(readings.cost)} for a reading; "
        f"a phase of {format_seconds(least)} or more is timed to one per cent",
        "compare means over many steps only, or use a machine with a finer clock" if coarse else NOTHING,
        {"step_seconds": readings.step, "read_seconds": readings.cost, "one_per_cent_seconds": least},
    )
    disturbed = readings.lost > LOST
    interruptions = finding(
        "interruptions",
        FindingState.BAD if disturbed else FindingState.GOOD,
        f"{format_share(readings.lost)} of the time went to others while this process wanted to run, "
        f"the longest pause was {format_seconds(readings.longest)}",
        "stop other programs, or take more rounds (more steps) and more seeds" if disturbed else NOTHING,
        {"lost_share": readings.lost, "longest_seconds": readings.longest},
    )
    return [resolution, interruptions]
