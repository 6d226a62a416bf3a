"""MATLAB files that hold a few large arrays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import scipy.io

from ngbench.data.arrays import Floats
from ngbench.disk.files import reason
from ngbench.disk.reading import open_regular
from ngbench.errors import DataError

__all__ = ["read_arrays", "read_matrices"]


def read_arrays(path: Path, names: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    """Arrays of real numbers by name, of the type and with all the dimensions that they have in the file.

    Raises:
        DataError: the file cannot be read, is truncated or corrupt, is of MATLAB's HDF5-based version 7.3, or
            lacks one of the arrays.
    """
    try:
        with open(open_regular(path), "rb") as file:
            contents = _load(file, names, path)
    except OSError as error:
        raise DataError(f"cannot read {str(path)!r}: {reason(path, error)}") from None
    return {name: _array(contents, name, path) for name in names}


def read_matrices(path: Path, names: Sequence[str]) -> dict[str, Floats]:
    """Matrices of real numbers by name, as float32; errors as for :func:`read_arrays`."""
    arrays = read_arrays(path, names)
    for name, array in arrays.items():
        if array.ndim != 2:
            raise DataError(f"{name!r} in {str(path)!r} is not a matrix of real numbers")
    return {name: array.astype(np.float32) for name, array in arrays.items()}


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


def _array(contents: dict[str, Any], name: str, path: Path) -> npt.NDArray[Any]:
    if name not in contents:
        found = ", ".join(sorted(key for key in contents if not key.startswith("__"))) or "none"
        raise DataError(f"{str(path)!r} has no matrix {name!r} (found: {found})")
    array = contents[name]
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
        raise DataError(f"{name!r} in {str(path)!r} is not a matrix of real numbers")
    return array
