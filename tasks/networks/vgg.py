"""VGG-11 for ImageNet (Simonyan and Zisserman, 2015), named as the usual pretrained weights name its parts.

The activations are not in place, unlike elsewhere: a curvature reads the outputs of the layers before them.
"""

from __future__ import annotations

from torch import Tensor, nn

from .initialisation import initialise

__all__ = ["VGG11"]

WIDTH = 64
"""Channels of the first convolution."""
CHANNELS = (1, None, 2, None, 4, 4, None, 8, 8, None, 8, 8, None)
"""Outputs of each 3 × 3 convolution in multiples of the first one's; None is a max-pooling."""
HIDDEN = 64
"""Outputs of each hidden linear layer in the same multiples."""


class VGG11(nn.Module):
    """Eight convolutions and three linear layers with dropout, on images ``(m, 3, h, w)`` of at least 32 × 32.

    Args:
        classes: outputs.
        width: channels of the first convolution.
    """

    def __init__(self, classes: int, width: int = WIDTH) -> None:
        super().__init__()
        features: list[nn.Module] = []
        inputs = 3
        for multiple in CHANNELS:
            if multiple is None:
                features.append(nn.MaxPool2d(2))
            else:
                outputs = multiple * width
                features += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
                inputs = outputs
        self.features = nn.Sequential(*features)
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(
            nn.Linear(inputs * 7 * 7, HIDDEN * width),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(HIDDEN * width, HIDDEN * width),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(HIDDEN * width, classes),
        )
        self.apply(initialise)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(m, classes)``."""
        logits: Tensor = self.classifier(self.avgpool(self.features(x)).flatten(1))
        return logits
