"""Crops of photographs: classes, disjoint regions, seeds, and that they say what they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ngbench.data.crops
from ngbench.data.crops import CELL, PHOTOGRAPHS, photograph_crops
from ngbench.errors import DataError


def cells_of(photographs: Any, crops: Any, labels: Any) -> set[tuple[int, int, int]]:
    """The cell of its photograph in which each crop lies whole, found by the marks of its corners."""
    found = set()
    for crop, label in zip(crops, labels, strict=True):
        top, left, bottom, right = (int(v) for v in (crop[0, 0, 0], crop[1, 0, 0], crop[0, -1, -1], crop[1, -1, -1]))
        assert crop[2, 0, 0] == label
        assert (bottom - top, right - left) == (31, 31)
        assert (top // CELL, left // CELL) == (bottom // CELL, right // CELL)
        found.add((int(label), top // CELL, left // CELL))
    return found


def test_no_pixel_is_in_both_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """On photographs whose pixels tell their row, their column and their photograph."""
    height, width = 250, 200
    rows, columns = np.mgrid[:height, :width].astype(np.uint8)
    order = {name: index for index, name in enumerate(PHOTOGRAPHS)}
    monkeypatch.setattr(
        ngbench.data.crops, "_photograph", lambda name: np.stack((rows, columns, np.full_like(rows, order[name])))
    )
    data = photograph_crops("CIFAR-10", 600, 200, 10)
    train = cells_of(PHOTOGRAPHS, data.train, data.train_labels)
    validation = cells_of(PHOTOGRAPHS, data.validation, data.validation_labels)
    assert not train & validation
    # 3 × 3 whole cells, of which the third and the eighth are for validation.
    assert {cell[1:] for cell in validation} == {(0, 2), (2, 1)}
    assert len({cell[1:] for cell in train}) == 7


def test_crops_are_seeded_balanced_and_a_class_is_a_photograph() -> None:
    data = photograph_crops("CIFAR-10", 100, 30, 10)
    assert data.train_labels is not None
    assert data.validation_labels is not None
    assert np.bincount(data.train_labels).tolist() == [10] * 10
    assert np.bincount(data.validation_labels).tolist() == [3] * 10
    # Classes mix, so that evenly spaced subsets have all of them.
    assert len(set(data.subset(50).train_labels.tolist())) == 10  # type: ignore[union-attr]
    again, other = photograph_crops("CIFAR-10", 100, 30, 10), photograph_crops("CIFAR-10", 100, 30, 10, seed=1)
    assert again.source.digest == data.source.digest != other.source.digest
    # In the photographs without colour the three channels are equal.
    grey = [PHOTOGRAPHS.index("camera"), PHOTOGRAPHS.index("coins")]
    equal = (data.train == data.train[:, :1]).all((1, 2, 3))
    assert set(data.train_labels[equal].tolist()) == set(grey)


def test_there_are_no_more_classes_than_photographs() -> None:
    data = photograph_crops("CIFAR-100", 64, 16, 100)
    assert data.train_labels is not None
    assert set(data.train_labels.tolist()) == set(range(len(PHOTOGRAPHS)))
    assert data.source.origin == "stand-in"
    assert data.source.description == (
        "64 + 16 crops of 32 × 32 pixels of 16 photographs of scikit-image, a class each, in the place of CIFAR-100"
    )


def test_missing_photograph_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise ModuleNotFoundError("The requested file is part of the scikit-image distribution")

    monkeypatch.setattr("skimage.data.astronaut", missing)
    with pytest.raises(DataError, match="scikit-image's photograph 'astronaut' cannot be loaded"):
        photograph_crops("CIFAR-10", 10, 10, 10)
