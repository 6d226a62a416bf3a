"""The records at a path: an exported file, or an output directory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from ngbench.disk import files
from ngbench.errors import RecordError
from ngbench.records.documents import load_document, merge
from ngbench.records.record import Document

__all__ = ["load_records"]

_RECORDS = "*-seed[0-9]*.json"
"""The files that ``--output`` writes, one for each run; what lies beside them may repeat their runs."""


def load_records(path: Path) -> Document | None:
    """All records of the file, or of the files in the directory; ``None`` for a directory that holds none.

    Beside files of single runs, another file adds what they do not hold: the search whose trials they are, for one.

    Raises:
        RecordError: there is nothing at the path, a file is no record of this schema version, or two files hold
            the same run.
        PathError: the path, or a file in the directory, cannot be looked at.
    """
    if not files.is_directory(path):
        return load_document(path)
    # A name that begins with a dot is a file that is still being written.
    single, found = (
        [file for file in files.entries(path, pattern) if not file.name.startswith(".")]
        for pattern in (_RECORDS, "*.json")
    )
    if not found:
        return None
    try:
        documents = [load_document(file) for file in single or found]
        if single:
            documents += _beside(documents, [file for file in found if file not in single])
        merged = merge(documents)
    except RecordError as error:
        message = str(error)
        raise RecordError(message if str(path) in message else f"{message}, both in {str(path)!r}") from error
    # Names of files have lost the order of the arms.
    ordered = sorted(merged.runs, key=lambda run: len(merged.runs) if run.position is None else run.position)
    return merged.model_copy(update={"runs": ordered})


def _beside(documents: Sequence[Document], others: Sequence[Path]) -> Iterator[Document]:
    """What further files hold and the documents do not; files of another kind may lie there too."""
    held = {(run.task, run.label, run.seed) for document in documents for run in document.runs}
    for file in others:
        with suppress(RecordError):
            document = load_document(file)
            runs = [run for run in document.runs if (run.task, run.label, run.seed) not in held]
            held |= {(run.task, run.label, run.seed) for run in runs}
            yield document.model_copy(update={"runs": runs})
