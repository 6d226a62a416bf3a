"""Random-resized crops: where they lie, how they are interpolated, and that a generator determines them."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from ngbench.data.augmentation import CentralCrops, RandomResizedCrops, crop_and_resize


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_each_image_gets_its_own_part_and_mirror(dtype: torch.dtype) -> None:
    images = torch.rand(3, 2, 12, 16, generator=generator(), dtype=dtype)
    boxes = torch.tensor([[2.0, 3.0, 6.0, 6.0], [0.0, 0.0, 12.0, 16.0], [4.0, 8.0, 8.0, 4.0]])
    result = crop_and_resize(images, boxes, 6, torch.tensor([False, True, False]))
    assert result.dtype == dtype
    torch.testing.assert_close(result[0], images[0, :, 2:8, 3:9])
    for index, part in ((1, images[1:2].flip(3)), (2, images[2:, :, 4:12, 8:12])):
        expected = F.interpolate(part, size=(6, 6), mode="bilinear", align_corners=False)[0]
        inner = (slice(None), slice(1, -1), slice(1, -1))
        torch.testing.assert_close(result[index][inner], expected[inner])


def test_half_precision_keeps_its_type() -> None:
    images = torch.rand(2, 3, 8, 8, generator=generator())
    full = RandomResizedCrops(4)(images, generator(1))
    half = RandomResizedCrops(4)(images.bfloat16(), generator(1))
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), full, atol=0.02, rtol=0.02)


def test_a_generator_determines_the_parts_and_goes_on() -> None:
    images, augment, state = torch.rand(16, 3, 32, 32, generator=generator()), RandomResizedCrops(24), generator(3)
    first, second = augment(images, state), augment(images, state)
    assert first.shape == (16, 3, 24, 24)
    assert torch.equal(first, augment(images, generator(3)))
    assert not torch.equal(first, second)


def test_boxes_are_distributed_as_the_augmentation_says() -> None:
    top, left, tall, wide = RandomResizedCrops(8).boxes(20_000, 32, 32, generator()).unbind(1)
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + tall <= 32 + 1e-9).all()
    assert (left + wide <= 32 + 1e-9).all()
    area, ratio = tall * wide / 32**2, wide / tall
    assert 0.08 <= area.min() < 0.1
    assert 0.95 < area.max() <= 1
    assert 3 / 4 <= ratio.min() < 0.76
    assert 1.32 < ratio.max() <= 4 / 3 + 1e-9
    assert ratio.log().mean().abs() < 0.01
    # The place is uniform, whatever the size.
    assert (left / (32 - wide)).mean() == pytest.approx(0.5, abs=0.01)
    assert (top / (32 - tall)).mean() == pytest.approx(0.5, abs=0.01)


def test_what_never_fits_is_made_to_fit() -> None:
    boxes = RandomResizedCrops(8, scale=(1.0, 1.0), ratio=(2.0, 2.0)).boxes(5, 40, 20, generator())
    # The broadest part of a tall image: all of its width, half of that in height.
    torch.testing.assert_close(boxes[:, 2:], torch.tensor([10.0, 20.0]).double().expand(5, 2))
    assert (boxes[:, 0] <= 30).all()


def test_half_of_the_images_are_mirrored() -> None:
    ramp = torch.arange(16.0).expand(1000, 1, 16, 16)
    rising = RandomResizedCrops(8)(ramp, generator())[:, 0, 0].diff(dim=1).mean(1) > 0
    assert 0.45 < rising.float().mean() < 0.55


def test_central_crops_are_made_on_demand() -> None:
    images = torch.rand(5, 3, 32, 32, generator=generator())
    source = CentralCrops(images, 28)
    assert len(source) == 5
    torch.testing.assert_close(source[1:3], images[1:3, :, 2:30, 2:30])
    torch.testing.assert_close(source[torch.tensor([4, 0])], images[[4, 0], :, 2:30, 2:30])
    moved = source.to(torch.device("cpu"), torch.float64)[0:1]
    assert moved.dtype == torch.float64
    assert CentralCrops(images, 224)[0:2].shape == (2, 3, 224, 224)
