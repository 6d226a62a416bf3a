"""Charts, bars and images as PNG, SVG and PDF files."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ngbench.disk.files import check_directory, make_directory, write_bytes
from ngbench.errors import ParameterError
from ngbench.escaping import figure as figure_text
from ngbench.measurement.phases import PHASES
from ngbench.report.blocks import Bars, Block, Changes, Chart, Curve, ImageRow, Images, Series, Tone
from ngbench.report.summary import OTHER
from ngbench.units import break_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "check_place",
    "draw",
    "draw_block",
    "draw_series",
    "figure_file",
    "figure_of_bars",
    "figure_of_changes",
    "figure_of_chart",
    "figure_of_images",
    "line_style",
    "new_figure",
    "numbered",
    "save_figure",
    "write_caption",
    "write_images",
]

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito, *Color universal design* (2008): told apart by all common kinds of colour vision."""
_PART_COLOURS: dict[str, str] = {
    **dict(zip(PHASES, (*_COLOURS[:-1], "#F0E442", "#332288"), strict=True)),
    "generator": _COLOURS[0],
    "critic": _COLOURS[1],
    OTHER: "#BBBBBB",
}
_TONE_COLOURS: dict[Tone, str] = {"good": "#009E73", "bad": "#D55E00", "doubt": "#E69F00", "none": "#777777"}
_LINES = ("-", "--", "-.", ":")
_LOG_RANGE = 5.0
_DPI = 150
_MARKED = 20
_SHEET_COLUMNS = 5
_METADATA = {".png": {}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
"""Without the time of drawing: equal figures are equal files, whatever they are called."""
_NOT_DRAWN = frozenset({".bmp", ".eps", ".gif", ".jpeg", ".jpg", ".pgf", ".ps", ".tif", ".tiff", ".webp"})


def figure_file(place: Path, name: str) -> Path:
    """Where a figure goes: ``NAME.png`` in a directory, ``STEM-NAME.svg`` beside a place called ``STEM.svg``."""
    suffix = place.suffix.lower()
    return place.with_name(f"{place.stem}-{name}{suffix}") if suffix in _METADATA else place / f"{name}.png"


def numbered(place: Path, number: int) -> Path:
    """The place of some of the figures of a place: a directory in it, or a longer name."""
    inside = figure_file(place, f"{number:02d}")
    return inside if place.suffix.lower() in _METADATA else inside.with_suffix("")


def check_place(place: Path) -> Path:
    """The directory of the figures, which there need not be yet.

    Raises:
        ParameterError: the place is a file of a kind that is not drawn.
        OutputError: nothing could be written there.
    """
    if place.suffix.lower() in _NOT_DRAWN:
        raise ParameterError(f"figures={place} is not allowed, it must be a directory or end in {', '.join(_METADATA)}")
    directory = figure_file(place, "figure").parent
    check_directory(directory)
    return directory


def draw(blocks: Sequence[Block], place: str | Path) -> list[Path]:
    """Draw all that can be drawn, each figure into a file of its own (:func:`figure_file`).

    ``NAME_by_AXIS.png`` (``NAME.png`` where there is one axis) shows a chart: a line for the mean over an arm's seeds,
    a band from the lowest to the highest, and a thin line that ends in a cross for a run that failed or diverged.
    ``NAME.png`` shows bars, or the images of a run side by side.

    Returns:
        The files written.

    Raises:
        OutputError: the directory cannot be made or written.
    """
    drawn = (block for block in blocks if isinstance(block, Chart | Bars | Changes | Images))
    return [path for block in drawn for path in draw_block(block, Path(place))]


def draw_block(block: Chart | Bars | Changes | Images, place: Path) -> Iterator[Path]:
    """Draw one block, as :func:`draw` does."""
    match block:
        case Chart():
            keys = block.paper_axes or [axis.key for axis in block.axes]
            for key in keys if block.panels else ():
                name = block.name if len(block.axes) == 1 else f"{block.name}_by_{key}"
                yield save_figure(figure_of_chart(block, key), figure_file(place, name))
        case Bars():
            yield save_figure(figure_of_bars(block), figure_file(place, block.name))
        case Changes():
            yield save_figure(figure_of_changes(block), figure_file(place, block.name))
        case Images():
            for row in block.rows:
                if row.title:
                    yield save_figure(_sheet(row), figure_file(place, row.name))


def write_images(block: Images, directory: Path) -> Iterator[list[Path | None]]:
    """Write the images of each row that a page shows as files of their own; ``None`` for one that is not there.

    Raises:
        OutputError: the directory cannot be made or written.
    """
    for row in block.rows:
        paths: list[Path | None] = []
        for image in row.shown:
            if image.png is None:
                paths.append(None)
                continue
            paths.append(directory / f"{row.name}{image.suffix}.png")
            make_directory(directory)
            write_bytes(image.png, directory / f"{row.name}{image.suffix}.png")
        yield paths


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches."""
    # A Figure with its own canvas keeps pyplot's global state, and its choice of backend, out of a library.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: Path) -> Path:
    """Write the figure as its suffix says into its directory, which is made if it does not exist, and return its path.

    Raises:
        OutputError: the directory cannot be made, or the file cannot be written.
    """
    from matplotlib import rc_context

    content, suffix = io.BytesIO(), path.suffix
    with rc_context({"svg.hashsalt": "ngbench"}):
        figure.savefig(content, format=suffix[1:], dpi=_DPI, metadata=_METADATA[suffix])
    make_directory(path.parent)
    write_bytes(content.getvalue(), path)
    return path


def figure_of_chart(chart: Chart, axis: str) -> Figure:
    """The panels of the chart side by side, against the axis of this key."""
    figure = new_figure(10 if len(chart.panels) > 1 else 6.5, 4.8)
    grid = figure.subplots(1, len(chart.panels), sharey=chart.shared_scale, squeeze=False)[0]
    drawn: list[float] = []
    (against,) = (one for one in chart.axes if one.key == axis)
    for axes, (measure, title) in zip(grid, chart.panels.items(), strict=True):
        own = [
            value
            for at, series in enumerate(chart.series)
            for value in draw_series(axes, series, measure, axis, line_style(at))
        ]
        drawn += own
        axes.set_title(figure_text(title))
        axes.set_xlabel(f"{against.label} (s)" if against.time else against.label)
        axes.grid(visible=True, which="both", alpha=0.25, linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        if against.integer:
            axes.xaxis.get_major_locator().set_params(integer=True)
        if not chart.shared_scale:
            _scale(axes, own, chart.scale)
    grid[0].set_ylabel(figure_text(chart.label))
    if chart.shared_scale:
        _scale(grid[0], drawn, chart.scale)
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=min(3, max(1, len(labels))), frameon=False)
    write_caption(figure, chart.about)
    return figure


def _scale(axes: Axes, values: Sequence[float], scale: str) -> None:
    """Make the axis show these values, on a logarithmic scale if they span more than a factor of five."""
    low, high = min(values, default=0.0), max(values, default=0.0)
    if scale == "symlog":
        axes.axhline(0, color="#444444", linewidth=0.8)
        axes.set_yscale("symlog", linthresh=min((abs(value) for value in values if value), default=1.0))
    elif scale == "log":
        _plain_decades(axes, [value for value in values if value > 0])
    elif low == high:
        return
    elif low > 0 and high / low >= _LOG_RANGE:
        margin = (high / low) ** 0.05
        axes.set_yscale("log")
        axes.set_ylim(low / margin, high * margin)
    else:
        margin = 0.05 * (high - low)
        axes.set_ylim(low - margin, high + margin)


def _plain_decades(axes: Axes, values: Sequence[float]) -> None:
    """A logarithmic scale with plain numbers beside it, if there is anything on it."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    if not values:
        return
    axes.set_yscale("log", nonpositive="mask")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if max(values) < 1000 * min(values) else (1,)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def line_style(at: int) -> dict[str, Any]:
    """Colour and dashes of the line at this place of a legend."""
    line = _LINES[at // len(_COLOURS) % len(_LINES)]
    return {"color": _COLOURS[at % len(_COLOURS)], "linestyle": line}


def draw_series(axes: Axes, series: Series, measure: str, axis: str, style: dict[str, Any]) -> list[float]:
    """Draw an arm and return the values that the axis must show: a diverging run does not stretch it."""
    label: str | None = break_label(figure_text(series.label))
    drawn: list[float] = []
    if (curve := series.views.get(measure)) is not None:
        x = curve.x[axis]
        marker = "o" if len(x) <= _MARKED else None
        axes.plot(x, curve.mean, label=label, linewidth=1.8, marker=marker, markersize=3.5, **style)
        if curve.low is not None and curve.high is not None:
            axes.fill_between(x, curve.low, curve.high, color=style["color"], alpha=0.2, linewidth=0)
        drawn += [*(curve.low or curve.mean), *(curve.high or curve.mean)]
        label = None
    for end in series.ended:
        curve = end.views.get(measure, Curve({axis: []}, []))
        x = curve.x[axis]
        axes.plot(
            x,
            curve.mean,
            label=f"{label} ({figure_text(end.label)})" if label and end.label else label,
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


def figure_of_bars(block: Bars) -> Figure:
    """A bar for each arm, in parts."""
    from matplotlib.patches import Patch

    figure = new_figure(9, 2.0 + 0.55 * len(block.bars))
    axes = figure.subplots()
    for row, bar in enumerate(block.bars):
        left = 0.0
        widths = {part.name: 1e3 * part.seconds for part in bar.parts}
        for name in block.parts:
            width = widths.get(name, 0.0)
            axes.barh(row, width, left=left, color=_part_colour(name), edgecolor="white", height=0.65)
            left += width
        axes.text(left, row, f" {left:.3g} ms", va="center")
    axes.set_yticks(range(len(block.bars)), [break_label(figure_text(bar.label)) for bar in block.bars])
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlim(left=0)
    axes.set_xlabel(f"time per {block.per}, amortised (ms)")
    axes.spines[["top", "right"]].set_visible(False)
    patches = [Patch(color=_part_colour(name), label=figure_text(name)) for name in block.parts]
    figure.legend(handles=patches, loc="outside upper center", ncols=min(5, len(block.parts)), frameon=False)
    write_caption(figure, block.about)
    return figure


def figure_of_changes(block: Changes) -> Figure:
    """A point with its interval for each change, a tick where its limit is, and a line at 0."""
    figure = new_figure(9, 1.6 + 0.3 * len(block.rows))
    axes = figure.subplots()
    for row, one in enumerate(block.rows):
        colour = _TONE_COLOURS[one.tone]
        if one.ends is not None:
            axes.plot(one.ends, [row, row], color=colour, linewidth=2)
        axes.plot([one.value], [row], "o", color=colour, markersize=5)
        if one.limit is not None:
            axes.plot([one.limit], [row], "|", color="black", markersize=11)
    axes.axvline(0, color="#444444", linewidth=0.8)
    axes.set_yticks(range(len(block.rows)), [break_label(figure_text(one.label)) for one in block.rows])
    axes.invert_yaxis()
    axes.set_xlabel(block.label)
    axes.grid(visible=True, axis="x", alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    write_caption(figure, [*block.about, "point and line: change and interval; tick: what is allowed"])
    return figure


def figure_of_images(blocks: Sequence[Images]) -> Figure:
    """All images that are there, one below the other and as large as they are."""
    import numpy as np
    from PIL import Image

    rows = (row for block in blocks for row in block.rows)
    there = [image for row in rows for image in row.images if image.png is not None]
    width = max(image.size[0] for image in there) / _DPI
    figure = new_figure(width, sum(image.size[1] for image in there) / _DPI)
    heights = [image.size[1] for image in there]
    grid = figure.subplots(len(there), squeeze=False, height_ratios=heights)[:, 0]
    for axes, image in zip(grid, there, strict=True):
        axes.set_axis_off()
        with Image.open(io.BytesIO(image.png or b"")) as picture:
            axes.imshow(np.asarray(picture), cmap="gray")
    return figure


def _part_colour(name: str) -> str:
    """The same colour for a phase in every figure."""
    return _PART_COLOURS.get(name, "#777777")


def _sheet(row: ImageRow) -> Figure:
    """The images side by side; one that is missing leaves its place empty."""
    import numpy as np
    from PIL import Image

    columns = min(_SHEET_COLUMNS, len(row.images))
    rows = -(-len(row.images) // columns)
    figure = new_figure(2.1 * columns + 0.3, 2.35 * rows + 0.5)
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in grid:
        axes.set_axis_off()
    for axes, image in zip(grid, row.images, strict=False):
        axes.set_title(figure_text(", ".join(filter(None, (image.name, image.more)))), fontsize=8)
        if image.png is not None:
            with Image.open(io.BytesIO(image.png)) as picture:
                axes.imshow(np.asarray(picture), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    figure.suptitle(figure_text(row.title), fontsize=10)
    return figure


def write_caption(figure: Figure, lines: Sequence[str]) -> None:
    """Write the lines below all panels."""
    wrapped = "\n".join(textwrap.fill(figure_text(line), int(14 * figure.get_figwidth())) for line in lines)
    figure.supxlabel(wrapped, x=0.01, ha="left", fontsize=7.5, color="#444444")
