"""The images that a run made, as parts of its record."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

from ngbench.errors import RecordError
from ngbench.records.record import RunRecord, SampleRecord
from ngbench.running.samples import read_image

__all__ = ["with_images"]

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
