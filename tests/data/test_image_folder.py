"""Folders of images: layout, order, lazy decoding, shapes, and one sentence for whatever is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ngbench.data.image_folder import FolderImages, list_images
from ngbench.errors import DataError

MEAN, DEVIATION = (0.5, 0.25, 0.0), (0.5, 1.0, 2.0)


def save(path: Path, size: tuple[int, int], colour: tuple[int, int, int] = (0, 0, 0)) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return str(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for part, counts in (("train", {"dog": 3, "ant": 4, "cat": 1}), ("val", {"dog": 2, "ant": 1})):
        for name, count in counts.items():
            for index in range(count):
                save(tmp_path / part / name / f"{index}.{'png' if index % 2 else 'JPEG'}", (8 + index, 8))
    (tmp_path / "train" / "ant" / "notes.txt").write_text("no image")
    return tmp_path


def test_classes_are_sorted_folders_and_images_sorted_files(folder: Path) -> None:
    images = list_images(folder)
    assert images.classes == ("ant", "cat", "dog")
    assert images.train.labels.tolist() == [0, 0, 0, 0, 1, 2, 2, 2]
    assert images.validation.labels.tolist() == [0, 2, 2]
    assert [Path(path).name for path in images.train.paths[:4]] == ["0.JPEG", "1.png", "2.JPEG", "3.png"]
    assert images.available == (8, 3)


def test_subset_is_evenly_spaced_in_both_parts(folder: Path) -> None:
    images = list_images(folder)
    subset = images.subset(4)
    assert subset.train.labels.tolist() == [0, 0, 1, 2]
    assert [Path(path).name for path in subset.train.paths] == ["0.JPEG", "2.JPEG", "0.JPEG", "1.png"]
    assert len(subset.validation.paths) == 2
    assert subset.available == (8, 3)
    assert subset.digest != images.digest
    assert images.subset(8) is images
    with pytest.raises(DataError, match="9 examples is more than the 8 that"):
        images.subset(9)


def test_digest_follows_names_and_sizes(folder: Path) -> None:
    first = list_images(folder).digest
    assert list_images(folder).digest == first
    save(folder / "val" / "dog" / "0.JPEG", (300, 300), (1, 2, 3))
    second = list_images(folder).digest
    (folder / "val" / "dog" / "0.JPEG").rename(folder / "val" / "dog" / "9.JPEG")
    assert len({first, second, list_images(folder).digest}) == 3


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "val").rename(folder / "valid"), r"has no folder 'val', it must hold val/CLASS"),
        (lambda folder: save(folder / "val" / "bee" / "0.png", (8, 8)), r"bee' is a class that .*train' lacks"),
        (lambda folder: [path.unlink() for path in folder.glob("val/*/*")], r"val' has no images"),
    ],
)
def test_other_layouts_are_refused(folder: Path, damage: object, message: str) -> None:
    damage(folder)  # type: ignore[operator]
    with pytest.raises(DataError, match=message):
        list_images(folder)


def test_batch_has_one_shape_in_the_order_asked_for(tmp_path: Path) -> None:
    paths = [
        save(tmp_path / f"{index}.png", size, (51 * index, 102, 255))
        for index, size in enumerate([(40, 30), (30, 40), (700, 33), (5, 9)])
    ]
    images = FolderImages(paths, 24, 16, MEAN, DEVIATION)
    assert len(images) == 4
    batch = images[torch.tensor([3, 0, 1])]
    assert batch.shape == (3, 3, 16, 16)
    assert batch.dtype == torch.float32
    torch.testing.assert_close(batch[:, 0, 8, 8], (torch.tensor([0.6, 0.0, 0.2]) - 0.5) / 0.5)
    torch.testing.assert_close(batch[:, 1], torch.full((3, 16, 16), 0.4 - 0.25))
    torch.testing.assert_close(batch[:, 2], torch.full((3, 16, 16), 0.5))
    torch.testing.assert_close(images[2:4], images[torch.tensor([2, 3])])
    doubled = images.to(torch.device("cpu"), torch.float64)[0:1]
    assert doubled.dtype == torch.float64
    torch.testing.assert_close(doubled.float(), images[0:1])


def test_central_square_of_the_resized_image_is_kept(tmp_path: Path) -> None:
    pixels = np.zeros((20, 60, 3), np.uint8)
    pixels[:, 20:40] = 255
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    square = FolderImages([str(tmp_path / "wide.png")], 20, 18, (0, 0, 0), (1, 1, 1))[0:1]
    assert (square == 1).all()
    wider = FolderImages([str(tmp_path / "wide.png")], 10, 10, (0, 0, 0), (1, 1, 1))[0:1]
    assert (wider[..., 1:-1] == 1).all()


def test_images_without_colour_or_with_transparency_are_converted(tmp_path: Path) -> None:
    Image.new("L", (8, 8), 255).save(tmp_path / "grey.png")
    Image.new("RGBA", (8, 8), (255, 255, 255, 0)).save(tmp_path / "clear.png")
    paths = [str(tmp_path / "grey.png"), str(tmp_path / "clear.png")]
    assert (FolderImages(paths, 8, 8, (0, 0, 0), (1, 1, 1))[0:2] == 1).all()


def test_only_the_images_asked_for_are_opened(tmp_path: Path) -> None:
    path = save(tmp_path / "whole.jpg", (64, 64), (255, 0, 0))
    (tmp_path / "damaged.jpg").write_bytes(Path(path).read_bytes()[:300])
    images = FolderImages(
        [path, str(tmp_path / "damaged.jpg"), str(tmp_path / "missing.jpg")], 32, 32, (0, 0, 0), (1, 1, 1)
    )
    assert images[0:1].shape == (1, 3, 32, 32)
    with pytest.raises(DataError, match=r"^cannot read the image '.*damaged\.jpg': it is truncated or no image$"):
        images[torch.tensor([0, 1])]
    with pytest.raises(DataError, match=r"^cannot read the image '.*missing\.jpg': No such file or directory$"):
        images[2:3]
