"""MATLAB files that hold a few large matrices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import scipy.io

from ngbench.data.arrays import Floats
from ngbench.errors import DataError

__all__ = ["read_matrices"]


def read_matrices(path: Path, names: Sequence[str]) -> dict[str, Floats]:
    """Matrices of real numbers by name, as float32.

    Raises:
        DataError: the file cannot be read, is truncated or corrupt, is of MATLAB's HDF5-based version 7.3, or
            lacks one of the matrices.
    """
    try:
        with path.open("rb") as file:
            contents = _load(file, names, path)
    except OSError as error:
        raise DataError(f"cannot read {str(path)!r}: {error.strerror or error}") from None
    return {name: _matrix(contents, name, path) for name in names}


def _load(file: BinaryIO, names: Sequence[str], path: Path) -> dict[str, Any]:
    try:
        contents: dict[str, Any] = scipy.io.loadmat(file, variable_names=list(names))
    except NotImplementedError:
        raise DataError(
            f"{str(path)!r} is a MATLAB 7.3 file, which is not supported; "
            "use the original file, or save it again with MATLAB's option '-v7'"
        ) from None
    except Exception:
        # scipy meets a damaged file with almost any exception, depending on where the damage is.
        raise DataError(f"{str(path)!r} is truncated or corrupt; delete it and get it again") from None
    return contents


def _matrix(contents: dict[str, Any], name: str, path: Path) -> Floats:
    if name not in contents:
        found = ", ".join(sorted(key for key in contents if not key.startswith("__"))) or "none"
        raise DataError(f"{str(path)!r} has no matrix {name!r} (found: {found})")
    matrix = contents[name]
    if not isinstance(matrix, np.ndarray) or matrix.ndim != 2 or matrix.dtype.kind not in "fiub":
        raise DataError(f"{name!r} in {str(path)!r} is not a matrix of real numbers")
    return matrix.astype(np.float32)
