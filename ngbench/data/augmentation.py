"""Random-resized crops and flips of a batch of images, and the central crops that go with them.

The augmentation of Szegedy et al. (2015) as it is used to train on ImageNet: each image is replaced by a random part
of itself, enlarged or reduced to a fixed size, and by its mirror image every other time. Bilinear interpolation
between the pixels at the places that the crop asks for, so that a part need not begin or end at a whole pixel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["CENTRAL", "CentralCrops", "RandomResizedCrops"]

ATTEMPTS = 10
CENTRAL = 0.875
"""Validation looks at this part of each side: 224 of 256 pixels."""


def crop_and_resize(images: Tensor, boxes: Tensor, size: int, flipped: Tensor | None = None) -> Tensor:
    """A part of each image, resized to a square.

    Args:
        images: ``(m, c, h, w)``.
        boxes: top, left, height and width of each part in pixels, ``(m, 4)``; parts lie inside their images.
        size: pixels of a side of the result.
        flipped: which parts to mirror horizontally, ``(m,)`` of bool.

    Returns:
        ``(m, c, size, size)``, of the type of ``images``.
    """
    # Half precision would misplace the pixels, and is not interpolated on every device.
    dtype = torch.promote_types(images.dtype, torch.float32)
    height, width = images.shape[2:]
    top, left, tall, wide = boxes.to(images.device, dtype).unbind(1)
    theta = torch.zeros(len(images), 2, 3, device=images.device, dtype=dtype)
    mirror = 1.0 if flipped is None else 1.0 - 2.0 * flipped.to(images.device, dtype)
    theta[:, 0, 0] = mirror * wide / width
    theta[:, 0, 2] = (2 * left + wide) / width - 1
    theta[:, 1, 1] = tall / height
    theta[:, 1, 2] = (2 * top + tall) / height - 1
    grid = F.affine_grid(theta, [len(images), images.shape[1], size, size], align_corners=False)
    resized = F.grid_sample(images.to(dtype), grid, padding_mode="border", align_corners=False)
    return resized.to(images.dtype)


@dataclass(frozen=True)
class RandomResizedCrops:
    """Replaces each image of a batch by a random part of it, resized, and mirrored with probability 1/2.

    The area of a part is uniform in ``scale``, the logarithm of its width over its height is uniform in that of
    ``ratio``, its place is uniform; what does not fit into the image is drawn again, ten times, and then made to fit.

    Attributes:
        size: pixels of a side of the result.
        scale: smallest and largest area, as parts of the image's.
        ratio: smallest and largest width over height.
    """

    size: int
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)

    def __call__(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        """The parts ``(m, c, size, size)`` of the images ``(m, c, h, w)``; the same generator, the same parts."""
        boxes = self.boxes(len(inputs), inputs.shape[2], inputs.shape[3], generator)
        flipped = torch.rand(len(inputs), generator=generator, device=generator.device) < 0.5
        return crop_and_resize(inputs, boxes, self.size, flipped)

    def boxes(self, count: int, height: int, width: int, generator: torch.Generator) -> Tensor:
        """Top, left, height and width of ``count`` random parts of images of one size: ``(count, 4)``."""
        uniform = torch.rand(4, ATTEMPTS, count, generator=generator, device=generator.device, dtype=torch.float64)
        low, high = self.scale
        area = height * width * (low + (high - low) * uniform[0])
        narrow, broad = (math.log(bound) for bound in self.ratio)
        ratio = torch.exp(narrow + (broad - narrow) * uniform[1])
        wide, tall = (area * ratio).sqrt(), (area / ratio).sqrt()
        fits = (wide <= width) & (tall <= height)
        first = fits.to(torch.int8).argmax(0, keepdim=True)
        wide, tall, x, y = (values.gather(0, first)[0] for values in (wide, tall, uniform[2], uniform[3]))
        never = ~fits.any(0)
        wide[never] = min(width, height * self.ratio[1])
        tall[never] = min(height, width / self.ratio[0])
        return torch.stack((y * (height - tall), x * (width - wide), tall, wide), 1)


class CentralCrops:
    """The central parts of images, resized when they are asked for: a ``TensorSource``.

    Args:
        images: ``(n, c, h, w)``, square.
        size: pixels of a side of the result.
        part: of each side of the image.
    """

    def __init__(self, images: Tensor, size: int, part: float = CENTRAL) -> None:
        self._images = images
        self._size = size
        self._part = part

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: Tensor | slice) -> Tensor:
        """``(m, c, size, size)``."""
        images = self._images[index]
        height, width = images.shape[2:]
        margin = (1 - self._part) / 2
        box = [margin * height, margin * width, self._part * height, self._part * width]
        return crop_and_resize(images, torch.tensor(box, dtype=torch.float64).expand(len(images), 4), self._size)

    def to(self, device: torch.device, dtype: torch.dtype) -> CentralCrops:
        """The same images on ``device``, computed in ``dtype``."""
        return CentralCrops(self._images.to(device, dtype), self._size, self._part)
