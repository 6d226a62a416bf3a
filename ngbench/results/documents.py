"""Reading, writing and merging documents of records."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ngbench import files
from ngbench.errors import RecordError
from ngbench.results.record import SCHEMA_VERSION, Document, RunRecord

__all__ = ["dump", "load_document", "merge", "without_non_finite"]


def dump(document: Document) -> str:
    """The document as JSON text that ends in a newline; numbers that are not finite become ``null``."""
    return json.dumps(without_non_finite(document.model_dump(mode="python")), indent=1, default=str) + "\n"


def load_document(path: Path) -> Document:
    """The document in a JSON file.

    Raises:
        RecordError: the file cannot be read, is not JSON, has another schema version or does not follow the
            schema; the message names the first key that does not.
    """
    try:
        content = json.loads(files.read_text(path, "the record", RecordError))
    except ValueError as error:
        raise RecordError(f"the record {str(path)!r} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise RecordError(f"the record {str(path)!r} is not a JSON object with the keys environment and runs")
    if "schema_version" not in content:
        raise RecordError(f"the record {str(path)!r} is invalid at schema_version: the key is missing")
    version = content["schema_version"]
    if version != SCHEMA_VERSION:
        raise RecordError(
            f"the record {str(path)!r} has schema version {version!r}; "
            f"this version of ngbench reads version {SCHEMA_VERSION}"
        )
    try:
        document = Document.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise RecordError(f"the record {str(path)!r} is invalid at {key}: {first['msg']}") from error
    for at, run in enumerate(document.runs):
        for key in _uneven(run):
            raise RecordError(
                f"the record {str(path)!r} is invalid at runs.{at}.{key}: "
                "its length differs from that of the lists beside it"
            )
    return document


def merge(documents: Sequence[Document]) -> Document:
    """One document with the runs of all, in order.

    The environment is the first document's; runs made in another one carry theirs under ``environment``.

    Raises:
        RecordError: there is no document, or two runs have the same task, label and seed.
    """
    if not documents:
        raise RecordError("there are no records to merge")
    first = documents[0].environment
    runs: list[RunRecord] = []
    seen: set[tuple[str, str, int]] = set()
    for document in documents:
        for run in document.runs:
            identity = (run.task, run.label, run.seed)
            if identity in seen:
                raise RecordError(f"two records hold the run of {run.label!r} on {run.task!r} with seed {run.seed}")
            seen.add(identity)
            elsewhere = document.environment != first and "environment" not in (run.model_extra or {})
            update = {"environment": document.environment.model_dump()} if elsewhere else {}
            runs.append(run.model_copy(update=update))
    extra = {key: value for document in reversed(documents) for key, value in (document.model_extra or {}).items()}
    return Document(environment=first, runs=runs, **extra)


def _uneven(run: RunRecord) -> Iterator[str]:
    """The keys of lists whose length differs from that of the lists beside them."""
    history = run.history
    epochs = len(history.epoch)
    beside = {name: getattr(history, name) for name in ("step", "train_loss", "validation_loss", "elapsed_seconds")}
    for key in ("metrics", "training_metrics"):
        beside |= {f"{key}.{name}": values for name, values in getattr(history, key).items()}
    for name, values in beside.items():
        if len(values) != epochs:
            yield f"history.{name}"
    if len(run.steps.kind) != len(run.steps.seconds):
        yield "steps.kind"


def without_non_finite(value: Any) -> Any:
    """JSON has no NaN and no infinity, and a plugin's own keys and hyper-parameters may hold either."""
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, dict):
        return {key: without_non_finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [without_non_finite(part) for part in value]
    return value
