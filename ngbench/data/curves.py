"""CURVES: 28 × 28 images of curves given by three random points, from the official file or generated.

The data set of Hinton and Salakhutdinov (2006) is synthetic, so that images made the same way serve as well.
The pen is calibrated on two constants of the data that show in published training curves: the binary
cross-entropy per pixel of the best constant prediction (the mean image; 0.158 on the original, 0.156 here)
and that of a perfect reconstruction (the entropy of the grey levels; about 0.067 on both).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ngbench.data.arrays import ArrayDataSet, data_set_of
from ngbench.data.cache import cached_array
from ngbench.data.choice import Choice, find_file, official_file
from ngbench.data.download import RemoteFile
from ngbench.data.matlab import read_matrices
from ngbench.errors import DataError

__all__ = ["FOLDERS", "OFFICIAL", "curves"]

FOLDERS = ("CURVES", "curves")

SIZE = 28
TRAIN, VALIDATION = 16_000, 4_000
SEED = 0
PEN = 1.2
PEAK = 0.9
LOW, HIGH = 5.0, 23.0

# At most half a pixel apart, where the fastest curve (|dB/dt| ≤ 2 · 18√2) is fastest.
POINTS = 100
# 16 images of float32 squared distances (50 kB) stay in the first cache levels.
CHUNK = 16


def generate_curves(count: int, seed: int = SEED) -> npt.NDArray[np.uint8]:
    """Draw ``count`` quadratic Bézier curves with a Gaussian pen.

    The three control points of a curve are uniform in ``[5, 23]²``, in pixels, pixel centres being at 0..27.
    The grey level of a pixel at distance d from the curve is ``0.9 exp(−d² / (2 · 1.2²))``: the pen of 1.2
    pixels is the standard deviation of the profile. It is stored in 256 levels, computed with element-wise
    operations only, so that the images are the same on every machine.

    Returns:
        ``(count, 784)``, rows of the image first; divide by 255 for grey levels in [0, 0.9].
    """
    control = np.random.default_rng(seed).uniform(LOW, HIGH, (count, 3, 2))
    t = np.linspace(0, 1, POINTS)[:, None]
    p0, p1, p2 = (control[:, None, i] for i in range(3))
    points = ((1 - t) ** 2 * p0 + 2 * t * (1 - t) * p1 + t**2 * p2).astype(np.float32)
    pixel = np.arange(SIZE, dtype=np.float32)
    images = np.empty((count, SIZE * SIZE), np.uint8)

    def draw(start: int) -> None:
        chunk = points[start : start + CHUNK]
        x2, y2 = (np.square(pixel - chunk[:, :, axis, None]) for axis in (0, 1))
        nearest = np.full((len(chunk), SIZE, SIZE), np.inf, np.float32)
        distance2 = np.empty_like(nearest)
        for k in range(POINTS):
            np.add(y2[:, k, :, None], x2[:, k, None, :], out=distance2)
            np.minimum(nearest, distance2, out=nearest)
        grey = PEAK * np.exp(nearest.astype(np.float64) / (-2 * PEN**2))
        images[start : start + CHUNK] = np.rint(255 * grey).reshape(len(chunk), -1)

    with ThreadPoolExecutor() as pool:
        list(pool.map(draw, range(0, count, CHUNK)))
    return images


def _generated(directory: Path) -> ArrayDataSet:
    count = TRAIN + VALIDATION
    path = directory / "curves-generated" / f"curves-v1-seed{SEED}.npy"
    images = cached_array(path, (count, SIZE * SIZE), partial(generate_curves, count))
    grey = images.astype(np.float32) / np.float32(255)
    description = f"{count} quadratic Bézier curves drawn with seed {SEED}, {TRAIN} to train on"
    return data_set_of("CURVES", "generated", description, (grey[:TRAIN],), (grey[TRAIN:],))


def _read(path: Path) -> npt.NDArray[np.float32]:
    """The images of the official file, ``(n, 784)``."""
    matrices = read_matrices(path, ["bdata", "bdatatest"])
    for name, matrix in matrices.items():
        if matrix.shape[1] != SIZE * SIZE:
            raise DataError(f"{name!r} in {str(path)!r} has shape {matrix.shape}, (images, {SIZE * SIZE}) expected")
    images = np.concatenate(list(matrices.values()))
    if len(images) < TRAIN + VALIDATION:
        raise DataError(f"{str(path)!r} has {len(images)} images, {TRAIN + VALIDATION} expected")
    if not ((images >= 0) & (images <= 1)).all():
        raise DataError(f"{str(path)!r} has grey levels outside [0, 1]")
    return images


OFFICIAL = RemoteFile(
    name="digs3pts_1.mat",
    urls=("https://www.cs.toronto.edu/~jmartens/digs3pts_1.mat",),
    checksum=None,
    read=_read,
)


def _official(directory: Path) -> ArrayDataSet:
    images = _read(official_file(OFFICIAL, directory, FOLDERS))
    description = f"the official file {OFFICIAL.name}, its first {TRAIN} + {VALIDATION} images"
    train, validation = images[:TRAIN], images[TRAIN : TRAIN + VALIDATION]
    return data_set_of("CURVES", "original", description, (train,), (validation,))


def curves(directory: Path, choice: Choice = "auto") -> ArrayDataSet:
    """CURVES, 16,000 images to train on and 4,000 for validation, ``(n, 784)`` in [0, 1].

    Args:
        directory: where data sets live.
        choice: ``"official"`` is the published file, downloaded where it is missing; ``"stand-in"`` generates
            the images; ``"auto"`` is the published file where it is present, else it generates them: the data
            are synthetic by nature, so that a download is not worth waiting for.

    Raises:
        DataError: the official file is damaged, or it was asked for and cannot be had.
    """
    present = find_file(directory, OFFICIAL.name, FOLDERS) is not None
    if choice == "official" or (choice == "auto" and present):
        return _official(directory)
    return _generated(directory)
