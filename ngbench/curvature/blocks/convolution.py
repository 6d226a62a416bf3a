"""The Fisher block of a two-dimensional convolution, from its raw input and its output derivatives.

With groups the block is one, and cross-group correlations are part of it: a position is a pair ``(t, group)`` whose
patch is that of the group and whose derivative vanishes outside the group's rows. The formulas of an ungrouped
convolution then hold with ``T · γ`` positions. So KFAC's factors (3.29) are ``A = E[Σ_{t,γ} ā āᵀ]``, summed over
groups, and ``G = (1/(T γ)) E[Σ_{t,γ} g gᵀ]``, which is block-diagonal over groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Literal

import torch
from torch import Tensor

from ngbench.curvature.blocks.block import FisherBlock
from ngbench.curvature.blocks.patch_moments import add_output_moment, one_group, patch_second_moment, patch_sums
from ngbench.curvature.blocks.patches import Geometry
from ngbench.curvature.blocks.positions import PositionBlock
from ngbench.curvature.blocks.truncation import TruncatedBlock

__all__ = ["ConvolutionBlock"]


class ConvolutionBlock(PositionBlock):
    """The double sum over positions (3.28).

    Args:
        inputs: of each call of the layer, ``(m, c_in, height, width)``; the sizes of calls may differ.
        derivatives: of each call, ``(c · m, c_out, output height, output width)``.
        geometry: of the convolution.
        constant: whether the layer trains a bias.
    """

    def __init__(
        self, inputs: Sequence[Tensor], derivatives: Sequence[Tensor], geometry: Geometry, *, constant: bool
    ) -> None:
        self.recorded = list(inputs)
        self.derivatives = list(derivatives)
        self.geometry = geometry
        self.constant = constant
        self.groups = geometry.groups
        self.examples = inputs[0].shape[0]
        self.columns = derivatives[0].shape[0] // self.examples
        self.grids = [(g.shape[2], g.shape[3]) for g in derivatives]
        self.positions = sum(height * width for height, width in self.grids)
        kh, kw = geometry.kernel
        self.d_in = inputs[0].shape[1] // self.groups * kh * kw + constant
        self.d_out = derivatives[0].shape[1]

    @property
    def like(self) -> Tensor:
        return self.recorded[0]

    @property
    def inputs(self) -> list[Tensor]:
        """What the convolution sees in each call, ``(m, c_in, height, width)``."""
        return self.recorded

    def patches(self, start: int, stop: int, groups: slice = slice(None)) -> Tensor:
        windows = [self.geometry.windows(x[start:stop])[:, groups] for x in self.inputs]
        out = windows[0].new_empty(stop - start, windows[0].shape[1], self.d_in, self.positions)
        first = 0
        for view in windows:
            grid = view.shape[5:]
            last = first + grid.numel()
            part = out[:, :, : self.d_in - self.constant, first:last]
            torch.unflatten(torch.unflatten(part, 3, grid), 2, view.shape[2:5]).copy_(view)
            first = last
        if self.constant:
            out[:, :, -1] = 1
        return out

    def output_derivatives(self, start: int, stop: int) -> Tensor:
        parts = [g[start:stop].flatten(2) for g in self.derivatives]
        return torch.unflatten(parts[0] if len(parts) == 1 else torch.cat(parts, 2), 1, (self.groups, -1))

    def kfac_factors(self) -> tuple[Tensor, Tensor]:
        a = self.like.new_zeros(self.d_in, self.d_in)
        for call in range(len(self.derivatives)):
            a += self._input_moment(call)
        g = self.like.new_zeros(self.d_out, self.d_out)
        for derivatives in self.derivatives:
            add_output_moment(derivatives, self.groups, g)
        return a.div_(self.examples), g.div_(self.examples * self.positions * self.groups)

    def _input_moment(self, call: int) -> Tensor:
        """``Σ_b Σ_{t,γ} ā āᵀ`` of one call."""
        x, geometry = one_group(self.inputs[call], self.geometry)
        width = self.d_in - self.constant
        out = x.new_empty(self.d_in, self.d_in)
        patch_second_moment(x, geometry, out[:width, :width])
        if self.constant:
            sums = patch_sums(x, geometry)
            out[-1, :-1] = sums
            out[:-1, -1] = sums
            out[-1, -1] = len(x) * prod(self.grids[call])
        return out

    def transpose_times(self, matrix: Tensor) -> Tensor:
        # ⟨Σ_t g āᵀ, W⟩ = Σ_t ⟨g, W ā⟩, and the W ā are the convolution with W.
        return (
            torch.stack(
                [(g * image).sum((2, 3, 4)) for g, image in zip(self.by_column(), self.images(matrix), strict=True)]
            )
            .sum(0)
            .flatten()
        )

    def rank_one_products(self, left: Tensor, right: Tensor) -> Tensor:
        if self.groups > 1:
            return super().rank_one_products(left, right)
        pairs = left if left.ndim == 2 else left.unsqueeze(1)
        # Each right-hand vector is a filter with one output channel.
        images = self.images(right.reshape(self.d_in, -1).T)
        products = torch.stack(
            [
                (torch.einsum("cmohw,ok->cmkhw", g, pairs) * image).sum((3, 4))
                for g, image in zip(self.by_column(), images, strict=True)
            ]
        ).sum(0)
        return products.flatten(0, 1).view(-1, *left.shape[1:])

    def weighted_sum(self, weights: Tensor) -> Tensor:
        by_column = weights.view(self.columns, self.examples, 1, 1, 1)
        return self.weight_gradient([(g * by_column).sum(0) for g in self.by_column()])

    def by_column(self) -> list[Tensor]:
        """The derivatives of each call: ``(c, m, d_out, height, width)``."""
        return [torch.unflatten(g, 0, (self.columns, self.examples)) for g in self.derivatives]

    def images(self, matrix: Tensor) -> list[Tensor]:
        """``W ā`` at all positions of each call, each in the row's own group: ``(m, d_out, height, width)``."""
        weight, bias = (matrix[:, :-1], matrix[:, -1]) if self.constant else (matrix, None)
        weight = torch.unflatten(weight, 1, (-1, *self.geometry.kernel))
        return [self.geometry.outputs(x, weight, bias) for x in self.inputs]

    def weight_gradient(self, derivatives: Sequence[Tensor]) -> Tensor:
        """``Σ_b Σ_t g āᵀ`` of given derivatives of each call, ``(m, d_out, height, width)``."""
        total = self.like.new_zeros(self.d_out, self.d_in)
        for x, g in zip(self.inputs, derivatives, strict=True):
            total[:, : self.d_in - self.constant] += self.geometry.weight_gradient(x, g)
            if self.constant:
                total[:, -1] += g.sum((0, 2, 3))
        return total

    def truncated(self, radius: int | Literal["filter"]) -> FisherBlock:
        super().truncated(radius)
        return TruncatedBlock(self, max(self.geometry.kernel) if radius == "filter" else radius)

    def cross_layer_sums(self) -> tuple[Tensor, Tensor]:
        positions = self.positions * self.groups
        sums = torch.stack([self._patch_sums(x) for x in self.inputs]).sum(0) + positions * self.constant
        derivatives = torch.stack([g.sum((1, 2, 3)) for g in self.derivatives]).sum(0)
        return sums / positions**0.5, derivatives / positions

    def _patch_sums(self, x: Tensor) -> Tensor:
        """``Σ_{t,γ} 1ᵀa_{b,t}`` without the constant: ``(m,)``."""
        channels = replace(self.geometry, groups=1)
        return channels.windows(x.sum(1, keepdim=True)).flatten(1).sum(1)
