"""The figure of a study, in the layout of the original, with the published curves beside its own."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from ngbench.escaping import figure as figure_text
from ngbench.experiments.studies.claims import ScaleName, moment_of
from ngbench.experiments.studies.comparisons import NoValue, View, seed_values
from ngbench.experiments.studies.models import Cell, Study
from ngbench.experiments.studies.pairs import CellRuns
from ngbench.experiments.studies.plan import PlannedArm, expand_arms
from ngbench.experiments.studies.published import find_curve
from ngbench.records.quantities import ArmRun, quantity_of
from ngbench.report.bands import band_of
from ngbench.report.blocks import Curve, Series
from ngbench.report.renderers.figures import draw_series, line_style, new_figure, save_figure, write_caption
from ngbench.running.samples import read_image, sample_paths
from ngbench.units import break_label, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_study"]

_WIDTH, _HEIGHT = 4.4, 3.3
_SAMPLES = 5
_LABELS = {
    "training_loss": "training loss",
    "validation_loss": "validation loss",
    "error_1": "Error 1",
    "error_2": "Error 2",
    "fid": "score (Fréchet distance)",
    "energy_gap": "energy gap",
    "step_time": "time of a step (s)",
    "seconds_per_epoch": "time of an epoch (s)",
}
_X_LABELS = {"epoch": "epoch", "step": "update", "seconds": "training time (s)", "batch_size": "batch size", "arm": ""}


class Drawable(Protocol):
    """A comparison with the directory of its records."""

    @property
    def runs(self) -> CellRuns:
        """By arm."""

    @property
    def directory(self) -> Path:
        """Which paths of sample images are relative to."""


def draw_study(study: Study, scale: ScaleName, ran: Sequence[Drawable], file: Path) -> Path:
    """Draw the study's figure as a PNG file; a place whose panel did not run says so.

    Args:
        study: with its layout.
        scale: at which it ran.
        ran: what ran.
        file: to write.

    Raises:
        OutputError: the file cannot be written.
    """
    rows = study.figure.rows
    columns = max(map(len, rows))
    figure = new_figure(_WIDTH * columns + 0.4, _HEIGHT * len(rows) + 1.2)
    grid = figure.subplots(len(rows), columns, squeeze=False)
    styles = {arm.name: line_style(at) for at, arm in enumerate(expand_arms(study))}
    arms = {arm.name: arm for arm in expand_arms(study)}
    for row, cells in enumerate(rows):
        for column in range(columns):
            cell = cells[column] if column < len(cells) else None
            if cell is None:
                grid[row][column].set_axis_off()
            else:
                _draw_cell(grid[row][column], study, cell, ran, arms, styles)
    entries: dict[str, Any] = {}
    for axes in grid.flat:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if entries:
        figure.legend(
            entries.values(),
            entries,
            loc="outside upper center",
            ncols=min(2 * columns + 1, len(entries)),
            frameon=False,
        )
    _caption(figure, study, scale)
    return save_figure(figure, file)


def _caption(figure: Any, study: Study, scale: ScaleName) -> None:
    lines = [f"{study.study}: {study.title} ({study.source}) · scale {scale}"]
    lines.append("line: mean over seeds; band: lowest to highest seed; cross: a run that diverged")
    if study.published is not None:
        lines.append("thin and dotted: published; by time on another machine")
    write_caption(figure, lines)


def _draw_cell(
    axes: Axes,
    study: Study,
    cell: Cell,
    ran: Sequence[Drawable],
    arms: Mapping[str, PlannedArm],
    styles: Mapping[str, dict[str, Any]],
) -> None:
    x, y = cell.x or study.figure.x, cell.y or study.figure.y
    here = [one for one in ran if one.runs.panel == cell.panel and cell.batch_size in (None, one.runs.batch_size)]
    panel = study.panel(cell.panel)
    if x != "batch_size":
        here = here[:1]
    batch = f", batch {here[0].runs.batch_size}" if len(here) == 1 and x != "batch_size" else ""
    title = cell.title or f"{panel.shown}{batch}"
    axes.set_title(figure_text(title), fontsize=10)
    if not here:
        if _draw_published_alone(axes, study, cell, arms, styles, x, y):
            axes.set_title(figure_text(f"{cell.title or panel.shown}, not run: published"), fontsize=10)
            _finish(axes, study, cell, x, y)
            return
        text: dict[str, Any] = {"ha": "center", "va": "center", "color": "#777777"}
        axes.text(0.5, 0.5, "not run at this scale", transform=axes.transAxes, **text)
        axes.set_xticks([])
        axes.set_yticks([])
        return
    shown = [name for name in here[0].runs.arms if cell.arms is None or name in cell.arms]
    if y == "samples":
        _draw_samples(axes, here[0], cell.arm or shown[0])
        return
    if x == "arm":
        _draw_bars(axes, study, cell, here[0].runs, shown, styles, y)
    elif x == "batch_size":
        _draw_by_batch_size(axes, study, cell, [one.runs for one in here], shown, styles, y)
    else:
        _draw_curves(axes, here[0].runs, shown, styles, x, y)
        if study.published is not None and x in ("epoch", "seconds"):
            # As far as our own curves go, so that a short run is not a speck beside a long one.
            limit = 1.5 * max(_drawn(axes, "x"), default=math.inf)
            for name in shown:
                curve = _published(study, panel.task, here[0].runs.batch_size, arms[name], x, y)
                _dot(axes, [(place, value) for place, value in curve if place <= limit], styles[name])
    _finish(axes, study, cell, x, y)


def _finish(axes: Axes, study: Study, cell: Cell, x: str, y: str) -> None:
    axes.set_xlabel(_X_LABELS[x], fontsize=9)
    axes.set_ylabel(_label(y), fontsize=9)
    axes.tick_params(which="both", labelsize=8)
    axes.grid(visible=True, which="both", alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    values = _drawn(axes, "y") + [float(bar.get_height()) for bar in axes.patches if hasattr(bar, "get_height")]
    log = cell.log if cell.log is not None else study.figure.log
    if log and values and min(values) > 0:
        axes.set_yscale("log")
    if cell.xlim is not None:
        axes.set_xlim(*cell.xlim)
    if cell.ylim is not None:
        axes.set_ylim(*cell.ylim)


def _label(y: str) -> str:
    """What a measurement is called beside its axis.

    >>> _label("metric.top5_accuracy"), _label("training_metric.accuracy"), _label("phase.refresh.flops")
    ('validation top5 accuracy', 'training accuracy', 'phase.refresh.flops')
    """
    head, _, metric = y.partition(".")
    data = {"metric": "validation", "training_metric": "training"}.get(head)
    return _LABELS.get(y, (y if data is None else f"{data} {metric}").replace("_", " "))


def _drawn(axes: Axes, along: Literal["x", "y"]) -> list[float]:
    """Where the points of all lines lie along an axis."""
    return [float(value) for line in axes.get_lines() for value in np.asarray(getattr(line, f"get_{along}data")())]


def _draw_curves(
    axes: Axes, cell: CellRuns, shown: Sequence[str], styles: Mapping[str, dict[str, Any]], x: str, y: str
) -> None:
    for name in shown:
        runs = cell.arms[name]
        sound = [run for run in runs if not run.diverged]
        ended = [Series("", 1, _views([run], x, y)) for run in runs if run.diverged]
        draw_series(axes, Series(name, len(sound), _views(sound, x, y), ended), y, x, styles[name])


def _views(runs: Sequence[ArmRun], x: str, y: str) -> dict[str, Curve]:
    """What is drawn of the runs; nothing where they have no point in common."""
    curve = band_of(runs, y, by="step", axes=[x])
    return {y: curve} if curve.mean else {}


def _dot(axes: Axes, points: Sequence[tuple[float, float]], style: Mapping[str, Any]) -> None:
    if points:
        places, values = zip(*points, strict=True)
        axes.plot(places, values, color=style["color"], linestyle=":", linewidth=1.0, marker=".", markersize=2)


def _draw_published_alone(
    axes: Axes,
    study: Study,
    cell: Cell,
    arms: Mapping[str, PlannedArm],
    styles: Mapping[str, dict[str, Any]],
    x: str,
    y: str,
) -> bool:
    """Draw the published curves of a panel that did not run; whether there are any."""
    panel = study.panel(cell.panel)
    sizes = (cell.batch_size,) if cell.batch_size is not None else panel.batch_sizes or ()
    if not sizes or x not in ("epoch", "seconds"):
        return False
    for name, arm in arms.items():
        if cell.arms is None or name in cell.arms:
            _dot(axes, _published(study, panel.task, sizes[0], arm, x, y), styles[name])
    return bool(axes.get_lines())


def _published(
    study: Study, task: str, batch_size: int, arm: PlannedArm, x: str, y: str
) -> Sequence[tuple[float, float]]:
    """The points of the arm's published curve; none where there is none."""
    if study.published is None or arm.published is None:
        return []
    curve = find_curve(study.published.figure, task, batch_size, arm.published, y)
    if curve is None or (x == "seconds" and curve.seconds_per_epoch is None):
        return []
    unit = 1.0 if x == "epoch" else curve.seconds_per_epoch or 0.0
    return [(unit * epoch, value) for epoch, value in zip(curve.epochs, curve.values, strict=True)]


