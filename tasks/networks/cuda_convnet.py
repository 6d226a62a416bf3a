"""cuda-convnet, the small network on which Grosse and Martens (2016) introduced KFAC for convolutions."""

from __future__ import annotations

from torch import nn

from .initialisation import initialise

__all__ = ["cuda_convnet"]


def cuda_convnet(classes: int) -> nn.Sequential:
    """Three convolutions and a linear layer, on images ``(m, 3, 32, 32)``; outputs logits ``(m, classes)``."""
    network = nn.Sequential(
        nn.Conv2d(3, 32, 3),
        nn.ReLU(),
        nn.MaxPool2d(3),
        nn.BatchNorm2d(32),
        nn.Conv2d(32, 32, 3),
        nn.ReLU(),
        nn.MaxPool2d(3),
        nn.BatchNorm2d(32),
        nn.Conv2d(32, 64, 2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64, classes),
    )
    return network.apply(initialise)
