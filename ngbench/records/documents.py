"""Reading, writing and merging documents of records."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ngbench.disk import files
from ngbench.errors import RecordError
from ngbench.records.migration import migrate_document, migrate_run
from ngbench.records.part import LONGEST_NAME, first_problem
from ngbench.records.record import SCHEMA_VERSION, Document, RunRecord
from ngbench.values import LARGEST_COUNT, LARGEST_NUMBER, is_encodable

__all__ = ["dump", "json_schema", "load_document", "merge", "parse_run", "without_non_finite"]


_SEAL = re.compile(r'\{\n "checksum": "([0-9a-f]{64})",')


def dump(document: Document, *, sealed: bool = False) -> str:
    """The document as JSON text that ends in a newline; numbers that are not finite become ``null``.

    Args:
        document: what to write.
        sealed: whether its first key is a SHA-256 of the text without that line, for a file that is read back to go on.
    """
    text = json.dumps(without_non_finite(document.model_dump(mode="python")), indent=1, default=str) + "\n"
    return f'{{\n "checksum": "{_digest(text)}",{text[1:]}' if sealed else text


def json_schema() -> dict[str, Any]:
    """The JSON Schema of every file of records; those that are read back to go on begin with a checksum."""
    schema = Document.model_json_schema()
    schema["properties"]["checksum"] = {
        "type": "string",
        "pattern": "^[0-9a-f]{64}$",
        "description": "SHA-256 of the text without this line, in the files that --output writes.",
    }
    return schema


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def load_document(path: Path, *, sealed: bool = False) -> Document:
    """The document in a JSON file.

    Args:
        path: of the file.
        sealed: whether to verify the checksum, if the file has one.

    Raises:
        RecordError: the file cannot be read, is not JSON, has another schema version or does not follow the
            schema; the message names the first key that does not. Or it does not have its checksum.
    """
    try:
        text = files.read_text(path, "the record", RecordError)
        content = _bounded(json.loads(text, object_pairs_hook=_once))
    except RecursionError as error:
        raise RecordError(f"the record {str(path)!r} is invalid: {_TOO_DEEP}") from error
    except _InvalidError as error:
        raise RecordError(f"the record {str(path)!r} is invalid{error}") from error
    except ValueError as error:
        raise RecordError(f"the record {str(path)!r} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise RecordError(f"the record {str(path)!r} is not a JSON object with the keys environment and runs")
    stated = _SEAL.match(text)
    if sealed and stated is not None and stated[1] != _digest("{" + text[stated.end() :]):
        raise RecordError(
            f"the record {str(path)!r} is corrupt: its checksum differs; delete that line if you changed it on purpose"
        )
    content.pop("checksum", None)
    if "schema_version" not in content:
        raise RecordError(f"the record {str(path)!r} is invalid at schema_version: the key is missing")
    version = content["schema_version"]
    if version is True or version not in (1, SCHEMA_VERSION):
        raise RecordError(
            f"the record {str(path)!r} has schema version {version!r}; "
            f"this version of ngbench reads versions 1 and {SCHEMA_VERSION}"
        )
    if version == 1 and "comparisons" in content:
        raise RecordError(
            f"{str(path)!r} is the report of a check in schema version 1, which is not read; make it anew with "
            "ngbench check"
        )
    try:
        document = Document.model_validate(content) if version == SCHEMA_VERSION else migrate_document(content)
    except ValidationError as error:
        raise RecordError(f"the record {str(path)!r} is invalid at {first_problem(error)}") from error
    for at, run in enumerate(document.runs):
        for key, reason in _contradictions(run):
            raise RecordError(f"the record {str(path)!r} is invalid at runs.{at}.{key}: {reason}")
    return document


def parse_run(text: str, version: int = SCHEMA_VERSION) -> RunRecord:
    """The record of one run from JSON text; what could not be read back from a file is refused here, too.

    Args:
        text: the record.
        version: of the schema that it follows.

    Raises:
        ValueError: the text is no such record.
        RecursionError: it is nested without end.
    """
    try:
        content = _bounded(json.loads(text, object_pairs_hook=_once), "runs", 0)
        run = RunRecord.model_validate(content) if version == SCHEMA_VERSION else migrate_run(content)
    except _InvalidError as error:
        raise ValueError(f"it is invalid{error}") from error
    for key, reason in _contradictions(run):
        raise ValueError(f"{key}: {reason}")
    return run


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
            elsewhere = document.environment != first and run.environment is None
            runs.append(run.model_copy(update={"environment": document.environment}) if elsewhere else run)
    return Document(
        environment=first,
        runs=runs,
        fisher_errors=[error for document in documents for error in document.fisher_errors],
        studies=[study for document in documents for study in document.studies],
        extras={key: value for document in reversed(documents) for key, value in document.extras.items()},
        **{key: next(filter(None, (getattr(document, key) for document in documents)), None) for key in _FIRST},
    )


_FIRST = ("part_of", "search", "gate", "doctor", "conformance")
"""What documents hold once: of several the first that has it."""


_DEEPEST = 50
_TOO_DEEP = f"it is nested deeper than {_DEEPEST} levels"


class _InvalidError(Exception):
    """What cannot stand in a record; the message goes on after the word invalid."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _InvalidError(f": it has the key {next(key for key in keys if keys.count(key) > 1)!r} twice")
    return found


