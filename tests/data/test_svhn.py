"""SVHN's files: where they are found, how images and labels are arranged, that only the official ones pass."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io

import ngbench.data.svhn
from ngbench.data.download import RemoteFile
from ngbench.data.svhn import read_digits, svhn
from ngbench.errors import DataError

IMAGES = np.random.default_rng(0).integers(0, 256, (32, 32, 3, 5), np.uint8)
LABELS = np.array([[10], [1], [9], [10], [4]], np.uint8)


def save(path: Path, count: int) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, {"X": IMAGES[..., :count], "y": LABELS[:count]}, do_compression=True)
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


@pytest.fixture
def no_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TRAIN", "TEST"):
        file = RemoteFile(f"{name.lower()}_32x32.mat", ("http://127.0.0.1:1/",), "md5:" + "0" * 32)
        monkeypatch.setattr(ngbench.data.svhn, name, file)
    monkeypatch.setattr(ngbench.data.svhn, "COUNTS", (20, 10))


@pytest.mark.parametrize("folder", [".", "SVHN", "svhn"])
def test_official_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    for name, count in (("TRAIN", 5), ("TEST", 2)):
        file = f"{name.lower()}_32x32.mat"
        checksum = f"md5:{save(tmp_path / folder / file, count)}"
        monkeypatch.setattr(ngbench.data.svhn, name, RemoteFile(file, (), checksum))
    data = svhn(tmp_path)
    assert data.source.origin == "original"
    assert data.train_labels is not None
    assert data.train_labels.tolist() == [0, 1, 9, 0, 4]
    assert data.train.shape == (5, 3, 32, 32)
    assert data.validation.shape == (2, 3, 32, 32)
    assert data.train[3, 2, 7, 11] == IMAGES[7, 11, 2, 3]


@pytest.mark.usefixtures("no_mirror")
def test_other_file_is_refused_even_where_a_stand_in_would_do(tmp_path: Path) -> None:
    save(tmp_path / "train_32x32.mat", 5)
    with pytest.raises(DataError, match=r"train_32x32\.mat' is not the official file of SVHN"):
        svhn(tmp_path, "auto")


@pytest.mark.usefixtures("no_mirror")
def test_stand_in_is_named_and_has_as_many_images(tmp_path: Path) -> None:
    data = svhn(tmp_path)
    assert (data.source.name, data.source.origin) == ("SVHN", "stand-in")
    assert (len(data.train), len(data.validation)) == (20, 10)
    with pytest.raises(DataError, match=r"could not download train_32x32\.mat"):
        svhn(tmp_path, "official")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"X": IMAGES}, "has no matrix 'y'"),
        ({"X": IMAGES[:30], "y": LABELS}, r"'X' .* has shape \(30, 32, 3, 5\)"),
        ({"X": IMAGES.astype(float), "y": LABELS}, "'X' .* bytes expected"),
        ({"X": IMAGES, "y": LABELS[:4]}, "does not hold 5 labels"),
        ({"X": IMAGES, "y": LABELS - 1}, "labels from 1 to 10"),
    ],
)
def test_what_holds_no_digits_is_named(tmp_path: Path, content: dict[str, Any], message: str) -> None:
    scipy.io.savemat(tmp_path / "digits.mat", content)
    with pytest.raises(DataError, match=message):
        read_digits(tmp_path / "digits.mat")
