"""The files that a report is made of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ngbench.errors import RecordError
from ngbench.results.documents import load_document
from ngbench.results.record import Document

__all__ = ["Source", "read_sources"]


@dataclass(frozen=True)
class Source:
    """A file of records.

    Attributes:
        file: its path.
        name: what the user gave, in as few words as tell it from what else was given.
        document: its content.
    """

    file: Path
    name: str
    document: Document


def read_sources(paths: Sequence[Path]) -> tuple[list[Source], list[RecordError]]:
    """The records in the files and in the directories, at any depth, each file once.

    Returns:
        What could be read, and one error for each file or directory that could not.
    """
    sources: list[Source] = []
    errors: list[RecordError] = []
    seen: set[Path] = set()
    for path, name in zip(paths, _names(paths), strict=True):
        try:
            files = list(_files(path))
        except RecordError as error:
            errors.append(error)
            continue
        for file in files:
            if file.resolve() in seen:
                continue
            seen.add(file.resolve())
            try:
                sources.append(Source(file, name, load_document(file)))
            except RecordError as error:
                errors.append(error)
    return sources, errors


def _files(path: Path) -> Iterator[Path]:
    if not path.exists():
        raise RecordError(f"there is no record {str(path)!r}; give directories of records or exported JSON files")
    if not path.is_dir():
        yield path
        return
    # A name that begins with a dot is a file that is still being written.
    found = [file for file in sorted(path.rglob("*.json"), key=_natural) if not file.name.startswith(".")]
    if not found:
        raise RecordError(f"the directory {str(path)!r} holds no record (*.json)")
    yield from found


def _natural(path: Path) -> list[list[str | int]]:
    """A key that puts ``figure-5.7`` before ``figure-5.10``."""
    return [[int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)] for name in path.parts]


def _names(paths: Sequence[Path]) -> list[str]:
    """The last parts of each path, as many as tell all of them apart."""
    resolved = [path.resolve() for path in paths]
    parts = [(path.parent / (path.name if path.is_dir() else path.stem)).parts for path in resolved]
    depth = 1
    while depth < max(map(len, parts), default=0) and len({part[-depth:] for part in parts}) < len(set(resolved)):
        depth += 1
    return ["/".join(part[-depth:]) for part in parts]
