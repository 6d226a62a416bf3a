"""Grids of generated images as PNG files, and where a record says that they are."""

from __future__ import annotations

import base64
import math
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ngbench.disk.files import reason, replacing
from ngbench.disk.reading import MEBIBYTE, read_whole
from ngbench.errors import RecordError
from ngbench.records.record import RunRecord, SampleRecord

__all__ = ["DIRECTORY", "add_sample", "read_image", "relocated", "sample_paths", "write_grid"]

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
    run.samples.append(SampleRecord(epoch=epoch, path=f"{DIRECTORY}/{name}"))


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
    return {sample.epoch: sample.path for sample in run.samples if sample.path is not None}


def relocated(run: RunRecord, origin: Path, directory: Path) -> RunRecord:
    """The record for a file in another directory: its samples' paths lead from there to where they are.

    An image that is not below that directory becomes a part of the record, because no page shows it by its path.

    Args:
        run: the record.
        origin: the directory that its paths are relative to.
        directory: that of the file.
    """
    return run.model_copy(update={"samples": [_relocated(sample, origin, directory) for sample in run.samples]})


def _relocated(sample: SampleRecord, origin: Path, directory: Path) -> SampleRecord:
    if sample.path is None:
        return sample
    path = Path(os.path.relpath(origin / sample.path, directory)).as_posix()
    content = read_image(origin, sample.path) if path.startswith("../") else None
    if content is None:
        return SampleRecord(epoch=sample.epoch, path=path)
    return SampleRecord(epoch=sample.epoch, png=base64.b64encode(content).decode("ascii"))
