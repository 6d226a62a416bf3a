"""What ``compare --diagnostics`` measures of the steps: the energy gap of a coarse correction, and how near the steps
are to the exact natural-gradient step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ngbench.records.record import Document
from ngbench.report.blocks import Axis, Block, Chart, Column, Curve, Measure, Series, Table
from ngbench.report.summary import Arm
from ngbench.report.views.charts import about
from ngbench.units import DASH, format_number, format_share

__all__ = ["diagnostics"]

ENERGY_GAP = "energy_gap"
ANGLE = "exact_angle"
DISTANCE = "exact_distance"

_TITLES = {
    ENERGY_GAP: "energy gap E(β*) − E(0)",
    ANGLE: "angle to the exact step (degrees)",
    DISTANCE: "distance to the exact step",
}


def _values(arm: Arm, name: str) -> list[float]:
    return [value for run in arm.runs for _, value in run.diagnostic(name)]


def diagnostics(document: Document, arms: Sequence[Arm]) -> Iterator[Block]:
    """A table over all measured steps of all seeds, and charts; nothing where nothing was measured."""
    if columns := diagnostics_table(arms):
        yield Table("Diagnostics", columns)
        yield from _charts(document, arms)


def diagnostics_table(arms: Sequence[Arm]) -> list[Column]:
    """Over all measured steps of all seeds; no columns where nothing was measured."""
    gaps, angles, distances = ([_values(arm, name) for arm in arms] for name in _TITLES)
    columns = [
        Column("energy gap\nmean", [_mean(values) for values in gaps], key=ENERGY_GAP),
        Column(
            "energy gap\nlargest",
            [format_number(max(values, default=None)) for values in gaps],
            key=f"{ENERGY_GAP}.maximum",
        ),
        Column("energy gap\n≤ 0", [_share_not_positive(values) for values in gaps], key=f"{ENERGY_GAP}.share"),
        Column("angle to the\nexact step", [_mean(values, "°") for values in angles], key=ANGLE),
        Column("distance to the\nexact step", [_mean(values) for values in distances], key=DISTANCE),
    ]
    kept = [column for column in columns if not column.empty]
    return [Column("arm", [arm.label for arm in arms], left=True), *kept] if kept else []


def _mean(values: Sequence[float], unit: str = "") -> str:
    return f"{format_number(sum(values) / len(values))}{unit}" if values else DASH


def _share_not_positive(values: Sequence[float]) -> str:
    return format_share(sum(value <= 0 for value in values) / len(values)) if values else DASH


def _charts(document: Document, arms: Sequence[Arm]) -> Iterator[Chart]:
    """Each measured number by update, of the first seed of each arm."""
    for name, label in _TITLES.items():
        series = []
        for arm in arms:
            points = arm.runs[0].diagnostic(name)
            steps, values = [step for step, _ in points], [value for _, value in points]
            series.append(Series(arm.label, 1, {name: Curve({"step": steps}, values)} if points else {}))
        if any(one.views for one in series):
            yield Chart(
                name=name,
                caption=f"{label}, by update: the first seed of each arm.",
                axes=[Axis("step", "update", integer=True)],
                measures=[Measure(name, label)],
                series=series,
                panels={name: ""},
                label=label,
                scale="symlog" if name == ENERGY_GAP else "auto",
                about=about(document),
            )
