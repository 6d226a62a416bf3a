"""The directory in which data sets live."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from ngbench.disk import files
from ngbench.errors import DataError
from ngbench.spelling import argument

__all__ = ["data_directory"]

ENVIRONMENT_VARIABLE = "NGBENCH_DATA_DIR"


def data_directory(given: str | os.PathLike[str] | None = None) -> Path:
    """The directory given, else that of ``NGBENCH_DATA_DIR``, else ``ngbench/data`` in the user's cache.

    Args:
        given: what the user gave as ``--data-dir``.

    Returns:
        An absolute path; nothing is created.

    Raises:
        DataError: the path exists and is not a directory.
        PathError: it cannot be looked at.
    """
    text = os.fspath(given) if given is not None else os.environ.get(ENVIRONMENT_VARIABLE, "")
    path = Path(text).expanduser() if text else platformdirs.user_cache_path("ngbench") / "data"
    if files.exists(path) and not files.is_directory(path):
        raise DataError(f"the data directory {str(path)!r} is not a directory; give one with {argument('data_dir')}")
    return path.absolute()
