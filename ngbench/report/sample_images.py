"""The images that lie beside records, as parts of these: of runs, and the figure of a study."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

from ngbench.errors import RecordError
from ngbench.records.record import Document, RunRecord, SampleRecord
from ngbench.running.samples import read_image

__all__ = ["FIGURE_FILE", "with_figure", "with_images"]

FIGURE_FILE = "figure.png"
"""What is drawn beside the record of a study."""

_PNG = b"\x89PNG\r\n\x1a\n"
_HEADER = 24


def with_images(run: RunRecord, file: Path, prefix: str = "") -> RunRecord:
    """The run with the images under its key ``samples`` as parts of it, for a view, which reads no file.

    A path is relative to the record's directory, and nothing outside of it is shown: the record may be of somebody who
    wants to see a file of whoever publishes the page. One that is not there keeps its path.

    Raises:
        RecordError: an image cannot be read, or is no PNG.
    """
    found = [_with_image(sample, file, f"{prefix}samples.{at}") for at, sample in enumerate(run.samples)]
    return run.model_copy(update={"samples": found})


def with_figure(document: Document, directory: Path) -> Document:
    """The document of a study with the figure in its directory as a part of it; any other document as it is.

    Raises:
        RecordError: the figure cannot be read, or is no PNG.
    """
    if document.kind != "study" or document.runs or len(document.studies) != 1:
        return document
    figure = read_image(directory, FIGURE_FILE)
    if figure is None:
        return document
    png = base64.b64encode(_checked(figure, f"the figure {str(directory / FIGURE_FILE)!r}")).decode("ascii")
    drawn = document.studies[0].model_copy(update={"figure": png})
    return document.model_copy(update={"studies": [drawn]})


def _with_image(record: SampleRecord, file: Path, key: str) -> SampleRecord:
    if record.png is not None:
        try:
            content = base64.b64decode(record.png.removeprefix("data:image/png;base64,"), validate=True)
        except (binascii.Error, ValueError) as error:
            raise RecordError(f"the record {str(file)!r} is invalid at {key}.png: it is not base64") from error
        _checked(content, f"{key}.png of the record {str(file)!r}")
        return record
    path = file.parent / str(record.path)
    found = read_image(file.parent, str(record.path))
    if found is None:
        return SampleRecord(epoch=record.epoch, path=str(path))
    png = base64.b64encode(_checked(found, f"the sample image {str(path)!r}")).decode("ascii")
    return SampleRecord(epoch=record.epoch, png=png)


def _checked(content: bytes, name: str) -> bytes:
    if not content.startswith(_PNG) or len(content) < _HEADER:
        raise RecordError(f"{name} is not a PNG image")
    return content
