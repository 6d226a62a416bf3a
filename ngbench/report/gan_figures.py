"""Figures of two-player runs: scores and losses, the cost of a turn, and the images of each epoch."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ngbench.adversarial_task import PLAYERS, Player
from ngbench.arms import file_slug
from ngbench.escaping import figure as figure_text
from ngbench.records.record import Document, RunRecord
from ngbench.report.columns import break_label
from ngbench.report.figures import Axis, draw_panels, line_style, new_figure, save_figure
from ngbench.report.gan_summary import TITLES, GanArm, fid_records, score_points, summarise_gan
from ngbench.running.samples import read_image, sample_paths
from ngbench.units import DASH

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_gan"]

_AXES: Sequence[Axis] = ("epoch", "step", "time")
_SHEET_COLUMNS = 5


def draw_gan(document: Document, directory: str | Path, origin: Path | None) -> list[Path]:
    """Draw the figures as PNG files into the directory, which is made if it does not exist.

    ``METRIC_by_AXIS.png`` shows the score (the axis is ``epoch``, ``step`` or ``time``), ``losses_by_step.png``
    the losses of both players and the gradient penalty, ``cost_by_player.png`` the time of an iteration, and
    ``samples_ARM-seedN.png`` the images that each epoch made of the same noise. A figure without anything to
    show is not written.

    Args:
        document: the runs.
        directory: where to.
        origin: the directory that the records' paths of sample images are relative to.

    Returns:
        The files written.

    Raises:
        OutputError: the directory cannot be made or written.
        NotComparableError: the runs belong to different tasks.
    """
    arms = summarise_gan(document)
    directory = Path(directory)
    written = []
    for metric in dict.fromkeys(record.metric for record in fid_records(document)):
        if any(score_points(run) for run in document.runs):
            for axis in _AXES:
                figure = _draw_scores(document, arms, metric, axis)
                written.append(save_figure(figure, directory / f"{file_slug(metric)}_by_{axis}.png"))
    if any(run.history.epoch for run in document.runs):
        written.append(save_figure(_draw_losses(document, arms), directory / "losses_by_step.png"))
    if any(seconds is not None for one in arms for seconds in one.seconds.values()):
        written.append(save_figure(_draw_costs(arms), directory / "cost_by_player.png"))
    for run in document.runs:
        if origin is not None and sample_paths(run):
            name = f"samples_{file_slug(run.label)}-seed{run.seed}.png"
            written.append(save_figure(_draw_samples(run, origin), directory / name))
    return written


def _draw_scores(document: Document, arms: Sequence[GanArm], metric: str, axis: Axis) -> Figure:
    title = TITLES.get(metric, metric)
    remarks = [f"{title}: {record.network}" for record in fid_records(document) if record.metric == metric]
    return draw_panels(
        document, [one.arm for one in arms], axis, {f"metric.{metric}": ""}, label=title, remarks=remarks
    )


def _draw_losses(document: Document, arms: Sequence[GanArm]) -> Figure:
    panels = {"training_loss": "generator", "critic_loss": "critic", "gradient_penalty": "gradient penalty"}
    return draw_panels(document, [one.arm for one in arms], "step", panels, label="loss", shared_scale=False)


def _draw_costs(arms: Sequence[GanArm]) -> Figure:
    """A bar for each arm's iteration, in two parts."""
    from matplotlib.patches import Patch

    order: tuple[Player, ...] = ("critic", "generator")
    colours = {player: line_style(at)["color"] for at, player in enumerate(PLAYERS)}
    figure = new_figure(9, 1.6 + 0.55 * len(arms))
    axes = figure.subplots()
    for row, one in enumerate(arms):
        left = 0.0
        for player in order:
            width = 1e3 * (one.seconds[player] or 0.0)
            axes.barh(row, width, left=left, color=colours[player], edgecolor="white", height=0.65)
            left += width
        axes.text(left, row, f" {left:.3g} ms", va="center")
    axes.set_yticks(range(len(arms)), [break_label(figure_text(one.arm.label)) for one in arms])
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlim(left=0)
    axes.set_xlabel("time of an iteration, amortised (ms)")
    axes.spines[["top", "right"]].set_visible(False)
    patches = [Patch(color=colours[player], label=player) for player in order]
    figure.legend(handles=patches, loc="outside upper center", ncols=2, frameon=False)
    return figure


def _draw_samples(run: RunRecord, origin: Path) -> Figure:
    """The grids of a run's epochs side by side; one that is missing leaves its place empty."""
    import numpy as np
    from PIL import Image

    paths = sample_paths(run)
    steps = dict(zip(run.history.epoch, run.history.step, strict=True))
    columns = min(_SHEET_COLUMNS, len(paths))
    rows = -(-len(paths) // columns)
    figure = new_figure(2.1 * columns + 0.3, 2.35 * rows + 0.5)
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in grid:
        axes.set_axis_off()
    for axes, (epoch, path) in zip(grid, paths.items(), strict=False):
        axes.set_title(f"epoch {epoch}, step {steps.get(epoch, DASH)}", fontsize=8)
        content = read_image(origin, path)
        if content is not None:
            with Image.open(io.BytesIO(content)) as picture:
                axes.imshow(np.asarray(picture), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    title = f"{run.task}: {run.label}, seed {run.seed}, batch {run.batch_size}"
    figure.suptitle(figure_text(title), fontsize=10)
    return figure
