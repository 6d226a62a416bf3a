"""Fisher errors as PNG files."""

from __future__ import annotations

from pathlib import Path

from ngbench.errors import OutputError
from ngbench.report.page.extras import FisherError

__all__ = ["draw_fisher_error"]

_DPI = 150


def draw_fisher_error(error: FisherError, title: str, path: Path) -> Path:
    """Draw Error 1 and Error 2 of each approximation by update, on a logarithmic scale.

    Raises:
        OutputError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2)
    for axes, key, name in zip(panels, ("error_1", "error_2"), ("Error 1", "Error 2"), strict=True):
        for label, curve in error.approximations.items():
            values = [float("nan") if value is None else value for value in getattr(curve, key)]
            axes.plot(
                error.steps,
                values,
                label=label,
                linewidth=1.8,
                marker="o" if len(values) <= 20 else None,
                markersize=3.5,
            )
        if any(value for curve in error.approximations.values() for value in getattr(curve, key)):
            axes.set_yscale("log", nonpositive="mask")
        axes.set_title(name)
        axes.set_xlabel("update")
        axes.grid(visible=True, which="both", alpha=0.25, linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=min(5, max(1, len(labels))), frameon=False)
    figure.supxlabel(title, x=0.01, ha="left", fontsize=7.5, color="#444444")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=_DPI)
    except OSError as failure:
        raise OutputError(f"cannot write the figure {str(path)!r}: {failure.strerror or failure}") from failure
    return path
