"""Transposed two-dimensional convolutions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ngbench.curvature.blocks.block import FisherBlock
from ngbench.curvature.blocks.call import Call
from ngbench.curvature.blocks.transposition import TransposedConvolutionBlock, Transposition
from ngbench.curvature.layers.convolution import check_images
from ngbench.curvature.layers.layer import Layer

__all__ = ["ConvTranspose2dLayer"]


@Layer.register(nn.ConvTranspose2d)
class ConvTranspose2dLayer(Layer):
    """``nn.ConvTranspose2d`` as the convolution that it equals (chapter 5.2).

    With padding τ, stride e and dilation δ it is the convolution, with stride 1 and padding ``δ(k − 1) − τ``, of the
    input with ``e − 1`` zeros between its pixels and the kernel rotated by π. The weight matrix is that convolution's:
    ``c_out`` rows of ``c_in / groups · kh · kw``, while the module holds ``(c_in, c_out / groups, kh, kw)`` (5.41).
    """

    def __init__(self, name: str, module: nn.ConvTranspose2d, weight: Tensor, bias: Tensor | None) -> None:
        self.transposition = Transposition.of(module)
        super().__init__(name, module, weight, bias)

    def to_matrix(self, weight: Tensor) -> Tensor:
        groups = self.transposition.geometry.groups
        by_group = torch.unflatten(weight.flip(2, 3), 0, (groups, -1))
        return by_group.transpose(1, 2).reshape(groups * weight.shape[1], -1)

    def from_matrix(self, matrix: Tensor) -> Tensor:
        groups = self.transposition.geometry.groups
        channels, outputs, *kernel = self.weight.shape
        by_group = matrix.reshape(groups, outputs, channels // groups, *kernel)
        return by_group.transpose(1, 2).flip(3, 4).reshape(self.weight.shape)

    def block(self, calls: Sequence[Call]) -> FisherBlock:
        check_images(self.name, calls)
        return TransposedConvolutionBlock(
            [call.inputs for call in calls],
            [call.derivatives for call in calls],
            self.transposition,
            constant=self.bias is not None,
        )
