"""Gradients of weights that the backward pass leaves unformed.

The gradient of a layer's weight is a product of what the backward pass knows of the layer, its inputs and the
derivatives at its outputs, and forming it takes a third of a training step. A curvature that works with these two
needs the product once, for the step itself: :class:`DeferredGradient` is the gradient in that form, and
:func:`suspend` keeps a layer's weight out of a forward pass's graph, so that backward goes through its inputs alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ngbench.curvature.fisher import FisherBlock
from ngbench.curvature.layers import Layer

__all__ = ["DeferredGradient", "split_apart", "suspend", "watch"]


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


def suspend(layer: Layer) -> list[Tensor]:
    """Keep the parameters of a layer out of the graph, until those that are returned require gradients again.

    None of them, if any is not trained at the time.
    """
    parameters = layer.parameters
    if not all(parameter.requires_grad for parameter in parameters):
        return []
    for parameter in parameters:
        parameter.requires_grad_(False)
    return parameters


class _Watched(torch.autograd.Function):
    """The identity, in place, that tells of its derivative."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, keep: Callable[[Tensor], None], *parameters: Tensor) -> Tensor:
        ctx.keep = keep
        ctx.mark_dirty(output)
        return output

    @staticmethod
    def backward(ctx: Any, *derivatives: Any) -> tuple[Any, ...]:
        ctx.keep(derivatives[0])
        return derivatives[0], *[None] * (len(ctx.needs_input_grad) - 1)


def watch(output: Tensor, keep: Callable[[Tensor], None], parameters: Sequence[Tensor]) -> None:
    """Have backward passes call ``keep`` with the derivative at ``output``, that of a layer without its parameters.

    The graph gets an edge to the parameters, though nothing flows along it: so a backward pass that names them
    (``inputs=``) comes by, and a layer that nothing trained precedes has a derivative at all. It happens in place,
    for an output that is a view refuses activations that work in place.
    """
    _Watched.apply(output, keep, *parameters)  # type: ignore[no-untyped-call]


def split_apart(layer: Layer, parts: tuple[Tensor, Tensor | None]) -> list[Tensor]:
    """What :meth:`~ngbench.curvature.fisher.FisherBlock.weighted_total` returns, as :meth:`Layer.split` has it."""
    matrix, column = parts
    return layer.split(matrix) if column is None else [matrix, column]
