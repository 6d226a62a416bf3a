"""Deep convolutional GAN of Radford, Metz and Chintala (2016) for 28 × 28 images, one channel."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["DcganCritic", "DcganGenerator", "initialise"]

STANDARD_DEVIATION = 0.02


def initialise(module: nn.Module) -> None:
    """Draw weights from N(0, 0.02) and the scales of batch norm from N(1, 0.02); set biases to zero.

    To be used with ``nn.Module.apply``.
    """
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, STANDARD_DEVIATION)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, STANDARD_DEVIATION)
    else:
        return
    if module.bias is not None:
        nn.init.zeros_(module.bias)


class DcganGenerator(nn.Module):
    """Four transposed convolutions from noise to 32 × 32, a fifth that crops the border and ends in tanh.

    Args:
        noise: dimension of the noise.
        width: channels before the last layer; the first has eight times as many.
    """

    def __init__(self, noise: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_up(noise, 8 * width, stride=1, padding=0),
            *_up(8 * width, 4 * width, stride=2, padding=1),
            *_up(4 * width, 2 * width, stride=2, padding=1),
            *_up(2 * width, width, stride=2, padding=1),
            nn.ConvTranspose2d(width, 1, kernel_size=1, padding=2),
            nn.Tanh(),
        )
        self.apply(initialise)

    def forward(self, noise: Tensor) -> Tensor:
        """Images ``(m, 1, 28, 28)`` in [-1, 1] from noise ``(m, noise)``."""
        images: Tensor = self.layers(noise[:, :, None, None])
        return images


class DcganCritic(nn.Module):
    """Four convolutions from 28 × 28 to one score.

    Args:
        width: channels after the first layer; the third has four times as many.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, width, kernel_size=4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            *_down(width, 2 * width),
            *_down(2 * width, 4 * width),
            nn.Conv2d(4 * width, 1, kernel_size=4, stride=2, padding=1),
        )
        self.apply(initialise)

    def forward(self, images: Tensor) -> Tensor:
        """Scores ``(m, 1)`` of images ``(m, 1, 28, 28)``."""
        scores: Tensor = self.layers(images)
        return scores.flatten(1)


def _up(inputs: int, outputs: int, *, stride: int, padding: int) -> list[nn.Module]:
    # Batch norm subtracts whatever a bias would add.
    convolution = nn.ConvTranspose2d(inputs, outputs, kernel_size=4, stride=stride, padding=padding, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]


def _down(inputs: int, outputs: int) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, kernel_size=4, stride=2, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2)]