def _bounded(value: Any, *path: str | int) -> Any:
    """The value with ``None`` for each number that is not finite, or beyond what can be computed with.

    Raises:
        _InvalidError: it is nested too deeply, or holds an integer, a key or a text that nothing else could hold.
    """
    if isinstance(value, float):
        return value if abs(value) <= LARGEST_NUMBER else None
    if isinstance(value, int):
        if abs(value) > LARGEST_COUNT:
            raise _InvalidError(f"{_at(path)}: integers go up to 2**63 - 1")
        return value
    if isinstance(value, str):
        if not is_encodable(value):
            raise _InvalidError(f"{_at(path)}: the text holds half of a surrogate pair")
        return value
    if not isinstance(value, dict | list):
        return value
    if len(path) >= _DEEPEST:
        raise _InvalidError(f"{_at(path[:3])}: {_TOO_DEEP}")
    if isinstance(value, list):
        return [_bounded(part, *path, at) for at, part in enumerate(value)]
    for key in value:
        if len(key) > LONGEST_NAME or not is_encodable(key):
            raise _InvalidError(f"{_at(path)}: a key has at most {LONGEST_NAME} characters and no half of a pair")
    return {key: _bounded(part, *path, key) for key, part in value.items()}


def _at(path: Sequence[str | int]) -> str:
    return f" at {'.'.join(map(str, path))}" if path else ""


def _contradictions(run: RunRecord) -> Iterator[tuple[str, str]]:
    """Keys whose values contradict those beside them, and why."""
    history, steps = run.history, run.steps
    beside = {name: getattr(history, name) for name in ("step", "train_loss", "validation_loss", "elapsed_seconds")}
    for key in ("metrics", "training_metrics"):
        beside |= {f"{key}.{name}": values for name, values in getattr(history, key).items()}
    lengths = [(f"history.{name}", len(values), len(history.epoch)) for name, values in beside.items()]
    lengths.append(("steps.kind", len(steps.kind), len(steps.seconds)))
    for name, phase in run.phases.items():
        for kind in ("", "undisturbed_"):
            calls, seconds = (getattr(phase, f"{kind}{what}_by_round") for what in ("calls", "seconds"))
            lengths.append((f"phases.{name}.{kind}calls_by_round", len(calls), len(seconds)))
    for key, length, other in lengths:
        if length != other:
            yield key, "its length differs from that of the lists beside it"
    if not all(before < after for before, after in pairwise(history.epoch)):
        yield "history.epoch", "epochs must ascend"
    ascending: dict[str, Sequence[float]] = {
        "history.step": history.step,
        "history.elapsed_seconds": history.elapsed_seconds,
    }
    for key, values in {**ascending, "steps.turns": steps.turns}.items():
        if not all(before <= after for before, after in pairwise(values)):
            yield key, "its values must not descend"
    if steps.turns and steps.turns[-1] > len(steps.seconds):
        yield "steps.turns", f"a turn ends after step {steps.turns[-1]}, and there are {len(steps.seconds)} steps"
    if steps.interrupted and max(steps.interrupted) >= len(steps.seconds):
        yield "steps.interrupted", f"it names step {max(steps.interrupted)}, and there are {len(steps.seconds)} steps"


def without_non_finite(value: Any) -> Any:
    """JSON has no NaN and no infinity, and a plugin's own keys and hyper-parameters may hold either."""
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, dict):
        return {key: without_non_finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [without_non_finite(part) for part in value]
    return value
