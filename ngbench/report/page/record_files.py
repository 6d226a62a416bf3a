"""The files that a report is made of."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ngbench.disk import files
from ngbench.errors import RecordError, UsageError
from ngbench.records.documents import load_document
from ngbench.records.record import Document

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


def read_sources(paths: Sequence[Path]) -> tuple[list[Source], list[UsageError]]:
    """The records in the files and in the directories, at any depth, each file once.

    Returns:
        What could be read, and one error for each file or directory that could not.
    """
    sources: list[Source] = []
    errors: list[UsageError] = []
    seen: set[Path] = set()
    for path, name in zip(paths, _names(paths), strict=True):
        try:
            found = _files(path)
        except UsageError as error:
            errors.append(error)
            continue
        for file in found:
            try:
                resolved = files.resolve(file)
                if resolved in seen:
                    continue
                seen.add(resolved)
                sources.append(Source(file, name, load_document(file)))
            except UsageError as error:
                errors.append(error)
    return sources, errors


def _files(path: Path) -> list[Path]:
    if not files.exists(path):
        raise RecordError(f"there is no record {str(path)!r}; give directories of records or exported JSON files")
    if not files.is_directory(path):
        return [path]
    # A name that begins with a dot is a file that is still being written.
    found = [file for file in sorted(files.files_below(path, ".json"), key=_natural) if not file.name.startswith(".")]
    if not found:
        raise RecordError(f"the directory {str(path)!r} holds no record (*.json)")
    return found


def _natural(path: Path) -> list[list[str | int]]:
    """A key that puts ``figure-5.7`` before ``figure-5.10``."""
    return [[int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)] for name in path.parts]


def _names(paths: Sequence[Path]) -> list[str]:
    """The last parts of each path, as many as tell all of them apart."""
    resolved = [files.resolve(path) for path in paths]
    parts = [(path.parent / (path.name if files.is_directory(path) else path.stem)).parts for path in resolved]
    depth = 1
    while depth < max(map(len, parts), default=0) and len({part[-depth:] for part in parts}) < len(set(resolved)):
        depth += 1
    return ["/".join(part[-depth:]) for part in parts]
