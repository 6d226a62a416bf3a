"""Reading what stands at a path, which may be no file: a pipe can keep us waiting, and a device has no end."""

from __future__ import annotations

import errno
import os
import select
import stat
from pathlib import Path

__all__ = ["MEBIBYTE", "open_regular", "read_whole"]

MEBIBYTE = 1 << 20
SILENCE = 10.0
"""Seconds without a byte before a pipe is given up."""

_CHUNK = 1 << 16
_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def open_regular(path: Path) -> int:
    """A descriptor to read the file at ``path`` with, which nothing can keep waiting.

    Raises:
        OSError: it cannot be read, or is a pipe, a device or a directory.
    """
    descriptor, kind = _open(path)
    if kind != stat.S_IFREG:
        os.close(descriptor)
        raise OSError(errno.EINVAL, f"it is {_KINDS.get(kind, 'something else')}, not a file", str(path))
    return descriptor


def read_whole(path: Path, limit: int) -> bytes:
    """What the file at ``path`` holds; a pipe counts, as long as something comes out of it.

    Args:
        path: to the file.
        limit: bytes that it may hold; a device and many a pipe have no end.

    Raises:
        OSError: it cannot be read, is longer, is a device or a directory, or is a pipe from which nothing comes.
    """
    descriptor, kind = _open(path)
    try:
        if kind not in (stat.S_IFREG, stat.S_IFIFO):
            raise OSError(errno.EINVAL, f"it is {_KINDS.get(kind, 'something else')}, not a file", str(path))
        chunks: list[bytes] = []
        length = 0
        while length <= limit:
            if kind == stat.S_IFIFO and not select.select([descriptor], [], [], SILENCE)[0]:
                raise OSError(errno.ETIMEDOUT, f"nothing came out of this pipe for {SILENCE:g} s", str(path))
            chunk = os.read(descriptor, _CHUNK)
            if not chunk:
                return b"".join(chunks)
            chunks.append(chunk)
            length += len(chunk)
    finally:
        os.close(descriptor)
    raise OSError(errno.EFBIG, f"it is longer than the {limit / MEBIBYTE:g} MiB that are allowed", str(path))


def _open(path: Path) -> tuple[int, int]:
    """A descriptor that opening does not wait for, and what kind of file it is of."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    return descriptor, stat.S_IFMT(os.fstat(descriptor).st_mode)
