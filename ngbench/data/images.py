"""Images in 256 levels, and the two ways in which a network is given them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ngbench.data.arrays import ArrayDataSet, Bytes, Floats

__all__ = ["standardized", "unit_interval"]

LEVELS = 256
CHUNK = 4096


def unit_interval(images: ArrayDataSet) -> ArrayDataSet:
    """The levels 0 to 255 as numbers from 0 to 1.

    Args:
        images: of uint8.
    """
    scale = np.full(images.train.shape[1], np.float32(1 / (LEVELS - 1)))
    return _scaled(images, scale, np.zeros_like(scale))


def standardized(images: ArrayDataSet) -> ArrayDataSet:
    """Each channel shifted and scaled to mean 0 and variance 1 over the training images.

    The moments come from counts of the levels, so that they are the same on every machine.

    Args:
        images: ``(n, channels, height, width)`` of uint8; a constant channel becomes 0.
    """
    counts = np.zeros((images.train.shape[1], LEVELS), np.int64)
    for start in range(0, len(images.train), CHUNK):
        for channel, levels in enumerate(np.moveaxis(images.train[start : start + CHUNK], 1, 0)):
            counts[channel] += np.bincount(levels.ravel(), minlength=LEVELS)
    level, total = np.arange(LEVELS), counts.sum(1)
    mean = counts @ level / total
    variance = counts @ level**2 / total - mean**2
    deviation = np.where(variance > 0, np.sqrt(np.maximum(variance, 0)), 1)
    return _scaled(images, (1 / deviation).astype(np.float32), (-mean / deviation).astype(np.float32))


def _scaled(images: ArrayDataSet, scale: Floats, shift: Floats) -> ArrayDataSet:
    def apply(array: Floats | Bytes) -> Floats:
        column = (-1, *(1,) * (array.ndim - 2))
        result: npt.NDArray[np.float32] = array * scale.reshape(column)
        result += shift.reshape(column)
        return result

    return replace(images, train=apply(images.train), validation=apply(images.validation))
