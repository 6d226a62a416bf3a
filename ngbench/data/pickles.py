"""Pickles that hold plain data: arrays, bytes, strings, numbers and the containers of these, and nothing else.

Unpickling a file executes whatever its author put into it. Here no name is looked up but the three that an array
is made of, so that a file which asks for anything else is refused before anything is called.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np

from ngbench.errors import DataError

__all__ = ["load_plain"]

# What numpy itself names when an array is pickled; where that function lives depends on numpy's version.
_RECONSTRUCT = np.empty(0).__reduce__()[0]
_ADMITTED = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class _PlainUnpickler(pickle.Unpickler):
    """Admits arrays, bytes, strings, numbers, lists, tuples and dictionaries."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise _RefusedError(f"{module}.{name}") from None


class _RefusedError(Exception):
    """The name of something that is no plain data."""


def load_plain(content: bytes, where: str) -> Any:
    """The object that ``content`` holds; texts of Python 2 come as bytes.

    Args:
        content: a pickle.
        where: its file, for the messages.

    Raises:
        DataError: the pickle is damaged, or it holds something else than plain data; nothing of it is executed.
    """
    try:
        return _PlainUnpickler(io.BytesIO(content), encoding="bytes").load()
    except _RefusedError as refused:
        raise DataError(
            f"{where!r} asks for {str(refused)!r}, only arrays, bytes, strings, numbers and containers of these "
            "are allowed; nothing of it was executed"
        ) from None
    except Exception:
        # Damaged bytes lead the unpickler, and numpy through it, to almost any exception.
        raise DataError(f"{where!r} is truncated or corrupt; delete it and get it again") from None
