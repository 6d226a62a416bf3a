"""The records at a path: an exported file, or an output directory."""

from __future__ import annotations

from pathlib import Path

from ngbench.disk import files
from ngbench.errors import RecordError
from ngbench.records.documents import load_document, merge
from ngbench.records.record import Document

__all__ = ["load_records"]

_RECORDS = "*-seed[0-9]*.json"
"""The files that ``--output`` writes; an export that was put beside them would repeat their runs."""


def load_records(path: Path) -> Document | None:
    """All runs of the file, or of the files in the directory; ``None`` for a directory that holds no records.

    Raises:
        RecordError: there is nothing at the path, a file is no record of this schema version, or two files hold
            the same run.
        PathError: the path, or a file in the directory, cannot be looked at.
    """
    if not files.is_directory(path):
        return load_document(path)
    found = files.entries(path, _RECORDS) or files.entries(path, "*.json")
    # A name that begins with a dot is a file that is still being written.
    found = [file for file in found if not file.name.startswith(".")]
    if not found:
        return None
    try:
        merged = merge([load_document(file) for file in found])
    except RecordError as error:
        message = str(error)
        raise RecordError(message if str(path) in message else f"{message}, both in {str(path)!r}") from error
    # Names of files have lost the order of the arms.
    ordered = sorted(merged.runs, key=lambda run: len(merged.runs) if run.position is None else run.position)
    return merged.model_copy(update={"runs": ordered})
