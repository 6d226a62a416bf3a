"""Generated arrays kept on disk: written whole or not at all, and made anew when the bytes are not theirs."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ngbench.disk.files import replacing
from ngbench.disk.reading import open_regular, read_whole

__all__ = ["cached_array"]

logger = logging.getLogger(__name__)

_LONGEST_DIGEST = 1000

Bytes = npt.NDArray[np.uint8]


def cached_array(path: Path, shape: tuple[int, ...], make: Callable[[], Bytes]) -> Bytes:
    """The array stored at ``path``, or a newly made one, which is then stored there.

    Beside ``NAME.npy`` lies ``NAME.npy.sha256``, the digest of its elements' bytes. A file that is truncated,
    of another shape, or of another digest is made anew. Where nothing can be written, the array is only
    returned and a warning is logged.

    Args:
        path: ends in ``.npy``.
        shape: what ``make`` returns.
        make: generates the array.
    """
    stored = _load(path, shape)
    if stored is not None:
        return stored
    array = make()
    try:
        _store(path, array)
    except OSError as error:
        logger.warning("could not keep %s for the next run: %s", path, error.strerror or error)
    return array


def _digest_path(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _digest(array: Bytes) -> str:
    return hashlib.sha256(array.data.cast("B")).hexdigest()


def _load(path: Path, shape: tuple[int, ...]) -> Bytes | None:
    try:
        expected = read_whole(_digest_path(path), _LONGEST_DIGEST).decode("ascii").strip()
        with open(open_regular(path), "rb") as file:
            array = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    if not isinstance(array, np.ndarray) or array.dtype != np.uint8 or array.shape != shape:
        return None
    return array if _digest(array) == expected else None


def _store(path: Path, array: Bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial, partial.open("wb") as file:
        np.save(file, array, allow_pickle=False)
    with replacing(_digest_path(path)) as partial:
        partial.write_text(_digest(array) + "\n", encoding="ascii")
