"""What ``compare --diagnostics`` measures of the steps: the energy gap of a coarse correction, and how near the steps
are to the exact natural-gradient step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ngbench.escaping import figure as figure_text
from ngbench.records.record import Document
from ngbench.report.columns import Column
from ngbench.report.figures import line_style, new_figure, save_figure
from ngbench.report.heading import describe_conditions
from ngbench.report.summary import Arm, arms_of
from ngbench.units import DASH, format_number, format_share

__all__ = ["draw_diagnostics", "format_diagnostics"]

ENERGY_GAP = "energy_gap"
ANGLE = "exact_angle"
DISTANCE = "exact_distance"

_PANELS = {
    ENERGY_GAP: r"energy gap $\mathcal{E}(β^*) - \mathcal{E}(0)$",
    ANGLE: "angle to the exact step (degrees)",
    DISTANCE: "distance to the exact step",
}


def _values(arm: Arm, name: str) -> list[float]:
    return [value for run in arm.runs for _, value in run.diagnostic(name)]


def format_diagnostics(arms: Sequence[Arm]) -> list[Column]:
    """Over all measured steps of all seeds; no columns where nothing was measured."""
    gaps, angles, distances = ([_values(arm, name) for arm in arms] for name in _PANELS)
    columns = [
        Column("energy gap\nmean", [_mean(values) for values in gaps]),
        Column("energy gap\nlargest", [format_number(max(values, default=None)) for values in gaps]),
        Column("energy gap\n≤ 0", [_share_not_positive(values) for values in gaps]),
        Column("angle to the\nexact step", [_mean(values, "°") for values in angles]),
        Column("distance to the\nexact step", [_mean(values) for values in distances]),
    ]
    kept = [column for column in columns if not column.empty]
    return [Column("arm", [arm.label for arm in arms], left=True), *kept] if kept else []


def _mean(values: Sequence[float], unit: str = "") -> str:
    return f"{format_number(sum(values) / len(values))}{unit}" if values else DASH


def _share_not_positive(values: Sequence[float]) -> str:
    return format_share(sum(value <= 0 for value in values) / len(values)) if values else DASH


def draw_diagnostics(document: Document, directory: str | Path) -> list[Path]:
    """Draw each measured number by update as a PNG file: ``energy_gap.png`` and so on, the first seed of each arm.

    Returns:
        The files written.

    Raises:
        OutputError: the directory cannot be made or written.
    """
    directory = Path(directory)
    written = []
    for name, title in _PANELS.items():
        series = {label: runs[0].diagnostic(name) for label, runs in arms_of(document).items()}
        if not any(series.values()):
            continue
        figure = new_figure(7.5, 4.4)
        axes = figure.subplots()
        for at, (label, points) in enumerate(series.items()):
            if points:
                steps, values = zip(*points, strict=True)
                axes.plot(steps, values, label=figure_text(label), linewidth=1.2, **line_style(at))
        if name == ENERGY_GAP:
            axes.axhline(0, color="#444444", linewidth=0.8)
            axes.set_yscale("symlog", linthresh=_threshold(series.values()))
        axes.set_xlabel("update")
        axes.set_ylabel(title)
        axes.legend(frameon=False)
        figure.supxlabel(figure_text(describe_conditions(document)), x=0.01, ha="left", fontsize=7.5, color="#444444")
        written.append(save_figure(figure, directory / f"{name}.png"))
    return written


def _threshold(series: object) -> float:
    sizes = [abs(value) for points in series for _, value in points if value]  # type: ignore[attr-defined]
    return min(sizes, default=1.0)
