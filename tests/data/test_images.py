"""Levels as numbers from 0 to 1, and channels with mean 0 and variance 1 over the training images."""

from __future__ import annotations

import numpy as np
import pytest

import ngbench.data.images
from ngbench.data.arrays import ArrayDataSet
from ngbench.data.images import standardized, unit_interval
from ngbench.task import DataSource

SOURCE = DataSource("images", "generated", "for a test", "0" * 64)


def images(train: np.ndarray, validation: np.ndarray) -> ArrayDataSet:
    return ArrayDataSet(train, validation, SOURCE, np.zeros(len(train), np.int64), np.ones(len(validation), np.int64))


def test_unit_interval() -> None:
    levels = np.array([0, 51, 255], np.uint8).reshape(3, 1, 1, 1)
    scaled = unit_interval(images(levels, levels[:1]))
    assert scaled.train.dtype == np.float32
    np.testing.assert_allclose(scaled.train.ravel(), [0, 0.2, 1], rtol=1e-6)
    assert scaled.source is SOURCE
    assert scaled.validation_labels is not None
    assert scaled.validation_labels.tolist() == [1]


def test_moments_are_those_of_the_training_images_by_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngbench.data.images, "CHUNK", 7)
    generator = np.random.default_rng(0)
    train = generator.integers(0, [[[100]], [[200]], [[256]]], (20, 3, 4, 5)).astype(np.uint8)
    validation = generator.integers(0, 256, (4, 3, 4, 5)).astype(np.uint8)
    scaled = standardized(images(train, validation))
    assert scaled.train.dtype == np.float32
    np.testing.assert_allclose(scaled.train.mean((0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.train.std((0, 2, 3)), 1, rtol=1e-5)
    mean, deviation = (train.astype(float).mean((0, 2, 3)), train.astype(float).std((0, 2, 3)))
    expected = (validation - mean[:, None, None]) / deviation[:, None, None]
    np.testing.assert_allclose(scaled.validation, expected, rtol=1e-4, atol=1e-5)


def test_constant_channel_becomes_zero() -> None:
    train = np.full((3, 1, 2, 2), 40, np.uint8)
    scaled = standardized(images(train, train[:1]))
    np.testing.assert_allclose(scaled.train, 0, atol=1e-5)
