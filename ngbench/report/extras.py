"""The parts of a record that only some commands write: Fisher errors, claims with verdicts, sample images."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from ngbench.errors import RecordError
from ngbench.records.record import Count, Document, Name, Number, RunRecord, Text
from ngbench.running.samples import read_image

__all__ = [
    "Claim",
    "FisherCurve",
    "FisherError",
    "claims_of",
    "fisher_errors_of",
    "only_measured",
    "read_claims",
    "read_fisher_errors",
    "read_part",
    "with_images",
]

_PNG = b"\x89PNG\r\n\x1a\n"
_HEADER = 24

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


def fisher_errors_of(run: RunRecord) -> list[FisherError]:
    """What was measured of each layer in the run."""
    held = (run.model_extra or {}).get("fisher_error", [])
    return [FisherError.model_validate(part) for part in (held if isinstance(held, list) else [held])]


def only_measured(run: RunRecord) -> bool:
    """Whether the run measured Fisher errors, and trained nothing to compare."""
    return bool((run.model_extra or {}).get("fisher_error")) and not run.history.epoch and not run.steps.seconds


def claims_of(document: Document) -> list[Claim]:
    """The document's claims."""
    return [Claim.model_validate(claim) for claim in (document.model_extra or {}).get("claims", [])]


def read_fisher_errors(extra: Mapping[str, Any] | None, file: Path, prefix: str = "") -> list[FisherError]:
    """What a document or a run holds under ``fisher_error``, one object or a list of them.

    Raises:
        RecordError: an object does not have the shape of :class:`FisherError`.
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


def with_images(run: RunRecord, file: Path, prefix: str = "") -> RunRecord:
    """The run with the images under its key ``samples`` as parts of it, for a view, which reads no file.

    A path is relative to the record's directory, and nothing outside of it is shown: the record may be of somebody who
    wants to see a file of whoever publishes the page. One that is not there keeps its path.

    Raises:
        RecordError: an entry does not have the shape, or an image is no PNG.
    """
    entries = [
        _with_image(read_part(_SampleRecord, part, file, key), file, key)
        for key, part in _entries(run.model_extra, "samples", file, prefix)
    ]
    return run.model_copy(update={"samples": entries}) if entries else run


def _entries(extra: Mapping[str, Any] | None, name: str, file: Path, prefix: str) -> Iterator[tuple[str, Any]]:
    found = (extra or {}).get(name, [])
    if not isinstance(found, list):
        raise RecordError(f"the record {str(file)!r} is invalid at {prefix}{name}: it must be a list")
    for at, part in enumerate(found):
        yield f"{prefix}{name}.{at}", part


def read_part(model: type[_Model], value: Any, file: Path, key: str) -> _Model:
    """What the file holds at the key, as the model.

    Raises:
        RecordError: it does not have the model's shape; the message names the first key that has not.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join([key, *(str(part) for part in first["loc"])])
        message = first["msg"].removeprefix("Value error, ")
        raise RecordError(f"the record {str(file)!r} is invalid at {where}: {message}") from error


def _with_image(record: _SampleRecord, file: Path, key: str) -> dict[str, Any]:
    if record.png is not None:
        try:
            content = base64.b64decode(record.png.removeprefix("data:image/png;base64,"), validate=True)
        except (binascii.Error, ValueError) as error:
            raise RecordError(f"the record {str(file)!r} is invalid at {key}.png: it is not base64") from error
        _checked(content, f"{key}.png of the record {str(file)!r}")
        return {"epoch": record.epoch, "png": record.png}
    path = file.parent / str(record.path)
    found = read_image(file.parent, str(record.path))
    if found is None:
        return {"epoch": record.epoch, "path": str(path)}
    png = base64.b64encode(_checked(found, f"the sample image {str(path)!r}")).decode("ascii")
    return {"epoch": record.epoch, "png": png}


def _checked(content: bytes, name: str) -> bytes:
    if not content.startswith(_PNG) or len(content) < _HEADER:
        raise RecordError(f"{name} is not a PNG image")
    return content
