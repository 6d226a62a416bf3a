"""Figures of a comparison: loss against epoch and against time, and the cost of an update by phase."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ngbench.disk.files import make_directory, write_bytes
from ngbench.escaping import figure as figure_text
from ngbench.measurement.phases import PHASES
from ngbench.records.quantities import ArmRun, quantity_of
from ngbench.records.record import Document, RunRecord
from ngbench.records.statistics import FAILED
from ngbench.records.timing import busy_machine
from ngbench.report.columns import break_label
from ngbench.report.heading import data_descriptions, describe_conditions
from ngbench.report.summary import OTHER, Arm, phase_order, summarise

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "Axis",
    "Curve",
    "band_of",
    "draw_curves",
    "draw_panels",
    "line_style",
    "new_figure",
    "save_figure",
]

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito, *Color universal design* (2008): told apart by all common kinds of colour vision."""
_PHASE_COLOURS = dict(zip(PHASES, (*_COLOURS[:-1], "#F0E442", "#332288"), strict=True))
_LINES = ("-", "--", "-.", ":")
_LOG_RANGE = 5.0
_DPI = 150

Axis = Literal["epoch", "step", "time"]
_AXES = {"epoch": "epoch", "step": "update", "time": "training time (s)"}


@dataclass(frozen=True)
class Curve:
    """A loss by epoch over runs: its mean and the lowest and highest run.

    Attributes:
        epochs: the epochs that all runs finished.
        steps: updates until the end of each, mean over runs.
        seconds: training seconds at the end of each, mean over runs.
        mean: of the loss.
        low: of the loss.
        high: of the loss.
    """

    epochs: list[int]
    steps: list[float]
    seconds: list[float]
    mean: list[float]
    low: list[float]
    high: list[float]


def band_of(runs: Sequence[RunRecord], which: str) -> Curve:
    """The curve over the epochs in which every run has a finite value.

    Args:
        runs: of one arm.
        which: quantity (:mod:`ngbench.records.quantities`), by epoch.
    """
    by_run = [_points(run, which) for run in runs]
    shared = sorted(set.intersection(*(set(points) for points in by_run))) if by_run else []
    values = [[points[epoch].value for points in by_run] for epoch in shared]
    return Curve(
        epochs=shared,
        steps=[sum(points[epoch].step for points in by_run) / len(by_run) for epoch in shared],
        seconds=[sum(points[epoch].seconds for points in by_run) / len(by_run) for epoch in shared],
        mean=[sum(at) / len(at) for at in values],
        low=[min(at) for at in values],
        high=[max(at) for at in values],
    )


def draw_curves(document: Document, directory: str | Path, *, axes: Sequence[Axis] = ("epoch", "time")) -> list[Path]:
    """Draw the figures as PNG files into the directory, which is made if it does not exist.

    ``loss_by_epoch.png``, ``loss_by_step.png`` and ``loss_by_time.png``, those of ``axes``, show training and
    validation loss: a line for the mean over an arm's seeds, a band from the lowest to the highest, and a thin
    line that ends in a cross for a run that failed or diverged. ``cost_by_phase.png`` shows the time of a step,
    amortised, by phase. A figure without anything to show is not written.

    Returns:
        The files written.

    Raises:
        OutputError: the directory cannot be made or written.
        NotComparableError: the runs belong to different tasks.
    """
    arms = summarise(document)
    directory = Path(directory)
    written = []
    if any(_points(run, "training_loss") for run in document.runs):
        for axis in axes:
            figure = _draw_losses(document, arms, axis)
            written.append(save_figure(figure, directory / f"loss_by_{axis}.png"))
    if any(phase.seconds_per_step for arm in arms for phase in arm.phases):
        written.append(save_figure(_draw_costs(document, arms), directory / "cost_by_phase.png"))
    return written


class _Point(NamedTuple):
    step: int
    seconds: float
    value: float


