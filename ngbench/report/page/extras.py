"""The parts of a record that only some commands write: Fisher errors, claims with verdicts, sample images."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from ngbench.errors import RecordError
from ngbench.records.record import Count, Name, Number, RunRecord, Text
from ngbench.running.samples import read_image

__all__ = [
    "Claim",
    "FisherCurve",
    "FisherError",
    "Sample",
    "read_claims",
    "read_fisher_errors",
    "read_part",
    "read_samples",
    "spread",
]

_PNG = b"\x89PNG\r\n\x1a\n"
_HEADER = 24
_MOST_SAMPLES = 8

_Model = TypeVar("_Model", bound=BaseModel)


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow")


class FisherCurve(_Part):
    """How far one approximation was from the Fisher block; one entry per measured step.

    ``error_1`` and ``error_2`` are the thesis' two errors; ``iterations`` and ``seconds`` say what the
    approximation took, where it is iterative or was timed.
    """

    error_1: list[Number]
    error_2: list[Number]
    iterations: list[Number] = []
    seconds: list[Number] = []


class FisherError(_Part):
    """The errors of several approximations on the same samples of one layer."""

    layer: Count | Name
    steps: list[Count]
    approximations: dict[Name, FisherCurve]
    task: Name | None = None
    layer_name: Name | None = None

    @model_validator(mode="after")
    def _even(self) -> FisherError:
        for name, curve in self.approximations.items():
            for key in ("error_1", "error_2", "iterations", "seconds"):
                values = getattr(curve, key)
                if len(values) != len(self.steps) and (values or key.startswith("error")):
                    raise ValueError(f"{name}.{key} has {len(values)} entries, steps has {len(self.steps)}")
        return self


class Claim(_Part):
    """A claim of a study and what became of it."""

    study: Name
    claim: Text
    verdict: Name
    interval: tuple[Number, Number] | None = None
    observed: Number | Text = None
    tolerance: Number | Text = None


class _SampleRecord(_Part):
    epoch: Count
    path: Text | None = None
    png: Text | None = None

    @model_validator(mode="after")
    def _one_source(self) -> _SampleRecord:
        if (self.path is None) == (self.png is None):
            raise ValueError("a sample has either a path or a png")
        return self


@dataclass(frozen=True)
class Sample:
    """An image that a run made.

    Attributes:
        epoch: after which it was made.
        png: the file's content; ``None`` if it is not where the record says, or that is not below its directory.
        path: where the record says it is; ``None`` if the record holds it.
    """

    epoch: int
    png: bytes | None
    path: Path | None

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height in pixels, from the PNG's first chunk."""
        if self.png is None:
            return None
        return int.from_bytes(self.png[16:20], "big"), int.from_bytes(self.png[20:24], "big")


def read_fisher_errors(extra: Mapping[str, Any] | None, file: Path, prefix: str = "") -> list[FisherError]:
    """What a document or a run holds under ``fisher_error``, one object or a list of them.

    Raises:
        RecordError: an object has not the shape of :class:`FisherError`.
    """
    found = (extra or {}).get("fisher_error")
    if found is None:
        return []
    if isinstance(found, list):
        return [read_part(FisherError, part, file, f"{prefix}fisher_error.{at}") for at, part in enumerate(found)]
    return [read_part(FisherError, found, file, f"{prefix}fisher_error")]


def read_claims(extra: Mapping[str, Any] | None, file: Path) -> list[Claim]:
    """What a document holds under ``claims``.

    Raises:
        RecordError: it is not a list of objects of the shape of :class:`Claim`.
    """
    return [read_part(Claim, part, file, key) for key, part in _entries(extra, "claims", file, "")]


def read_samples(run: RunRecord, file: Path, prefix: str) -> list[Sample]:
    """The images under the run's key ``samples``: at most eight, spread over its epochs, first and last included.

    A path is relative to the record's directory, and nothing outside of it is shown: the record may be of somebody who
    wants to see a file of whoever publishes the page.

    Raises:
        RecordError: an entry has not the shape, or an image is no PNG.
    """
    records = [
        (key, read_part(_SampleRecord, part, file, key))
        for key, part in _entries(run.model_extra, "samples", file, prefix)
    ]
    return [_image(record, file, key) for key, record in spread(records, _MOST_SAMPLES)]


_Item = TypeVar("_Item")


def spread(items: list[_Item], most: int) -> list[_Item]:
    """At most so many of the items, evenly spaced, the first and the last among them.

    >>> spread(list(range(10)), 4)
    [0, 3, 6, 9]
    """
    if len(items) <= most:
        return items
    return [items[round(at * (len(items) - 1) / (most - 1))] for at in range(most)]


def _entries(extra: Mapping[str, Any] | None, name: str, file: Path, prefix: str) -> Iterator[tuple[str, Any]]:
    found = (extra or {}).get(name, [])
    if not isinstance(found, list):
        raise RecordError(f"the record {str(file)!r} is invalid at {prefix}{name}: it must be a list")
    for at, part in enumerate(found):
        yield f"{prefix}{name}.{at}", part


def read_part(model: type[_Model], value: Any, file: Path, key: str) -> _Model:
    """What the file holds at the key, as the model.

    Raises:
        RecordError: it has not the model's shape; the message names the first key that has not.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join([key, *(str(part) for part in first["loc"])])
        message = first["msg"].removeprefix("Value error, ")
        raise RecordError(f"the record {str(file)!r} is invalid at {where}: {message}") from error


def _image(record: _SampleRecord, file: Path, key: str) -> Sample:
    if record.png is not None:
        try:
            content = base64.b64decode(record.png.removeprefix("data:image/png;base64,"), validate=True)
        except (binascii.Error, ValueError) as error:
            raise RecordError(f"the record {str(file)!r} is invalid at {key}.png: it is not base64") from error
        return Sample(record.epoch, _checked(content, f"{key}.png of the record {str(file)!r}"), None)
    path = file.parent / str(record.path)
    found = read_image(file.parent, str(record.path))
    return Sample(record.epoch, None if found is None else _checked(found, f"the sample image {str(path)!r}"), path)


def _checked(content: bytes, name: str) -> bytes:
    if not content.startswith(_PNG) or len(content) < _HEADER:
        raise RecordError(f"{name} is not a PNG image")
    return content