def _values(study: Study, cell: Cell, runs: Sequence[ArmRun], y: str) -> list[float]:
    """The measurement of each seed, at the moment that the cell says."""
    measurement = quantity_of(y, study.measure)
    view = View(measurement, moment_of(cell.at or "final"), runs)
    try:
        found, _ = seed_values(view, View(measurement, view.at))
    except NoValue:
        return []
    return [value for value in found.values() if math.isfinite(value)]


def _draw_bars(
    axes: Axes,
    study: Study,
    cell: Cell,
    runs: CellRuns,
    shown: Sequence[str],
    styles: Mapping[str, dict[str, Any]],
    y: str,
) -> None:
    for at, name in enumerate(shown):
        values = _values(study, cell, runs.arms[name], y)
        if values:
            axes.bar(at, math.fsum(values) / len(values), color=styles[name]["color"], width=0.7)
            axes.plot([at] * len(values), values, linestyle="", marker="_", color="#222222")
    axes.set_xticks(range(len(shown)), [break_label(name) for name in shown], rotation=45, ha="right")


def _draw_by_batch_size(
    axes: Axes,
    study: Study,
    cell: Cell,
    ran: Sequence[CellRuns],
    shown: Sequence[str],
    styles: Mapping[str, dict[str, Any]],
    y: str,
) -> None:
    ordered = sorted(ran, key=lambda runs: runs.batch_size)
    for name in shown:
        points = [(runs.batch_size, _values(study, cell, runs.arms.get(name, ()), y)) for runs in ordered]
        known = [(size, math.fsum(values) / len(values)) for size, values in points if values]
        if known:
            axes.plot(
                *zip(*known, strict=True),
                label=break_label(figure_text(name)),
                marker="o",
                markersize=4,
                **styles[name],
            )
    axes.set_xscale("log", base=2)
    sizes = [runs.batch_size for runs in ordered]
    axes.set_xticks(sizes, [str(size) for size in sizes])


def _draw_samples(axes: Axes, cell: Drawable, arm: str) -> None:
    """The grids of the first seed's run, from the first epoch to the last, side by side."""
    from PIL import Image

    axes.set_axis_off()
    runs = cell.runs.arms.get(arm, ())
    paths = list(sample_paths(runs[0].record).items()) if runs else []
    images = [(epoch, read_image(cell.directory, path)) for epoch, path in paths]
    pictures = [(epoch, content) for epoch, content in images if content is not None]
    for at, (epoch, content) in enumerate(chosen := spread(pictures, _SAMPLES)):
        inset = axes.inset_axes((at / len(chosen), 0.0, 0.96 / len(chosen), 0.9))
        inset.set_axis_off()
        inset.set_title(f"epoch {epoch}", fontsize=7)
        with Image.open(io.BytesIO(content)) as picture:
            inset.imshow(np.asarray(picture), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
