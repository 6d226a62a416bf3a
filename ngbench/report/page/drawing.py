"""The figures of a report, drawn as the commands that made the records draw them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from ngbench.experiments.studies.recorded import RecordedStudy, recorded_study
from ngbench.report import view
from ngbench.report.blocks import Bars, Changes, Chart, Images
from ngbench.report.page.sections import Report, Section
from ngbench.report.renderers.figures import draw, figure_file, numbered
from ngbench.report.renderers.study_figure import draw_study

__all__ = ["draw_report"]


def draw_report(report: Report, place: Path, *, reference: str | None = None) -> list[Path]:
    """Draw the figures of all sections; where several have any, those of each have its number, from 00, in their place.

    Args:
        report: what to draw.
        place: of the figures, see :func:`~ngbench.report.renderers.figures.figure_file`.
        reference: label of the arm that others are compared with, in the sections that have it; the first by default.

    Returns:
        The files written.

    Raises:
        OutputError: a file cannot be written.
        RecordError: a record of a study cannot be read.
    """
    parts = [part for section in report.sections for part in _parts(section, reference)]
    places = [place] if len(parts) == 1 else [numbered(place, at) for at in range(len(parts))]
    return [path for part, own in zip(parts, places, strict=True) for path in part(own)]


def _parts(section: Section, reference: str | None) -> Iterator[Callable[[Path], list[Path]]]:
    """What draws the section into a place."""
    if section.directory is not None and section.document is not None:
        found = [recorded_study(one, section.directory) for one in section.document.studies]
        yield from (partial(_draw_study, one) for one in found if one is not None)
        return
    for document in filter(None, (section.document, section.measured)):
        known = reference if reference in {run.label for run in document.runs} else None
        blocks = view(document, reference=known)
        if any(isinstance(block, Chart | Bars | Changes | Images) for block in blocks):
            yield partial(draw, blocks)


def _draw_study(found: RecordedStudy, place: Path) -> list[Path]:
    return [draw_study(found.study, found.scale, found.ran, figure_file(place, found.study.study))]
