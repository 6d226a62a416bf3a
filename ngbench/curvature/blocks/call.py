"""What a layer saw in one forward call: that of which Fisher blocks are made."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ngbench.curvature.linalg.precision import in_dtype

__all__ = ["Call", "inputs_in_dtype"]


@dataclass(frozen=True)
class Call:
    """One call of a layer in a forward pass.

    Attributes:
        inputs: what the layer was given, ``(m, ...)``.
        unscaled: :attr:`derivatives` but for a factor, as a backward pass left them.
        scale: that factor.
    """

    inputs: Tensor
    unscaled: Tensor
    scale: float = 1.0

    @property
    def derivatives(self) -> Tensor:
        """``∂L_b/∂s`` at its output, ``(c · m, ...)``.

        ``c > 1`` columns an example stand for the closed-form expectation over targets (all examples for the first
        column, then for the second, ...).
        """
        return self.unscaled if self.scale == 1 else self.unscaled * self.scale

    def to(self, dtype: torch.dtype) -> Call:
        """The same call in another type of numbers."""
        return Call(inputs_in_dtype(self.inputs, dtype), in_dtype(self.unscaled, dtype), self.scale)


def inputs_in_dtype(inputs: Tensor, dtype: torch.dtype) -> Tensor:
    """What a layer was given, in the type of its statistics; indices, as of tokens, stay what they are."""
    return in_dtype(inputs, dtype) if inputs.is_floating_point() else inputs
