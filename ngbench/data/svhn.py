"""SVHN, house numbers in street views (Netzer et al., 2011), from its files of cropped digits."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from ngbench.data.arrays import ArrayDataSet, Bytes, Labels, data_set_of
from ngbench.data.choice import Choice, find_file, official_or_stand_in
from ngbench.data.crops import photograph_crops
from ngbench.data.download import RemoteFile, checksum_matches, download
from ngbench.data.matlab import read_arrays
from ngbench.errors import DataError

__all__ = ["FOLDERS", "TEST", "TRAIN", "svhn"]

SITE = "http://ufldl.stanford.edu/housenumbers/"
TRAIN = RemoteFile("train_32x32.mat", (SITE + "train_32x32.mat",), "md5:e26dedcc434d2e4c54c9b2d4a06d8373")
TEST = RemoteFile("test_32x32.mat", (SITE + "test_32x32.mat",), "md5:eb5a983be6a315427106f1b164d9cef3")
FOLDERS = ("SVHN", "svhn")
COUNTS = (73_257, 26_032)
CLASSES = 10
SIZE = 32


def svhn(directory: Path, choice: Choice = "auto") -> ArrayDataSet:
    """SVHN: 73,257 digits to train on and the 26,032 test digits, ``(n, 3, 32, 32)`` of uint8, with labels.

    Args:
        directory: where data sets live.
        choice: the stand-in is as many crops of ten photographs.

    Raises:
        DataError: an official file is damaged, or they were asked for and cannot be had.
    """
    stand_in = partial(photograph_crops, "SVHN", *COUNTS, CLASSES)
    return official_or_stand_in("SVHN", choice, partial(_official, directory), stand_in)


def _official(directory: Path) -> ArrayDataSet:
    train, test = (_read(directory, file) for file in (TRAIN, TEST))
    counts = f"{len(train[0])} training images, {len(test[0])} test images"
    return data_set_of("SVHN", "original", f"the official files {TRAIN.name} and {TEST.name}: {counts}", train, test)


def _read(directory: Path, file: RemoteFile) -> tuple[Bytes, Labels]:
    # Files are looked for where torchvision, given the data directory, puts them as well.
    path = find_file(directory, file.name, FOLDERS)
    if path is None:
        path = download(file, directory / FOLDERS[0])
    elif file.checksum is not None and not _matches(path, file.checksum):
        raise DataError(f"{str(path)!r} is not the official file of SVHN; delete it to have it downloaded")
    return read_digits(path)


def _matches(path: Path, checksum: str) -> bool:
    try:
        return checksum_matches(path, checksum)
    except OSError as error:
        raise DataError(f"cannot read {str(path)!r}: {error.strerror or error}") from None


def read_digits(path: Path) -> tuple[Bytes, Labels]:
    """The images ``(n, 3, 32, 32)`` and labels ``(n,)`` of a file; its label 10 is the digit 0.

    Raises:
        DataError: the file cannot be read, is damaged, or does not hold such images.
    """
    arrays = read_arrays(path, ["X", "y"])
    images, labels = arrays["X"], arrays["y"].ravel()
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[:3] != (SIZE, SIZE, 3):
        raise DataError(f"'X' in {str(path)!r} has shape {images.shape}, ({SIZE}, {SIZE}, 3, n) bytes expected")
    if labels.shape != images.shape[3:] or not ((labels >= 1) & (labels <= CLASSES)).all():
        raise DataError(f"'y' in {str(path)!r} does not hold {images.shape[3]} labels from 1 to {CLASSES}")
    return np.ascontiguousarray(images.transpose(3, 2, 0, 1)), labels.astype(np.int64) % CLASSES
