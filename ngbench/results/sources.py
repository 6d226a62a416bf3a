"""The records at a path: an exported file, or an output directory."""

from __future__ import annotations

from pathlib import Path

from ngbench.errors import RecordError
from ngbench.results.documents import load_document, merge
from ngbench.results.record import Document

__all__ = ["load_records"]

_RECORDS = "*-seed[0-9]*.json"
"""The files that ``--output`` writes; an export that was put beside them would repeat their runs."""


def load_records(path: Path) -> Document | None:
    """All runs of the file, or of the files in the directory; ``None`` for a directory that holds no records.

    Raises:
        RecordError: there is nothing at the path, a file is no record of this schema version, or two files hold
            the same run.
    """
    if not path.is_dir():
        return load_document(path)
    files = sorted(path.glob(_RECORDS)) or sorted(path.glob("*.json"))
    # A name that begins with a dot is a file that is still being written.
    files = [file for file in files if not file.name.startswith(".")]
    if not files:
        return None
    try:
        merged = merge([load_document(file) for file in files])
    except RecordError as error:
        message = str(error)
        raise RecordError(message if str(path) in message else f"{message}, both in {str(path)!r}") from error
    # Names of files have lost the order of the arms.
    ordered = sorted(merged.runs, key=lambda run: len(merged.runs) if run.position is None else run.position)
    return merged.model_copy(update={"runs": ordered})
