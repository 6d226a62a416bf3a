"""Grids of generated images as PNG files."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

__all__ = ["grid_of", "write_grid"]

_GAP = 1
_SCALE = 3


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
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        picture.save(partial, format="PNG")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
