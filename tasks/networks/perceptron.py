"""Fully connected networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import nn

from .initialisation import initialise

__all__ = ["perceptron"]


def perceptron(widths: Sequence[int], between: Callable[[int], nn.Module] = lambda width: nn.ReLU()) -> nn.Sequential:
    """Linear layers of these widths, the input's first, with initial weights as published.

    Args:
        widths: of the input and of each layer.
        between: makes what follows each layer but the last, given that layer's width.
    """
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        linear = nn.Linear(inputs, outputs)
        initialise(linear)
        layers += [linear, between(outputs)]
    return nn.Sequential(*layers[:-1])
