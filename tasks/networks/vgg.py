"""VGG-11 for ImageNet (Simonyan and Zisserman, 2015), named as the usual pretrained weights name its parts.

The activations are not in place, unlike elsewhere: a curvature reads the outputs of the layers before them.
"""

from __future__ import annotations

from torch import Tensor, nn

from .initialisation import initialise

__all__ = ["VGG11"]

CHANNELS = (64, None, 128, None, 256, 256, None, 512, 512, None, 512, 512, None)
"""Outputs of each 3 × 3 convolution; None is a max-pooling."""


class VGG11(nn.Module):
    """Eight convolutions and three linear layers with dropout, on images ``(m, 3, h, w)`` of at least 32 × 32.

    Args:
        classes: outputs.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        features: list[nn.Module] = []
        inputs = 3
        for outputs in CHANNELS:
            if outputs is None:
                features.append(nn.MaxPool2d(2))
            else:
                features += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
                inputs = outputs
        self.features = nn.Sequential(*features)
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(
            nn.Linear(inputs * 7 * 7, 4096),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(4096, classes),
        )
        self.apply(initialise)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(m, classes)``."""
        logits: Tensor = self.classifier(self.avgpool(self.features(x)).flatten(1))
        return logits
