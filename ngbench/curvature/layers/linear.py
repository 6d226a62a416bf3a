"""Linear layers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ngbench.curvature.blocks.block import FisherBlock
from ngbench.curvature.blocks.call import Call
from ngbench.curvature.blocks.linear import LinearBlock
from ngbench.curvature.blocks.positions import SequenceBlock
from ngbench.curvature.layers.layer import Layer

__all__ = ["LinearLayer"]


@Layer.register(nn.Linear)
class LinearLayer(Layer):
    """``nn.Linear``; further dimensions between the example and the features are positions that share the weight."""

    takes_positions = True

    def call(self, inputs: Tensor, derivatives: Tensor, scale: float = 1.0) -> Call:
        return Call(inputs, derivatives, scale) if inputs.ndim == 2 else super().call(inputs, derivatives, scale)

    def block(self, calls: Sequence[Call]) -> FisherBlock:
        constant = self.bias is not None
        if len(calls) == 1 and calls[0].inputs.ndim == 2:
            return LinearBlock(calls[0].inputs, calls[0].unscaled, constant=constant, scale=calls[0].scale)
        # Positions and repeated calls alike are terms of D_b = Σ_t g āᵀ.
        inputs = [call.inputs.flatten(1, -2) if call.inputs.ndim > 2 else call.inputs[:, None] for call in calls]
        derivatives = [
            call.derivatives.flatten(1, -2) if call.derivatives.ndim > 2 else call.derivatives[:, None]
            for call in calls
        ]
        return SequenceBlock(torch.cat(inputs, 1), torch.cat(derivatives, 1), constant=constant)
