"""Arrays, their subsets and their conversion to a task's data."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ngbench.data.arrays import ArrayDataSet, digest_of_arrays
from ngbench.errors import DataError
from ngbench.task import DataSource

TRAIN = np.random.default_rng(0).random((12, 2, 3)).astype(np.float32)
VALIDATION = np.random.default_rng(1).random((4, 2, 3)).astype(np.float32)
SOURCE = DataSource("NAME", "original", "what it is", "0" * 64)
UNLABELLED = ArrayDataSet(TRAIN, VALIDATION, SOURCE)
LABELLED = ArrayDataSet(TRAIN, VALIDATION, SOURCE, np.arange(12), np.arange(4) + 100)


def test_autoencoder_targets_are_the_inputs_themselves() -> None:
    data = UNLABELLED.autoencoder()
    assert data.train_targets is data.train_inputs
    assert data.validation_targets is data.validation_inputs
    assert data.train_inputs.dtype == torch.float32
    torch.testing.assert_close(data.train_inputs, torch.from_numpy(TRAIN.reshape(12, 6)), rtol=0, atol=0)
    assert data.validation_inputs.shape == (4, 6)
    assert data.source is SOURCE


def test_classifier_targets_are_the_labels() -> None:
    data = LABELLED.classifier()
    assert data.train_inputs.shape == (12, 2, 3)
    assert data.train_targets.tolist() == list(range(12))
    assert data.validation_targets.dtype == torch.int64


def test_classifier_needs_labels() -> None:
    with pytest.raises(DataError, match="NAME has no labels"):
        UNLABELLED.classifier()


def test_subset_is_evenly_spaced_and_keeps_labels_and_proportion() -> None:
    data = LABELLED.subset(6)
    assert data.train_labels is not None
    assert data.validation_labels is not None
    assert data.train_labels.tolist() == [0, 2, 4, 6, 8, 10]
    assert data.validation_labels.tolist() == [100, 102]
    np.testing.assert_array_equal(data.train, TRAIN[::2])
    np.testing.assert_array_equal(data.validation, VALIDATION[::2])


def test_subset_is_another_source() -> None:
    data = UNLABELLED.subset(1)
    assert data.source.digest not in (SOURCE.digest, UNLABELLED.subset(2).source.digest)
    assert data.source.description == "what it is; of these, 1 + 1 evenly spaced ones"
    assert UNLABELLED.subset(12).source == SOURCE


def test_subset_larger_than_the_data_is_refused() -> None:
    with pytest.raises(DataError, match="13 examples is more than the 12 that NAME has"):
        UNLABELLED.subset(13)


def test_digest_sees_bytes_shape_dtype_and_order() -> None:
    a, b = np.arange(6, dtype=np.uint8), np.arange(3, dtype=np.uint8)
    digests = [
        digest_of_arrays(arrays)
        for arrays in ([a, b], [b, a], [a.reshape(2, 3), b], [a.astype(np.int8), b], [a + 1, b])
    ]
    assert len(set(digests)) == len(digests)
    strided = np.arange(12, dtype=np.uint8)[::2] // 2
    assert digest_of_arrays([strided, b]) == digests[0]
