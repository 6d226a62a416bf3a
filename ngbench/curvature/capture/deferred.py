"""Gradients of weights that the backward pass leaves unformed.

The gradient of a layer's weight is a product of what the backward pass knows of the layer, its inputs and the
derivatives at its outputs, and forming it takes a third of a training step. A curvature that works with these two
needs the product once, for the step itself: :class:`DeferredGradient` is the gradient in that form, and
:func:`suspend` keeps a layer's weight out of a forward pass's graph, so that backward goes through its inputs alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ngbench.curvature.blocks.block import FisherBlock
from ngbench.curvature.layers import Layer

__all__ = ["DeferredGradient", "split_apart"]


@dataclass(frozen=True)
class DeferredGradient:
    """``scale · Σ_b D_b`` over the examples of a block.

    Attributes:
        block: of one column an example, whose derivatives are those of the training loss but for a factor.
        scale: that factor.
    """

    block: FisherBlock
    scale: float = 1.0

    def form(self) -> Tensor:
        """The gradient as a matrix ``(d_out, d_in)``."""
        return self.block.total * self.scale


def split_apart(layer: Layer, parts: tuple[Tensor, Tensor | None]) -> list[Tensor]:
    """What :meth:`FisherBlock.weighted_total` returns, as :meth:`Layer.split` has it."""
    matrix, column = parts
    return layer.split(matrix) if column is None else [matrix, column]
