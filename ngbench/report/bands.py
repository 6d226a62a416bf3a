"""Quantities along the run, over several runs of an arm: what is drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from ngbench.records.quantities import ArmRun, quantity_of
from ngbench.report.blocks import Curve

__all__ = ["band_of"]

_PLACES = {"time": "seconds"}
"""How a point calls an axis, where that is not the axis' own name."""


def band_of(
    runs: Sequence[ArmRun],
    which: str,
    *,
    by: Literal["epoch", "step"] = "epoch",
    axes: Sequence[str] = ("epoch", "step", "time"),
) -> Curve:
    """The mean over the runs, and the lowest and highest of several.

    Args:
        runs: of one arm.
        which: quantity (:mod:`ngbench.records.quantities`).
        by: what tells which points of the runs belong together.
        axes: against what it will be drawn: epochs, updates (``step``) or training time (``time`` or ``seconds``).

    Returns:
        What is known of the places that every run has a finite value at.
    """
    by_run = [_points(run, which, by, axes) for run in runs]
    shared = sorted(set.intersection(*(set(points) for points in by_run))) if by_run else []
    values = [[points[at][1] for points in by_run] for at in shared]
    several = len(runs) > 1

    def mean(of: Sequence[float]) -> float:
        return of[0] if not several else math.fsum(of) / len(of)

    return Curve(
        x={axis: [mean([points[at][0][axis] for points in by_run]) for at in shared] for axis in axes},
        mean=[mean(at) for at in values],
        low=[min(at) for at in values] if several else None,
        high=[max(at) for at in values] if several else None,
    )


def _points(run: ArmRun, which: str, by: str, axes: Sequence[str]) -> dict[float, tuple[Mapping[str, float], float]]:
    """Where and what, for each point that is known on all axes and has a finite value."""
    found: dict[float, tuple[Mapping[str, float], float]] = {}
    for point in quantity_of(which).points(run):
        places = {axis: getattr(point, _PLACES.get(axis, axis)) for axis in axes}
        key = getattr(point, by)
        if point.value is not None and key is not None and None not in places.values():
            found[key] = (places, point.value)
    return found
