"""The files that a command is asked for, all made of one document. The destination ``-`` is standard output."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ngbench.disk.files import STANDARD_OUTPUT, write_text
from ngbench.records.documents import dump
from ngbench.records.record import Document
from ngbench.report import view
from ngbench.report.exports.formats import format_csv
from ngbench.report.exports.tidy import tidy
from ngbench.report.renderers import markdown
from ngbench.report.sample_images import with_images
from ngbench.running.samples import relocated

__all__ = ["export_steps"]


def export_steps(
    document: Document,
    *,
    json: str | Path | None = None,
    csv: str | Path | None = None,
    markdown_file: str | Path | None = None,
    figures: Path | None = None,
    reference: str | None = None,
    origin: Path | None = None,
) -> list[Callable[[], object]]:
    """A step for each file, which writes it; none of them needs another.

    Args:
        document: what to write.
        json: it follows the schema of ``ngbench schema``.
        csv: see :func:`~ngbench.report.exports.tidy.tidy`.
        markdown_file: what the terminal shows, with GitHub tables.
        figures: their place, see :func:`~ngbench.report.renderers.figures.figure_file`.
        reference: the arm that ratios refer to; the document's first by default.
        origin: the directory that paths of sample images are relative to.

    Each step raises:
        OutputError: what it writes cannot be written.
        NotComparableError: the runs belong to different tasks.
        UnknownNameError: no arm has the reference's label.
    """
    steps: list[Callable[[], object]] = []
    if json is not None:
        steps.append(lambda: write_text(dump(_leading_to_samples(document, json, origin)), json))
    if csv is not None:
        steps.append(lambda: write_text(format_csv(tidy(document)), csv))
    if markdown_file is not None:
        steps.append(lambda: write_text(markdown.render(view(document, reference=reference)), markdown_file))
    if figures is not None:
        steps.append(lambda: _draw(document, figures, reference, origin))
    return steps


def _draw(document: Document, figures: Path, reference: str | None, origin: Path | None) -> None:
    # Matplotlib is slow to start, and few commands draw.
    from ngbench.report.renderers.figures import draw

    if origin is not None:
        runs = [with_images(run, origin / "record") for run in document.runs]
        document = document.model_copy(update={"runs": runs})
    draw(view(document, reference=reference), figures)


def _leading_to_samples(document: Document, destination: str | Path, origin: Path | None) -> Document:
    """The document with paths of sample images that hold in the directory of the file."""
    if origin is None or str(destination) == STANDARD_OUTPUT:
        return document
    directory = Path(destination).absolute().parent
    return document.model_copy(update={"runs": [relocated(run, origin, directory) for run in document.runs]})
