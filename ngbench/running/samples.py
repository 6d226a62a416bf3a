"""Grids of generated images as PNG files, and where a record says that they are."""

from __future__ import annotations

import base64
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ngbench.disk.files import reason, replacing
from ngbench.disk.reading import MEBIBYTE, read_whole
from ngbench.errors import RecordError
from ngbench.records.record import RunRecord

__all__ = ["DIRECTORY", "add_sample", "grid_of", "read_image", "relocated", "sample_paths", "write_grid"]

DIRECTORY = "samples"
"""Where the grids lie, beside the records or the figures."""

_GAP = 1
_SCALE = 3
_LARGEST = 64 * MEBIBYTE
_SHOWN = 200


def grid_of(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The images side by side, in as many columns as rows where that comes out even, with a line between them.

    Args:
        images: ``(n, c, h, w)`` with one channel or three.

    Returns:
        ``(height, width)`` or ``(height, width, 3)``.
    """
    n, channels, height, width = images.shape
    columns = math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    shape = (rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, channels)
    grid = np.full(shape, 128, np.uint8)
    for at, image in enumerate(images):
        top, left = at // columns * (height + _GAP), at % columns * (width + _GAP)
        grid[top : top + height, left : left + width] = image.transpose(1, 2, 0)
    return grid[:, :, 0] if channels == 1 else grid


def write_grid(images: npt.NDArray[np.uint8], path: Path) -> None:
    """Write the grid of ``images`` ``(n, c, h, w)`` as a PNG file three times its size, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    from PIL import Image

    picture = Image.fromarray(grid_of(images))
    picture = picture.resize((picture.width * _SCALE, picture.height * _SCALE), Image.Resampling.NEAREST)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        picture.save(partial, format="PNG")


def add_sample(run: RunRecord, epoch: int, name: str) -> None:
    """Note in the record that the file ``name`` of the samples' directory shows the images of ``epoch``."""
    entries = [*_entries(run), {"epoch": epoch, "path": f"{DIRECTORY}/{name}"}]
    setattr(run, DIRECTORY, entries)


def read_image(directory: Path, path: str) -> bytes | None:
    """The image that a record in the directory names; ``None`` where there is none below the directory.

    Raises:
        RecordError: it cannot be read, or is no file.
    """
    try:
        file = (directory / path).resolve()
        if not file.is_relative_to(directory.resolve()):
            return None
        return read_whole(file, _LARGEST)
    except FileNotFoundError:
        return None
    except (OSError, RuntimeError, ValueError) as error:
        why = reason(directory / path, error)
        raise RecordError(f"cannot read the sample image {path[:_SHOWN]!r}: {why}") from error


def sample_paths(run: RunRecord) -> dict[int, str]:
    """For each epoch with a grid, its path relative to the directory of the record."""
    return {entry["epoch"]: entry["path"] for entry in _entries(run)}


def relocated(run: RunRecord, origin: Path, directory: Path) -> RunRecord:
    """The record for a file in another directory: its samples' paths lead from there to where they are.

    An image that is not below that directory becomes a part of the record, because no page shows it by its path.

    Args:
        run: the record.
        origin: the directory that its paths are relative to.
        directory: that of the file.
    """
    entries = [_relocated(entry, origin, directory) for entry in _entries(run)]
    return run.model_copy(update={DIRECTORY: entries}) if entries else run


def _relocated(entry: dict[str, Any], origin: Path, directory: Path) -> dict[str, Any]:
    path = Path(os.path.relpath(origin / entry["path"], directory)).as_posix()
    content = read_image(origin, entry["path"]) if path.startswith("../") else None
    if content is None:
        return {**entry, "path": path}
    return {"epoch": entry["epoch"], "png": base64.b64encode(content).decode("ascii")}


def _entries(run: RunRecord) -> list[dict[str, Any]]:
    """Those that have a path; a record that was read may hold anything."""
    found = (run.model_extra or {}).get(DIRECTORY)
    return [
        entry
        for entry in (found if isinstance(found, list) else [])
        if isinstance(entry, dict) and isinstance(entry.get("epoch"), int) and isinstance(entry.get("path"), str)
    ]
