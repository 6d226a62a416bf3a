"""The Fisher block of a convolution with the double sum over positions cut off at a radius (3.35-3.36)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from ngbench.curvature.blocks.block import FisherBlock
from ngbench.curvature.blocks.pairs import PositionPairs
from ngbench.curvature.linalg.products import Terms

if TYPE_CHECKING:
    from ngbench.curvature.blocks.convolution import ConvolutionBlock

__all__ = ["TruncatedBlock"]


class TruncatedBlock(FisherBlock):
    """``F_r = (1/m) Σ_b Σ_{‖t−t'‖∞ ≤ r} (ā_t ā_{t'}ᵀ) ⊗ (g_t g_{t'}ᵀ)``, the distance taken on the output's grid.

    It is symmetric but need not be semi-definite, and has no factor J; what needs one raises ``TypeError``. Every
    pair of groups counts, as does every pair of calls, whose grids share their origin. With r at least the grid all
    pairs count and ``F_r = F``.

    Args:
        block: the whole block.
        radius: r ≥ 0.
    """

    def __init__(self, block: ConvolutionBlock, radius: int) -> None:
        self.block = block
        self._pairs = PositionPairs(block, radius)
        self.radius = self._pairs.radius
        self.calls = block.calls
        self.examples, self.columns = block.examples, block.columns
        self.d_in, self.d_out = block.d_in, block.d_out
        self.positions = block.positions

    @property
    def like(self) -> Tensor:
        return self.block.like

    def kfac_factors(self) -> tuple[Tensor, Tensor]:
        return self.block.kfac_factors()

    def gradient_chunks(self) -> Iterator[Tensor]:
        raise TypeError("a Fisher block truncated to near positions is not a sum over per-example gradients")

    def weighted_sum(self, weights: Tensor) -> Tensor:
        raise TypeError("a Fisher block truncated to near positions is not a sum over per-example gradients")

    def times(self, matrix: Tensor) -> Tensor:
        block = self.block
        # ⟨g_{t'}, V ā_{t'}⟩, summed over the positions t' near t, weighs g_t ā_tᵀ.
        weights = [(g * image).sum(2) for g, image in zip(block.by_column(), block.images(matrix), strict=True)]
        derivatives = []
        for g, grid in zip(block.by_column(), block.grids, strict=True):
            near = torch.stack([self._sum_near(values, grid) for values in weights]).sum(0)
            derivatives.append((g * near.unsqueeze(2)).sum(0))
        return block.weight_gradient(derivatives) / self.examples

    def _sum_near(self, values: Tensor, grid: tuple[int, int]) -> Tensor:
        """Sums of ``values`` ``(c, m, height, width)`` over the positions near each of ``grid``."""
        r = self.radius
        below, right = grid[0] - values.shape[2] + r, grid[1] - values.shape[3] + r
        padded = functional.pad(values, (r, right, r, below))
        rows = functional.avg_pool2d(padded, (2 * r + 1, 1), stride=1, divisor_override=1)
        return functional.avg_pool2d(rows, (1, 2 * r + 1), stride=1, divisor_override=1)

    def rearranged_times(self, matrix: Tensor) -> Tensor:
        return self._pairs.rearranged_times(matrix)

    def rearranged_transpose_times(self, matrix: Tensor) -> Tensor:
        return self._pairs.rearranged_transpose_times(matrix)

    def inner_product(self, terms: Terms) -> Tensor:
        return self._pairs.inner_product(terms)

    def norm_squared(self) -> Tensor:
        """``‖F_r‖²_F``, column by column: exact, and far dearer than that of the whole block."""
        return torch.stack([column.double().square().sum() for column in self._dense_columns()]).sum()

    def dense(self) -> Tensor:
        return torch.stack(list(self._dense_columns()), 1)

    def _dense_columns(self) -> Iterator[Tensor]:
        unit = self.block.like.new_zeros(self.d_in, self.d_out)
        for entry in unit.view(-1):
            entry.fill_(1)
            yield self.times(unit.T).T.flatten()
            entry.zero_()
