"""FACES: 25 × 25 patches of faces, from the official file or made from the faces that scikit-image ships.

The original (Hinton and Salakhutdinov, 2006) was made from the 400 Olivetti photographs of 40 people, 4,140
patches of each person by rotating (−90° to 90°), scaling, cropping and subsampling. Every pixel was then shifted to
zero mean and the whole divided by one number, so that the average variance of a pixel is 1. The first 103,500 patches
show 25 people; split in their order, the 82,800 + 20,700 show 20 people and 5 others.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from ngbench.data.arrays import ArrayDataSet, Floats, data_set_of
from ngbench.data.cache import cached_array
from ngbench.data.choice import Choice, official_file, official_or_stand_in
from ngbench.data.download import RemoteFile
from ngbench.data.matlab import read_matrices
from ngbench.errors import DataError

__all__ = ["FOLDERS", "OFFICIAL", "SOURCES", "faces"]

FOLDERS = ("FACES", "faces")

SIZE = 25
TRAIN, VALIDATION = 82_800, 20_700
SOURCES = 100
SEED = 0

MAX_ROTATION = np.pi / 2
MAX_ZOOM = 1.4
MAX_SHIFT = 2.0
CONTRAST = (0.7, 1.3)


def generate_faces(per_face: int, seed: int = SEED) -> npt.NDArray[np.uint8]:
    """Patches made from the 100 photographs of faces in ``skimage.data.lfw_subset()``.

    Each is rotated by up to 90° either way, enlarged by 1 to 1.4, shifted by up to 2 pixels in each direction, and its
    contrast about its mean is multiplied by 0.7 to 1.3, all drawn uniformly. Beyond the edge the photograph is
    mirrored.

    Args:
        per_face: how many patches to make from each photograph.
        seed: of the draws.

    Returns:
        ``(100 · per_face, 625)``, all patches of a photograph together, in 256 grey levels.
    """
    # Imported here, because nothing else in the program needs it and it takes a while.
    from skimage import data

    lfw_subset: Any = data.lfw_subset
    photographs = torch.from_numpy(np.asarray(lfw_subset()[:SOURCES], np.float64))
    generator = np.random.default_rng(seed)
    # Pixel centres where grid_sample expects them: the edges of the image at ±1.
    x = (2 * np.arange(SIZE) + 1) / SIZE - 1
    y = x[:, None]
    patches = np.empty((SOURCES * per_face, SIZE * SIZE), np.uint8)
    for index, photograph in enumerate(photographs):
        angle = generator.uniform(-MAX_ROTATION, MAX_ROTATION, per_face)
        zoom = generator.uniform(1, MAX_ZOOM, per_face)
        shift = generator.uniform(-MAX_SHIFT, MAX_SHIFT, (2, per_face)) * 2 / SIZE
        contrast = torch.from_numpy(generator.uniform(*CONTRAST, (per_face, 1)))
        cosine, sine = np.cos(angle) / zoom, np.sin(angle) / zoom
        columns, rows = (
            a[:, None, None] * x - b[:, None, None] * y + s[:, None, None]
            for a, b, s in ((cosine, sine, shift[0]), (sine, -cosine, shift[1]))
        )
        grid = torch.from_numpy(np.stack((columns, rows), 3))
        moved = F.grid_sample(
            photograph.expand(per_face, 1, SIZE, SIZE), grid, padding_mode="reflection", align_corners=False
        ).flatten(1)
        mean = moved.mean(1, keepdim=True)
        grey = ((moved - mean) * contrast + mean).clamp(0, 1)
        patches[index * per_face : (index + 1) * per_face] = grey.mul(255).round().numpy()
    return patches


def _standardized(patches: npt.NDArray[np.uint8]) -> Floats:
    """Every pixel shifted to zero mean, then all divided by one number: average variance of a pixel 1.

    The moments are sums of integers, so that the result is the same on every machine.
    """
    count, pixels = patches.shape
    mean = patches.sum(0, dtype=np.int64) / count
    blocks = np.array_split(patches, max(1, count // 1024))
    square = sum(int(np.square(block, dtype=np.uint16).sum(dtype=np.int64)) for block in blocks)
    variance = square / (count * pixels) - np.square(mean).mean()
    standardized: Floats = (patches - mean.astype(np.float32)) / np.float32(np.sqrt(variance))
    return standardized


def _stand_in(directory: Path) -> ArrayDataSet:
    count = TRAIN + VALIDATION
    path = directory / "faces-stand-in" / f"faces-v1-seed{SEED}.npy"
    patches = cached_array(path, (count, SIZE * SIZE), partial(generate_faces, count // SOURCES))
    description = (
        f"{count} rotated, scaled, shifted and contrast-changed copies of {SOURCES} faces of scikit-image's "
        f"lfw_subset, {TRAIN} of {SOURCES * TRAIN // count} faces to train on and {VALIDATION} of the others"
    )
    standardized = _standardized(patches)
    return data_set_of("FACES", "stand-in", description, (standardized[:TRAIN],), (standardized[TRAIN:],))


def _read(path: Path) -> Floats:
    """The patches of the official file that are used, ``(103500, 625)``."""
    matrix = read_matrices(path, ["newfaces_single"])["newfaces_single"]
    if matrix.shape[0] != SIZE * SIZE or matrix.shape[1] < TRAIN + VALIDATION:
        raise DataError(f"'newfaces_single' in {str(path)!r} has shape {matrix.shape}, (625, 165600) expected")
    patches = np.ascontiguousarray(matrix[:, : TRAIN + VALIDATION].T)
    if not np.isfinite(patches).all():
        raise DataError(f"{str(path)!r} has pixels that are not finite")
    return patches


OFFICIAL = RemoteFile(
    name="newfaces_rot_single.mat",
    urls=("https://www.cs.toronto.edu/~jmartens/newfaces_rot_single.mat",),
    checksum=None,
    read=_read,
)


def _official(directory: Path) -> ArrayDataSet:
    patches = _read(official_file(OFFICIAL, directory, FOLDERS))
    description = f"the official file {OFFICIAL.name}, its first {TRAIN} + {VALIDATION} patches"
    return data_set_of("FACES", "original", description, (patches[:TRAIN],), (patches[TRAIN:],))


def faces(directory: Path, choice: Choice = "auto") -> ArrayDataSet:
    """FACES, 82,800 patches to train on and 20,700 for validation, ``(n, 625)``, pixels of about unit variance.

    No photographed person of the original, and no photograph of the stand-in, is in both parts.

    Args:
        directory: where data sets live.
        choice: the stand-in is made from 100 other faces, standardized as the original is.

    Raises:
        DataError: the official file is damaged, or it was asked for and cannot be had.
    """
    return official_or_stand_in("FACES", choice, partial(_official, directory), partial(_stand_in, directory))
