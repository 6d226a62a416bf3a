"""What stands in for small colour images: 32 × 32 crops of the photographs that scikit-image ships.

One class is one photograph. Each photograph is divided into cells of 64 × 64 pixels, every fifth of which is for
validation; a crop lies in one cell, so that no pixel is in both parts.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ngbench.data.arrays import ArrayDataSet, Bytes, data_set_of
from ngbench.errors import DataError

__all__ = ["photograph_crops"]

SIZE = 32
CELL = 64
VALIDATION_EVERY = 5
SEED = 0

PHOTOGRAPHS = (
    *("astronaut", "chelsea", "coffee", "hubble_deep_field", "immunohistochemistry", "stereo_motorcycle"),
    *("retina", "rocket", "camera", "coins", "brick", "cell", "clock", "grass", "gravel", "moon"),
)
"""Functions of ``skimage.data``, the eight photographs in colour first; the others have three equal channels."""


def photograph_crops(name: str, train: int, validation: int, classes: int, seed: int = SEED) -> ArrayDataSet:
    """Crops ``(n, 3, 32, 32)`` of uint8 in the place of the data set called ``name``.

    Args:
        name: of the data set whose place they take.
        train: how many crops to train on.
        validation: how many for validation.
        classes: that the original has; there are as many here, but no more than there are photographs.
        seed: of the classes' order and the crops' places.

    Raises:
        DataError: scikit-image is installed without its photographs.
    """
    photographs = [_photograph(name) for name in PHOTOGRAPHS[:classes]]
    generator = np.random.default_rng(seed)
    parts = []
    for count, held_out in ((train, False), (validation, True)):
        labels = generator.permutation(np.arange(count, dtype=np.int64) % len(photographs))
        crops = np.empty((count, 3, SIZE, SIZE), np.uint8)
        for label, photograph in enumerate(photographs):
            places = np.flatnonzero(labels == label)
            crops[places] = _crops(photograph, len(places), held_out, generator)
        parts.append((crops, labels))
    description = (
        f"{train} + {validation} crops of {SIZE} × {SIZE} pixels of {len(photographs)} photographs of scikit-image, "
        f"a class each, in the place of {name}"
    )
    return data_set_of(name, "stand-in", description, *parts)


def _photograph(name: str) -> Bytes:
    """``(3, height, width)``."""
    # Imported here, because most runs do without it and it takes a while.
    from skimage import data

    load: Any = getattr(data, name)
    try:
        loaded = load()
    except Exception as error:
        raise DataError(f"scikit-image's photograph {name!r} cannot be loaded ({error}); reinstall it") from None
    image = np.asarray(loaded[0] if isinstance(loaded, tuple) else loaded)
    colour = image if image.ndim == 3 else np.repeat(image[:, :, None], 3, 2)
    return np.ascontiguousarray(colour[:, :, :3].transpose(2, 0, 1))


def _crops(photograph: Bytes, count: int, held_out: bool, generator: np.random.Generator) -> Bytes:
    rows, columns = (length // CELL for length in photograph.shape[1:])
    cells = np.arange(rows * columns)
    cells = cells[(cells % VALIDATION_EVERY == VALIDATION_EVERY // 2) == held_out]
    row, column = np.divmod(generator.choice(cells, count), columns)
    top, left = np.stack((row, column)) * CELL + generator.integers(0, CELL - SIZE + 1, (2, count))
    windows = np.lib.stride_tricks.sliding_window_view(photograph, (SIZE, SIZE), (1, 2))
    crops: Bytes = windows[:, top, left].swapaxes(0, 1)
    return crops