def _points(run: RunRecord, which: str) -> dict[int, _Point]:
    """What is known of each epoch whose value is finite."""
    return {
        int(point.epoch): _Point(point.step, point.seconds, point.value)
        for point in quantity_of(which).points(ArmRun(run))
        if point.epoch is not None and point.step is not None and point.seconds is not None and point.value is not None
    }


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches."""
    # A Figure with its own canvas keeps pyplot's global state, and its choice of backend, out of a library.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: Path) -> Path:
    """Write the figure as PNG into its directory, which is made if it does not exist, and return its path.

    Raises:
        OutputError: the directory cannot be made, or the file cannot be written.
    """
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=_DPI)
    make_directory(path.parent)
    write_bytes(content.getvalue(), path)
    return path


def _draw_losses(document: Document, arms: Sequence[Arm], axis: Axis) -> Figure:
    validated = any(_points(run, "validation_loss") for run in document.runs)
    panels = {"training_loss": "training", **({"validation_loss": "validation"} if validated else {})}
    return draw_panels(document, arms, axis, panels, label="loss")


def draw_panels(
    document: Document,
    arms: Sequence[Arm],
    axis: Axis,
    panels: Mapping[str, str],
    *,
    label: str,
    shared_scale: bool = True,
    remarks: Sequence[str] = (),
) -> Figure:
    """A figure of curves, one panel beside the other.

    Args:
        document: what the caption describes.
        arms: a line each.
        axis: what the values are drawn against.
        panels: for each one what it shows, as in :func:`band_of`, and its title.
        label: of the vertical axis.
        shared_scale: whether the panels share it.
        remarks: further lines of the caption.
    """
    figure = new_figure(10 if len(panels) > 1 else 6.5, 4.8)
    grid = figure.subplots(1, len(panels), sharey=shared_scale, squeeze=False)[0]
    drawn: list[float] = []
    for axes, (which, title) in zip(grid, panels.items(), strict=True):
        own = [value for at, arm in enumerate(arms) for value in _draw_arm(axes, arm, which, axis, line_style(at))]
        drawn += own
        axes.set_title(figure_text(title))
        axes.set_xlabel(_AXES[axis])
        axes.grid(visible=True, which="both", alpha=0.25, linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        if axis != "time":
            axes.xaxis.get_major_locator().set_params(integer=True)
        if not shared_scale:
            _scale(axes, own)
    grid[0].set_ylabel(figure_text(label))
    if shared_scale:
        _scale(grid[0], drawn)
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=min(3, max(1, len(labels))), frameon=False)
    _caption(figure, document, seeds=any(len(arm.runs) > 1 for arm in arms), remarks=remarks)
    return figure


def _scale(axes: Axes, losses: Sequence[float]) -> None:
    """Make the axis show these losses, on a logarithmic scale if they span more than a factor of five."""
    low, high = min(losses, default=0.0), max(losses, default=0.0)
    if low == high:
        return
    if low > 0 and high / low >= _LOG_RANGE:
        margin = (high / low) ** 0.05
        axes.set_yscale("log")
        axes.set_ylim(low / margin, high * margin)
    else:
        margin = 0.05 * (high - low)
        axes.set_ylim(low - margin, high + margin)


def line_style(at: int) -> dict[str, Any]:
    """Colour and dashes of the line at this place of a legend."""
    line = _LINES[at // len(_COLOURS) % len(_LINES)]
    return {"color": _COLOURS[at % len(_COLOURS)], "linestyle": line}


def _abscissa(curve: Curve, axis: Axis) -> Sequence[float]:
    if axis == "epoch":
        return curve.epochs
    return curve.steps if axis == "step" else curve.seconds


def _draw_arm(axes: Axes, arm: Arm, which: str, axis: Axis, style: dict[str, Any]) -> list[float]:
    """Draw an arm and return the losses that the axis must show: a diverging run does not stretch it."""
    sound = [run for run in arm.runs if run.status not in FAILED]
    label: str | None = break_label(figure_text(arm.label))
    drawn: list[float] = []
    if sound:
        curve = band_of(sound, which)
        x = _abscissa(curve, axis)
        marker = "o" if len(x) <= 20 else None
        axes.plot(x, curve.mean, label=label, linewidth=1.8, marker=marker, markersize=3.5, **style)
        if len(sound) > 1:
            axes.fill_between(x, curve.low, curve.high, color=style["color"], alpha=0.2, linewidth=0)
        drawn += [*curve.low, *curve.high]
        label = None
    for run in arm.runs:
        if run.status in FAILED:
            curve = band_of([run], which)
            x = _abscissa(curve, axis)
            ended = f"{label} ({run.status.replace('_', ' ')})" if label is not None else None
            axes.plot(
                x,
                curve.mean,
                label=ended,
                linewidth=0.9,
                marker="X",
                markersize=9,
                markeredgecolor="black",
                zorder=3,
                markevery=[-1] if x else [],
                **style,
            )
            label = None
    return drawn


def _draw_costs(document: Document, arms: Sequence[Arm]) -> Figure:
    from matplotlib.patches import Patch

    shown = [arm for arm in arms if any(phase.seconds_per_step for phase in arm.phases)]
    names = phase_order(phase.name for arm in shown for phase in arm.phases if phase.name != OTHER)
    if any(phase.name == OTHER for arm in shown for phase in arm.phases):
        names.append(OTHER)
    figure = new_figure(9, 2.0 + 0.55 * len(shown))
    axes = figure.subplots()
    for row, arm in enumerate(shown):
        left = 0.0
        costs = {phase.name: 1e3 * (phase.seconds_per_step or 0.0) for phase in arm.phases}
        for name in names:
            width = costs.get(name, 0.0)
            axes.barh(row, width, left=left, color=_phase_colour(name), edgecolor="white", height=0.65)
            left += width
        axes.text(left, row, f" {left:.3g} ms", va="center")
    axes.set_yticks(range(len(shown)), [break_label(figure_text(arm.label)) for arm in shown])
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlim(left=0)
    axes.set_xlabel("time of a step, amortised (ms)")
    axes.spines[["top", "right"]].set_visible(False)
    patches = [Patch(color=_phase_colour(name), label=figure_text(name)) for name in names]
    figure.legend(handles=patches, loc="outside upper center", ncols=min(5, len(names)), frameon=False)
    _caption(figure, document, seeds=False)
    return figure


def _phase_colour(name: str) -> str:
    """The same colour for a phase in every figure."""
    return _PHASE_COLOURS.get(name, "#777777" if name != OTHER else "#BBBBBB")


def _caption(figure: Figure, document: Document, *, seeds: bool, remarks: Sequence[str] = ()) -> None:
    lines = [f"{document.runs[0].task} · {describe_conditions(document)}"]
    lines += [f"data: {described}" for _, described in data_descriptions(document)]
    lines += [*remarks, *busy_machine(document.runs)]
    if seeds:
        lines.append("line: mean over seeds; band: lowest to highest seed; cross: the run failed or diverged")
    wrapped = "\n".join(textwrap.fill(figure_text(line), int(14 * figure.get_figwidth())) for line in lines)
    figure.supxlabel(wrapped, x=0.01, ha="left", fontsize=7.5, color="#444444")
