"""The IDX format of MNIST: a big-endian array with a header, plain or compressed with gzip."""

from __future__ import annotations

import gzip
import hashlib
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ngbench.disk.files import read_bytes
from ngbench.errors import DataError

__all__ = ["read_idx"]

_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP_MAGIC = b"\x1f\x8b"


def read_idx(path: Path) -> tuple[npt.NDArray[Any], str]:
    """Read an IDX file; whether it is compressed is seen from its first bytes.

    Returns:
        The array, in the machine's byte order, and the hexadecimal SHA-256 of the uncompressed content, which
        identifies the data however the file was compressed.

    Raises:
        DataError: the file cannot be read, is truncated, or is no IDX file.
    """
    content = read_bytes(path, error=DataError)
    try:
        if content.startswith(_GZIP_MAGIC):
            content = gzip.decompress(content)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise DataError(f"{str(path)!r} is truncated or corrupt; delete it and get it again") from None
    return _parse(content, path), hashlib.sha256(content).hexdigest()


def _parse(content: bytes, path: Path) -> npt.NDArray[Any]:
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _DTYPES:
        raise DataError(f"{str(path)!r} is not an IDX file: it begins with {content[:4].hex() or 'nothing'}")
    dtype, dimensions = np.dtype(_DTYPES[content[2]]), content[3]
    start = 4 + 4 * dimensions
    if len(content) < start:
        raise DataError(f"{str(path)!r} is truncated in its header; delete it and get it again")
    shape = struct.unpack_from(f">{dimensions}I", content, 4)
    expected = start + dtype.itemsize * math.prod(shape)
    if len(content) != expected:
        raise DataError(
            f"{str(path)!r} holds {len(content)} bytes where its header {shape} asks for {expected}; "
            "delete it and get it again"
        )
    array = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return array.astype(dtype.newbyteorder("="))
