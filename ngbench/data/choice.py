"""Which data a task is to use: the official files, or what stands in for them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal, TypeVar

from ngbench.data.download import DownloadError, RemoteFile, download
from ngbench.disk import files
from ngbench.errors import DataError

__all__ = ["Choice", "choose_as_before", "find_file", "official_file", "official_or_stand_in", "stand_ins_taken"]

logger = logging.getLogger(__name__)

Choice = Literal["auto", "official", "stand-in"]

DataSet = TypeVar("DataSet")

_taken: set[str] = set()
_decided: set[str] = set()


def find_file(directory: Path, name: str, folders: tuple[str, ...]) -> Path | None:
    """The first existing file of that name in one of the folders of the data directory, or in itself."""
    candidates = (directory / folder / name for folder in (*folders, "."))
    return next((path for path in candidates if files.is_file(path)), None)


def official_file(file: RemoteFile, directory: Path, folders: tuple[str, ...]) -> Path:
    """As :func:`find_file`; the file is downloaded into the first of the folders if it is in none.

    Raises:
        DownloadError: it cannot be had.
    """
    return find_file(directory, file.name, folders) or download(file, directory / folders[0])


def stand_ins_taken() -> frozenset[str]:
    """The data sets whose stand-ins this process has taken because the official files cannot be had."""
    return frozenset(_taken)


def choose_as_before(names: Iterable[str]) -> None:
    """Take the stand-ins of these data sets where any data will do, without another attempt or another note.

    For a process whose parent has loaded the same data: if files arrived in between, it would compute on others than
    those that its parent told of.

    Args:
        names: what the parent's :func:`stand_ins_taken` gave.
    """
    _decided.update(names)


def official_or_stand_in(
    name: str, choice: Choice, official: Callable[[], DataSet], stand_in: Callable[[], DataSet]
) -> DataSet:
    """The official data set if it can be had, else its stand-in, with a note that it is one.

    Args:
        name: of the data set.
        choice: ``"official"`` or ``"stand-in"`` asks for one of them; ``"auto"`` prefers the official one.
        official: loads the official files, downloading them where they are missing; a ``DownloadError``
            means that they are neither present nor downloadable, any other error that they are damaged.
        stand_in: loads or makes the stand-in.

    Raises:
        DataError: what was asked for cannot be had, or the official files are damaged.
    """
    if choice == "stand-in" or (choice == "auto" and name in _decided):
        return stand_in()
    try:
        return official()
    except DownloadError as unavailable:
        if choice == "official":
            raise
        try:
            data = stand_in()
        except DataError as error:
            raise DataError(f"{unavailable}; nor is there a stand-in: {error}") from None
        _taken.add(name)
        logger.warning("a stand-in takes the place of %s: %s", name, unavailable)
        return data
