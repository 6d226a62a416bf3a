"""The initial weights of the published runs: Xavier-uniform (Glorot and Bengio, 2010), biases of 0.01."""

from __future__ import annotations

from torch import nn

__all__ = ["initialise"]

BIAS = 0.01


def initialise(module: nn.Module) -> None:
    """Draw the weight of a linear or convolution layer anew; other modules stay as they are.

    To be given to ``nn.Module.apply``.
    """
    if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.constant_(module.bias, BIAS)
