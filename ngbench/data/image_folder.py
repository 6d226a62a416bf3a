"""Images in folders, one for each class, read when a batch asks for them.

The layout is that in which ImageNet is unpacked: ``FOLDER/train/CLASS/NAME.jpg`` and ``FOLDER/val/CLASS/NAME.jpg``.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ngbench.data.arrays import Bytes, spread
from ngbench.disk.files import is_directory
from ngbench.disk.reading import open_regular
from ngbench.errors import DataError

__all__ = ["FolderImages", "ImageFolders", "list_images"]

TRAIN, VALIDATION = "train", "val"
ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True)
class LabelledFiles:
    """Files of images and the classes that they belong to.

    Attributes:
        paths: of the files.
        labels: ``(n,)``, int64, indices of the classes.
    """

    paths: Sequence[str]
    labels: Tensor

    def subset(self, count: int) -> LabelledFiles:
        """So many of them, evenly spaced."""
        kept = spread(len(self.paths), count)
        return LabelledFiles([self.paths[index] for index in kept], self.labels[torch.from_numpy(kept)])


@dataclass(frozen=True)
class ImageFolders:
    """A data set in folders.

    Attributes:
        folder: that holds it.
        classes: names of the folders of the classes, sorted; a label is an index of these.
        train, validation: the images.
        digest: hexadecimal SHA-256 of the names and sizes of all files, and of how many are left out.
        available: how many images of either part the folder holds.
    """

    folder: Path
    classes: tuple[str, ...]
    train: LabelledFiles
    validation: LabelledFiles
    digest: str
    available: tuple[int, int]

    def subset(self, examples: int) -> ImageFolders:
        """So many training images, evenly spaced, and the same fraction of the validation images.

        Raises:
            DataError: there are fewer training images.
        """
        available = len(self.train.paths)
        if examples > available:
            raise DataError(f"{examples} examples is more than the {available} that {str(self.folder)!r} has")
        kept = max(1, round(len(self.validation.paths) * examples / available))
        if examples == available:
            return self
        digest = hashlib.sha256(f"{self.digest} {examples} {kept}".encode()).hexdigest()
        return replace(self, train=self.train.subset(examples), validation=self.validation.subset(kept), digest=digest)


def list_images(folder: Path) -> ImageFolders:
    """What lies in ``folder``; no image is opened.

    Raises:
        DataError: it lacks the layout, a class of the validation images has no training images, or a folder cannot
            be read.
    """
    parts = {}
    digest = hashlib.sha256()
    try:
        for part in (TRAIN, VALIDATION):
            if not is_directory(folder / part):
                raise DataError(f"{str(folder)!r} has no folder {part!r}, it must hold {part}/CLASS/NAME.jpg")
            parts[part] = {name: _files(folder / part / name, digest) for name in _folders(folder / part)}
    except OSError as error:
        raise DataError(f"cannot read {str(error.filename)!r}: {error.strerror or error}") from None
    classes = tuple(parts[TRAIN])
    for part, found in parts.items():
        if not any(found.values()):
            raise DataError(f"{str(folder / part)!r} has no images, it must hold CLASS/NAME.jpg")
    for name in parts[VALIDATION]:
        if name not in parts[TRAIN]:
            raise DataError(f"{str(folder / VALIDATION / name)!r} is a class that {str(folder / TRAIN)!r} lacks")
    train, validation = (_labelled(classes, parts[part]) for part in (TRAIN, VALIDATION))
    available = (len(train.paths), len(validation.paths))
    return ImageFolders(folder, classes, train, validation, digest.hexdigest(), available)


def _folders(path: Path) -> list[str]:
    with os.scandir(path) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir())


def _files(path: Path, digest: hashlib._Hash) -> list[str]:
    with os.scandir(path) as entries:
        found = sorted((entry.path, entry.stat().st_size) for entry in entries if entry.name.lower().endswith(ENDINGS))
    for name, size in found:
        digest.update(f"{path.parent.name}/{path.name}/{os.path.basename(name)}\0{size}\n".encode())
    return [name for name, _ in found]


def _labelled(classes: Sequence[str], found: dict[str, list[str]]) -> LabelledFiles:
    paths, labels = [], []
    for label, name in enumerate(classes):
        paths += found.get(name, [])
        labels += [label] * len(found.get(name, []))
    return LabelledFiles(paths, torch.tensor(labels, dtype=torch.int64))


class FolderImages:
    """Images that are decoded when they are asked for: a ``TensorSource``.

    The shorter side of an image is resized to ``resize`` pixels, and the central square of ``size`` pixels is
    kept, so that a batch has one shape. Only the images of one batch are in memory.

    Args:
        paths: of the files.
        resize: pixels of the shorter side.
        size: pixels of a side of the result, at most ``resize``.
        mean, deviation: of each channel, by which levels in [0, 1] are shifted and divided.
    """

    def __init__(
        self, paths: Sequence[str], resize: int, size: int, mean: Iterable[float], deviation: Iterable[float]
    ) -> None:
        self._paths = paths
        self._resize = resize
        self._size = size
        self._mean = torch.tensor(list(mean)).view(-1, 1, 1)
        self._deviation = torch.tensor(list(deviation)).view(-1, 1, 1)

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: Tensor | slice) -> Tensor:
        """``(m, 3, size, size)``.

        Raises:
            DataError: a file cannot be read or is no whole image.
        """
        paths = self._paths[index] if isinstance(index, slice) else [self._paths[i] for i in index.tolist()]
        # Pillow lets other threads run while it decodes.
        with ThreadPoolExecutor(max(1, min(len(paths), os.cpu_count() or 1))) as pool:
            levels = list(pool.map(self._decode, paths))
        # Levels are a quarter of the bytes to move.
        images = torch.from_numpy(np.stack(levels)).to(self._mean.device).permute(0, 3, 1, 2)
        return (images.to(self._mean.dtype) / 255 - self._mean) / self._deviation

    def to(self, device: torch.device, dtype: torch.dtype) -> FolderImages:
        """The same images, given on ``device`` and in ``dtype``."""
        moved = FolderImages(self._paths, self._resize, self._size, (), ())
        moved._mean, moved._deviation = self._mean.to(device, dtype), self._deviation.to(device, dtype)
        return moved

    def _decode(self, path: str) -> Bytes:
        # Imported here, as most runs are of tasks without files of images.
        from PIL import Image

        try:
            with open(open_regular(Path(path)), "rb") as opened, Image.open(opened) as file:
                # A JPEG is decoded at a fraction of its size where that suffices.
                file.draft("RGB", (self._resize, self._resize))
                image = file.convert("RGB")
        except Exception as error:
            # Pillow meets a damaged file with many exceptions, depending on its format.
            reason = getattr(error, "strerror", None) or "it is truncated or no image"
            raise DataError(f"cannot read the image {path!r}: {reason}") from None
        scale = self._resize / min(image.size)
        width, height = (max(self._resize, round(side * scale)) for side in image.size)
        left, top = (width - self._size) // 2, (height - self._size) // 2
        resized = image.resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(resized.crop((left, top, left + self._size, top + self._size)))
