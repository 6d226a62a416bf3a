"""Data sets as arrays, before a task turns them into tensors."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from ngbench.errors import DataError
from ngbench.task import Data, DataSource

__all__ = ["ArrayDataSet", "Floats", "Labels", "digest_of_arrays"]

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


def digest_of_arrays(arrays: Iterable[npt.NDArray[np.generic]]) -> str:
    """Hexadecimal SHA-256 of the arrays' dtypes, shapes and bytes, in order."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data.cast("B"))
    return digest.hexdigest()


@dataclass(frozen=True)
class ArrayDataSet:
    """Training and validation examples, with labels where the data set has them.

    Attributes:
        train: ``(n, ...)``, float32.
        validation: ``(n_v, ...)``, float32.
        source: what the data are.
        train_labels: ``(n,)``, int64, or None.
        validation_labels: ``(n_v,)``, int64, or None.
    """

    train: Floats
    validation: Floats
    source: DataSource
    train_labels: Labels | None = None
    validation_labels: Labels | None = None

    def first(self, examples: int) -> ArrayDataSet:
        """The first ``examples`` training examples and the same fraction of the validation examples.

        Raises:
            DataError: the data set has fewer training examples.
        """
        available = len(self.train)
        if examples > available:
            raise DataError(
                f"{examples} examples were asked for, but {self.source.name} has {available} for training"
            )
        if examples == available:
            return self
        kept = max(1, round(len(self.validation) * examples / available))
        train, validation = self.train[:examples], self.validation[:kept]
        train_labels = None if self.train_labels is None else self.train_labels[:examples]
        validation_labels = None if self.validation_labels is None else self.validation_labels[:kept]
        labels = [array for array in (train_labels, validation_labels) if array is not None]
        source = replace(
            self.source,
            description=f"{self.source.description}; of it the first {examples} + {kept} examples",
            digest=digest_of_arrays([train, validation, *labels]),
        )
        return ArrayDataSet(train, validation, source, train_labels, validation_labels)

    def autoencoder(self) -> Data:
        """Data whose targets are their inputs: the same tensors, ``(n, pixels)``."""
        train, validation = (
            torch.from_numpy(np.ascontiguousarray(a)).flatten(1) for a in (self.train, self.validation)
        )
        return Data(train, train, validation, validation, self.source)

    def classifier(self) -> Data:
        """Data whose targets are the labels: inputs of the arrays' own shape.

        Raises:
            DataError: the data set has no labels.
        """
        if self.train_labels is None or self.validation_labels is None:
            raise DataError(f"{self.source.name} has no labels")
        return Data(
            torch.from_numpy(np.ascontiguousarray(self.train)),
            torch.from_numpy(self.train_labels),
            torch.from_numpy(np.ascontiguousarray(self.validation)),
            torch.from_numpy(self.validation_labels),
            self.source,
        )
