"""Fisher errors as PNG files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ngbench.escaping import figure as figure_text
from ngbench.report.figures import line_style, new_figure, save_figure
from ngbench.report.page.extras import FisherError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_fisher_error"]

_MARKED = 20
_DECADES = 1000


def _scale(axes: Axes, values: list[float]) -> None:
    """A logarithmic scale with plain numbers beside it, if there is anything on it."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    if not values:
        return
    axes.set_yscale("log", nonpositive="mask")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if max(values) < _DECADES * min(values) else (1,)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def draw_fisher_error(error: FisherError, title: str, path: Path) -> Path:
    """Draw Error 1 and Error 2 of each approximation by update, on a logarithmic scale.

    Raises:
        OutputError: the file cannot be written.
    """
    figure = new_figure(10, 4.4)
    panels = figure.subplots(1, 2)
    for axes, key, name in zip(panels, ("error_1", "error_2"), ("Error 1", "Error 2"), strict=True):
        for at, (label, curve) in enumerate(error.approximations.items()):
            values = [float("nan") if value is None else value for value in getattr(curve, key)]
            marker = "o" if len(values) <= _MARKED else None
            axes.plot(
                error.steps,
                values,
                label=figure_text(label),
                linewidth=1.8,
                marker=marker,
                markersize=3.5,
                **line_style(at),
            )
        _scale(axes, [value for curve in error.approximations.values() for value in getattr(curve, key) if value])
        axes.set_title(name)
        axes.set_xlabel("update")
        axes.grid(visible=True, which="both", alpha=0.25, linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=min(5, max(1, len(labels))), frameon=False)
    figure.supxlabel(figure_text(title), x=0.01, ha="left", fontsize=7.5, color="#444444")
    return save_figure(figure, path)
