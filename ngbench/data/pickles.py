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


class _RefusedError(Exception):
    """The name of something that is no plain data."""


class _Dtype:
    """A type as a pickle makes it; numpy's own would take flags out of the pickle, and trust them."""

    def __init__(self, code: str | bytes, align: Any = False, copy: Any = True) -> None:
        text = code.decode("ascii") if isinstance(code, bytes) else code
        # A list of objects, numpy trusts to be as long as it says.
        if text[:1] not in _KINDS or not text[1:].isdecimal():
            raise _RefusedError(f"numpy.dtype({text!r})")
        self.dtype = np.dtype(text)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order: Any = state[1].decode("ascii") if isinstance(state[1], bytes) else state[1]
        self.dtype = self.dtype.newbyteorder(order)


class _Array(np.ndarray[Any, Any]):
    """An array as a pickle makes it: numbers, whose bytes are there."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, fortran, content = state
        if not isinstance(kind, _Dtype) or not isinstance(content, bytes):
            raise _RefusedError("an array of something else than numbers")
        parts: Any = (1, shape, kind.dtype, bool(fortran), content)
        super().__setstate__(parts)


def _empty(kind: type[_Array], shape: Any, code: Any) -> _Array:
    made: _Array = kind((0,), np.int8)
    return made


_KINDS = frozenset("biufc")
# What numpy itself names when an array is pickled; where that function lives depends on numpy's version.
_ADMITTED = {
    ("numpy.core.multiarray", "_reconstruct"): _empty,
    ("numpy._core.multiarray", "_reconstruct"): _empty,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
}


class _PlainUnpickler(pickle.Unpickler):
    """Admits arrays of numbers, bytes, strings, numbers, lists, tuples and dictionaries."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise _RefusedError(f"{module}.{name}") from None


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
