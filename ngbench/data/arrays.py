"""Data sets as arrays, before a task turns them into tensors."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from ngbench.errors import DataError
from ngbench.task import Data, DataSource

__all__ = ["ArrayDataSet", "Bytes", "Floats", "Labels", "data_set_of", "digest_of_arrays", "spread"]

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


def digest_of_arrays(arrays: Iterable[npt.NDArray[np.generic]]) -> str:
    """Hexadecimal SHA-256 of the arrays' dtypes, shapes and bytes, in order."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data.cast("B"))
    return digest.hexdigest()


def spread(available: int, count: int) -> npt.NDArray[np.int64]:
    """``count`` evenly spaced indices among ``available``."""
    return np.arange(count, dtype=np.int64) * available // count


@dataclass(frozen=True)
class ArrayDataSet:
    """Training and validation examples, with labels where the data set has them.

    Attributes:
        train: ``(n, ...)``, float32, or uint8 for images that are still to be scaled (``ngbench.data.images``).
        validation: ``(n_v, ...)``, of the same type.
        source: what the data are.
        train_labels: ``(n,)``, int64, or None.
        validation_labels: ``(n_v,)``, int64, or None.
    """

    train: Floats | Bytes
    validation: Floats | Bytes
    source: DataSource
    train_labels: Labels | None = None
    validation_labels: Labels | None = None

    def subset(self, examples: int) -> ArrayDataSet:
        """So many training examples, evenly spaced, and the same fraction of the validation examples.

        Evenly spaced, because some data sets are in order of their classes.

        Raises:
            DataError: the data set has fewer training examples.
        """
        available = len(self.train)
        if examples > available:
            raise DataError(f"{examples} examples is more than the {available} that {self.source.name} has")
        if examples == available:
            return self
        kept = max(1, round(len(self.validation) * examples / available))
        chosen, held_out = spread(available, examples), spread(len(self.validation), kept)
        train, validation = self.train[chosen], self.validation[held_out]
        train_labels = None if self.train_labels is None else self.train_labels[chosen]
        validation_labels = None if self.validation_labels is None else self.validation_labels[held_out]
        labels = [array for array in (train_labels, validation_labels) if array is not None]
        source = replace(
            self.source,
            description=f"{self.source.description}; of these, {examples} + {kept} evenly spaced ones",
            digest=digest_of_arrays([train, validation, *labels]),
        )
        return ArrayDataSet(train, validation, source, train_labels, validation_labels)

    def autoencoder(self, *, flat: bool = True) -> Data:
        """Data whose targets are their inputs, the same tensors: ``(n, pixels)``, or of the arrays' own shape."""
        train, validation = _tensor(self.train, flat), _tensor(self.validation, flat)
        return Data(train, train, validation, validation, self.source)

    def classifier(self, *, flat: bool = False) -> Data:
        """Data whose targets are the labels: inputs of the arrays' own shape, or ``(n, pixels)``.

        Raises:
            DataError: the data set has no labels.
        """
        if self.train_labels is None or self.validation_labels is None:
            raise DataError(f"{self.source.name} has no labels")
        return Data(
            _tensor(self.train, flat),
            torch.from_numpy(self.train_labels),
            _tensor(self.validation, flat),
            torch.from_numpy(self.validation_labels),
            self.source,
        )


def _tensor(array: Floats | Bytes, flat: bool) -> torch.Tensor:
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    return tensor.flatten(1) if flat else tensor


def data_set_of(
    name: str,
    origin: Literal["original", "generated", "stand-in"],
    description: str,
    train: tuple[Floats | Bytes] | tuple[Floats | Bytes, Labels],
    validation: tuple[Floats | Bytes] | tuple[Floats | Bytes, Labels],
) -> ArrayDataSet:
    """The data set, with the digest of what it holds.

    Args:
        name: of the data set.
        origin: official, made here, or what stands in for it.
        description: what it is, in words.
        train: the training examples, and their labels if they have any.
        validation: the validation examples, likewise.
    """
    source = DataSource(name, origin, description, digest_of_arrays([*train, *validation]))
    labels = [part[1] if len(part) == 2 else None for part in (train, validation)]
    return ArrayDataSet(train[0], validation[0], source, *labels)
