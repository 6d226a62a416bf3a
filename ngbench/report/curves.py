"""Quantities along the run, over several runs of an arm: what is drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ngbench.records.quantities import ArmRun, quantity_of
from ngbench.records.record import RunRecord
from ngbench.report.blocks import Curve

__all__ = ["band_of"]


def band_of(runs: Sequence[RunRecord], which: str) -> Curve:
    """The mean over the runs and the lowest and highest, by epoch, update (``step``) and training seconds (``time``).

    Args:
        runs: of one arm.
        which: quantity (:mod:`ngbench.records.quantities`), by epoch.

    Returns:
        What is known of the epochs in which every run has a finite value.
    """
    by_run = [_points(run, which) for run in runs]
    shared = sorted(set.intersection(*(set(points) for points in by_run))) if by_run else []
    values = [[points[epoch][2] for points in by_run] for epoch in shared]
    several = len(runs) > 1

    def mean(of: Sequence[float]) -> float:
        return math.fsum(of) / len(of)

    return Curve(
        x={
            "epoch": shared,
            "step": [mean([points[epoch][0] for points in by_run]) for epoch in shared],
            "time": [mean([points[epoch][1] for points in by_run]) for epoch in shared],
        },
        mean=[mean(at) for at in values],
        low=[min(at) for at in values] if several else (),
        high=[max(at) for at in values] if several else (),
    )


def _points(run: RunRecord, which: str) -> dict[int, tuple[int, float, float]]:
    """Updates, seconds and value of each epoch whose value is finite."""
    return {
        int(point.epoch): (point.step, point.seconds, point.value)
        for point in quantity_of(which).points(ArmRun(run))
        if point.epoch is not None and point.step is not None and point.seconds is not None and point.value is not None
    }
