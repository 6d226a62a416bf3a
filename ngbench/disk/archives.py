"""Archives of tensors and plain values: written whole or not at all, read without executing anything, and verified."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import torch

from ngbench.disk.files import replacing
from ngbench.disk.reading import open_regular

__all__ = ["load_archive", "save_archive"]


def save_archive(content: dict[str, Any], path: Path) -> None:
    """Replace ``path``, which is whole at every moment.

    Raises:
        OSError: it cannot be written.
    """
    with replacing(path) as partial, partial.open("wb") as file:
        _save(content, _FileWithProblem(file))


def load_archive(path: Path) -> Any:
    """What was saved; its tensors are on the CPU.

    Raises:
        FileNotFoundError: there is no such file.
        Exception: whatever damaged bytes lead to, and what only code could restore.
    """
    with open(open_regular(path), "rb") as file:
        with zipfile.ZipFile(file) as archive:
            # torch writes a CRC-32 of each part and does not look at it.
            if (part := archive.testzip()) is not None:
                raise ValueError(f"the checksum of {part} differs")
        file.seek(0)
        with warnings.catch_warnings():
            # What torch would warn of in a damaged file is said by the caller.
            warnings.simplefilter("ignore")
            return torch.load(file, map_location="cpu", weights_only=True)


class _FileWithProblem:
    """A file that keeps what went wrong with it, of which torch says something else."""

    def __init__(self, file: BinaryIO) -> None:
        self.problem: OSError | None = None
        self._file = file

    def write(self, part: Any) -> int:
        try:
            return self._file.write(part)
        except OSError as error:
            self.problem = error
            raise

    def flush(self) -> None:
        self._file.flush()


def _save(content: dict[str, Any], file: _FileWithProblem) -> None:
    try:
        torch.save(content, file)  # type: ignore[arg-type]
    except Exception:
        if file.problem is not None:
            raise file.problem from None
        raise
