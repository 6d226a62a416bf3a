"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009), from their python batches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ngbench.data.arrays import ArrayDataSet, Bytes, Labels, data_set_of
from ngbench.data.choice import Choice, find_file, official_or_stand_in
from ngbench.data.crops import photograph_crops
from ngbench.data.download import RemoteFile, download
from ngbench.data.pickles import load_plain
from ngbench.data.tarballs import read_members
from ngbench.disk import files
from ngbench.errors import DataError

__all__ = ["CIFAR10", "CIFAR100", "CifarDataSet", "cifar10", "cifar100", "unpacked_folder"]

SHAPE = (3, 32, 32)


@dataclass(frozen=True)
class CifarDataSet:
    """A data set in python batches.

    Attributes:
        title: its name.
        archive: the official file.
        folder: in the archive, and of the data directory once it is unpacked.
        places: other folders of the data directory in which either may lie.
        train, test: the batches with their MD5.
        labels: the key of the labels in a batch.
        classes: how many there are.
        counts: of training and test images.
    """

    title: str
    archive: RemoteFile
    folder: str
    places: tuple[str, ...]
    train: Mapping[str, str]
    test: Mapping[str, str]
    labels: bytes
    classes: int
    counts: tuple[int, int] = (50_000, 10_000)


# The folders of torchvision, so that both programs share what either has downloaded.
CIFAR10 = CifarDataSet(
    title="CIFAR-10",
    archive=RemoteFile(
        "cifar-10-python.tar.gz",
        ("https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",),
        "md5:c58f30108f718f92721af3b95e74349a",
    ),
    folder="cifar-10-batches-py",
    places=("CIFAR10", "cifar10"),
    train={
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    },
    test={"test_batch": "40351d587109b95175f43aff81a1287e"},
    labels=b"labels",
    classes=10,
)

CIFAR100 = CifarDataSet(
    title="CIFAR-100",
    archive=RemoteFile(
        "cifar-100-python.tar.gz",
        ("https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",),
        "md5:eb9058c3a382ffc7106e4002c42a8d85",
    ),
    folder="cifar-100-python",
    places=("CIFAR100", "cifar100"),
    train={"train": "16019d7e3df5f24257cddd939b257f8d"},
    test={"test": "f0ef6b0ae62326f3e7ffdfab6717acfc"},
    labels=b"fine_labels",
    classes=100,
)


def cifar10(directory: Path, choice: Choice = "auto") -> ArrayDataSet:
    """CIFAR-10: 50,000 images to train on and the 10,000 test images, ``(n, 3, 32, 32)`` of uint8, with labels.

    Args:
        directory: where data sets live.
        choice: the stand-in is as many crops of ten photographs.

    Raises:
        DataError: the official files are damaged, or they were asked for and cannot be had.
    """
    return _load(CIFAR10, directory, choice)


def cifar100(directory: Path, choice: Choice = "auto") -> ArrayDataSet:
    """CIFAR-100 with its 100 fine labels; shapes, arguments and errors as for :func:`cifar10`.

    The stand-in has a class for each photograph that there is, and leaves the other classes empty.
    """
    return _load(CIFAR100, directory, choice)


def _load(data_set: CifarDataSet, directory: Path, choice: Choice) -> ArrayDataSet:
    stand_in = partial(photograph_crops, data_set.title, *data_set.counts, data_set.classes)
    return official_or_stand_in(data_set.title, choice, partial(_official, data_set, directory), stand_in)


def _official(data_set: CifarDataSet, directory: Path) -> ArrayDataSet:
    contents, origin = _contents(data_set, directory)

    def part(batches: Iterable[str], count: int) -> tuple[Bytes, Labels]:
        read = [read_batch(contents[name], f"{origin}/{name}", data_set.labels) for name in batches]
        images, labels = (np.concatenate(arrays) for arrays in zip(*read, strict=True))
        if len(images) != count:
            raise DataError(f"{origin!r} has {len(images)} images in {', '.join(batches)}, {count} expected")
        return images, labels

    train, test = map(part, (data_set.train, data_set.test), data_set.counts)
    what = f"the official python batches: {len(train[0])} training images, {len(test[0])} test images"
    return data_set_of(data_set.title, "original", what, train, test)


def _contents(data_set: CifarDataSet, directory: Path) -> tuple[dict[str, bytes], str]:
    """The official batches by name, and where they come from: unpacked, else the archive, else a download."""
    expected = {**data_set.train, **data_set.test}
    folder = unpacked_folder(data_set, directory)
    if folder is not None:
        contents = {name: files.read_bytes(folder / name, error=DataError) for name in expected}
        _check(data_set, contents, str(folder))
        return contents, str(folder)
    archive = find_file(directory, data_set.archive.name, data_set.places) or download(data_set.archive, directory)
    contents = _unpack(archive, [f"{data_set.folder}/{name}" for name in expected])
    _check(data_set, contents, f"{archive}:{data_set.folder}")
    return contents, f"{archive}:{data_set.folder}"


def unpacked_folder(data_set: CifarDataSet, directory: Path) -> Path | None:
    """The first folder that holds all batches."""
    names = [*data_set.train, *data_set.test]
    folders = (directory / place / data_set.folder for place in (".", *data_set.places))
    return next((folder for folder in folders if all(files.is_file(folder / name) for name in names)), None)


def _unpack(archive: Path, members: list[str]) -> dict[str, bytes]:
    """The contents of these members by their last name; nothing is written."""
    contents = read_members(archive, members, "delete it to have it downloaded")
    for name in members:
        if name not in contents:
            raise DataError(f"{str(archive)!r} lacks {name!r}; delete it to have it downloaded")
    return {name.rpartition("/")[2]: content for name, content in contents.items()}


def _check(data_set: CifarDataSet, contents: Mapping[str, bytes], origin: str) -> None:
    for name, md5 in {**data_set.train, **data_set.test}.items():
        found = hashlib.md5(contents[name], usedforsecurity=False).hexdigest()
        if found != md5:
            raise DataError(
                f"{f'{origin}/{name}'!r} is not the official file of {data_set.title} "
                f"(its MD5 is {found[:12]}…, not {md5[:12]}…); delete it to have it downloaded"
            )


def read_batch(content: bytes, where: str, labels: bytes) -> tuple[Bytes, Labels]:
    """The images ``(n, 3, 32, 32)`` and labels ``(n,)`` of one batch.

    Args:
        content: the pickle.
        where: its file, for the messages.
        labels: the key of the labels.

    Raises:
        DataError: it is damaged, holds something else than plain data, or is no batch.
    """
    batch = load_plain(content, where)
    try:
        images, classes = batch[b"data"], np.asarray(batch[labels])
    except (KeyError, TypeError, IndexError, ValueError):
        raise DataError(f"{where!r} is no batch of images: it lacks 'data' or {labels.decode()!r}") from None
    size = int(np.prod(SHAPE))
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape != (len(images), size):
        raise DataError(f"the images in {where!r} are not an array of bytes of shape (n, {size})")
    if classes.shape != (len(images),) or classes.dtype.kind not in "iu":
        raise DataError(f"the labels in {where!r} are not {len(images)} integers")
    return np.asarray(images).reshape(-1, *SHAPE), classes.astype(np.int64)
