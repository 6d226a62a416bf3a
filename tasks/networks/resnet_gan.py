"""Residual GAN of section 5.3.2 of the thesis for 32 × 32 images: eleven layers in either player."""

from __future__ import annotations

from torch import Tensor, nn

from .dcgan import initialise

__all__ = ["ResnetCritic", "ResnetGenerator"]

_SIDE = 4


class _Residual(nn.Module):
    """The sum of what two paths make of an image."""

    residual: nn.Module
    shortcut: nn.Module

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = self.residual(images) + self.shortcut(images)
        return result


class _UpBlock(_Residual):
    """Twice the height and width: normalised transposed convolution and convolution beside a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.ConvTranspose2d(width, width, kernel_size=4, stride=2, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, kernel_size=3, padding=1),
        )
        self.shortcut = nn.ConvTranspose2d(width, width, kernel_size=1, stride=2, output_padding=1)


class _FirstBlock(_Residual):
    """From the image's channels to ``width``, half the height and width, without batch norm."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(channels, width, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, kernel_size=3, stride=2, padding=1),
        )
        self.shortcut = nn.Conv2d(channels, width, kernel_size=1, stride=2)


class _Block(_Residual):
    """Batch norm, ReLU, convolution, twice, beside a shortcut; ``stride=2`` halves the height and width."""

    def __init__(self, width: int, stride: int = 1) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, kernel_size=3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, kernel_size=3, stride=stride, padding=1),
        )
        self.shortcut = nn.Identity() if stride == 1 else nn.Conv2d(width, width, kernel_size=1, stride=stride)


class ResnetGenerator(nn.Module):
    """A linear layer to 4 × 4, three blocks up to 32 × 32, a convolution to three channels, tanh.

    Args:
        noise: dimension of the noise.
        width: channels of all hidden layers.
    """

    def __init__(self, noise: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(noise, width * _SIDE**2)
        self.blocks = nn.Sequential(*(_UpBlock(width) for _ in range(3)))
        self.head = nn.Sequential(
            nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, 3, kernel_size=3, padding=1), nn.Tanh()
        )
        self.apply(initialise)

    def forward(self, noise: Tensor) -> Tensor:
        """Images ``(m, 3, 32, 32)`` in [-1, 1] from noise ``(m, noise)``."""
        hidden = self.linear(noise).unflatten(1, (-1, _SIDE, _SIDE))
        images: Tensor = self.head(self.blocks(hidden))
        return images


class ResnetCritic(nn.Module):
    """Four residual blocks from 32 × 32 to 8 × 8, the mean over positions, a linear layer to one score.

    Args:
        width: channels of all hidden layers.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(_FirstBlock(3, width), _Block(width, stride=2), _Block(width), _Block(width))
        self.activation = nn.ReLU()
        self.linear = nn.Linear(width, 1)
        self.apply(initialise)

    def forward(self, images: Tensor) -> Tensor:
        """Scores ``(m, 1)`` of images ``(m, 3, 32, 32)``."""
        scores: Tensor = self.linear(self.activation(self.blocks(images)).mean((2, 3)))
        return scores
