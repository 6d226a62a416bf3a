"""The directory in which data sets live."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from ngbench.disk import files
from ngbench.errors import DataError

__all__ = ["data_directory"]

ENVIRONMENT_VARIABLE = "NGBENCH_DATA_DIR"


def data_directory(argument: str | os.PathLike[str] | None = None) -> Path:
    """The directory given, else that of ``NGBENCH_DATA_DIR``, else ``ngbench/data`` in the user's cache.

    Args:
        argument: what the user gave as ``--data-dir``.

    Returns:
        An absolute path; nothing is created.

    Raises:
        DataError: the path exists and is not a directory.
        PathError: it cannot be looked at.
    """
    given = os.fspath(argument) if argument is not None else os.environ.get(ENVIRONMENT_VARIABLE, "")
    path = Path(given).expanduser() if given else platformdirs.user_cache_path("ngbench") / "data"
    if files.exists(path) and not files.is_directory(path):
        raise DataError(f"the data directory {str(path)!r} is not a directory; give one with --data-dir")
    return path.absolute()
