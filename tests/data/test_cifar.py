"""Where the python batches are found, that only the official ones pass, and how they are read."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ngbench.data.cifar
from ngbench.data.cifar import CIFAR10, CIFAR100, CifarDataSet, cifar10, cifar100, read_batch
from ngbench.data.download import RemoteFile
from ngbench.errors import DataError

PIXELS = np.random.default_rng(0).integers(0, 256, (7, 3072), np.uint8)


def batch(rows: slice, labels: bytes = b"labels", **other: Any) -> bytes:
    content: dict[Any, Any] = {b"data": PIXELS[rows], labels: list(range(7))[rows], b"batch_label": b"a batch"}
    return pickle.dumps({**content, **other}, 4)


FILES = {"first": batch(slice(0, 3)), "second": batch(slice(3, 5)), "test": batch(slice(5, 7))}


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> CifarDataSet:
    """CIFAR-10 in two training batches of 3 + 2 images, with 2 test images, and no mirror that answers."""
    data_set = dataclasses.replace(
        CIFAR10,
        archive=RemoteFile("cifar-10-python.tar.gz", ("http://127.0.0.1:1/",), "md5:" + "0" * 32),
        train={name: md5(FILES[name]) for name in ("first", "second")},
        test={"test": md5(FILES["test"])},
        counts=(5, 2),
    )
    monkeypatch.setattr(ngbench.data.cifar, "CIFAR10", data_set)
    return data_set


def place(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name, content in FILES.items():
        (folder / name).write_bytes(content)


def pack(path: Path, files: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize("layout", ["cifar-10-batches-py", "CIFAR10/cifar-10-batches-py", "archive", "CIFAR10/archive"])
def test_batches_are_found_and_put_together(tiny: CifarDataSet, tmp_path: Path, layout: str) -> None:
    if layout.endswith("archive"):
        # In another order than they are read.
        pack((tmp_path / layout).with_name(tiny.archive.name), dict(reversed(FILES.items())))
    else:
        place(tmp_path / layout)
    data = cifar10(tmp_path)
    assert data.source.origin == "original"
    assert data.train_labels is not None
    assert data.validation_labels is not None
    np.testing.assert_array_equal(data.train, PIXELS[:5].reshape(5, 3, 32, 32))
    np.testing.assert_array_equal(data.validation, PIXELS[5:].reshape(2, 3, 32, 32))
    assert data.train_labels.tolist() == [0, 1, 2, 3, 4]
    assert data.validation_labels.tolist() == [5, 6]
    assert "5 training images, 2 test images" in data.source.description


def test_a_batch_that_is_not_the_official_one_is_never_unpickled(
    tiny: CifarDataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(tmp_path / tiny.folder)
    (tmp_path / tiny.folder / "second").write_bytes(batch(slice(3, 5), extra=1))
    monkeypatch.setattr(ngbench.data.cifar, "load_plain", lambda content, where: pytest.fail("it was unpickled"))
    with pytest.raises(DataError, match=r"second' is not the official file of CIFAR-10 \(its MD5 is "):
        cifar10(tmp_path, "auto")


def test_damaged_archive_is_refused_even_where_a_stand_in_would_do(tiny: CifarDataSet, tmp_path: Path) -> None:
    path = tmp_path / tiny.archive.name
    pack(path, FILES)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="truncated or corrupt"):
        cifar10(tmp_path)
    pack(path, {"first": FILES["first"], "second": FILES["second"]})
    with pytest.raises(DataError, match="lacks 'cifar-10-batches-py/test'"):
        cifar10(tmp_path)


def test_wrong_count_is_named(tiny: CifarDataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place(tmp_path / tiny.folder)
    monkeypatch.setattr(ngbench.data.cifar, "CIFAR10", dataclasses.replace(tiny, counts=(6, 2)))
    with pytest.raises(DataError, match="has 5 images in first, second, 6 expected"):
        cifar10(tmp_path)


def test_without_the_official_files_auto_takes_a_stand_in_with_a_note(
    tiny: CifarDataSet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = cifar10(tmp_path)
    assert data.source.name == "CIFAR-10"
    assert data.source.origin == "stand-in"
    assert data.train.shape == (5, 3, 32, 32)
    assert data.validation.shape == (2, 3, 32, 32)
    assert "a stand-in takes the place of CIFAR-10: could not download" in caplog.text
    with pytest.raises(DataError, match=r"put it at .*cifar-10-python\.tar\.gz"):
        cifar10(tmp_path, "official")


def test_cifar_100_has_its_fine_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train, test = (batch(rows, b"fine_labels", coarse_labels=[9]) for rows in (slice(0, 4), slice(4, 7)))
    data_set = dataclasses.replace(CIFAR100, train={"train": md5(train)}, test={"test": md5(test)}, counts=(4, 3))
    monkeypatch.setattr(ngbench.data.cifar, "CIFAR100", data_set)
    (tmp_path / "cifar-100-python").mkdir()
    (tmp_path / "cifar-100-python" / "train").write_bytes(train)
    (tmp_path / "cifar-100-python" / "test").write_bytes(test)
    data = cifar100(tmp_path, "official")
    assert data.train_labels is not None
    assert data.train_labels.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({b"data": PIXELS}, "it lacks 'data' or 'labels'"),
        ([1, 2], "it lacks 'data' or 'labels'"),
        ({b"data": PIXELS[:, :9], b"labels": [0] * 7}, r"not an array of bytes of shape \(n, 3072\)"),
        ({b"data": PIXELS.astype(np.float32), b"labels": [0] * 7}, "not an array of bytes"),
        ({b"data": [[1]], b"labels": [0]}, "not an array of bytes"),
        ({b"data": PIXELS, b"labels": [0] * 6}, "not 7 integers"),
        ({b"data": PIXELS, b"labels": ["a"] * 7}, "not 7 integers"),
    ],
)
def test_what_is_no_batch_is_named(content: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_batch(pickle.dumps(content, 4), "batch", b"labels")
