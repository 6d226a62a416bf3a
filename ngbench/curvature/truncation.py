"""The Fisher block of a convolution with the double sum over positions cut off at a radius (3.35-3.36)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from ngbench.curvature.fisher import FisherBlock
from ngbench.curvature.kronecker import KroneckerSum

if TYPE_CHECKING:
    from ngbench.curvature.convolution import ConvolutionBlock

__all__ = ["TruncatedBlock"]

# Products of positions with positions in pieces of at most this many numbers (16 MiB in float32).
_PIECE_NUMBERS = 2**22


@dataclass(frozen=True)
class _Neighbourhood:
    """Some positions of one group of some examples, and all positions that are a partner to one of them.

    Attributes:
        group: the group of the first positions.
        a, g: theirs, ``(n, p, d_in)`` and ``(n, p, d_out / γ)``.
        a_near, g_near: those of the partners in every group, ``(n, γ, q, d_in)`` and ``(n, γ, q, d_out / γ)``.
        mask: ``(p, q)``: 1 where two positions are at most the radius apart, else 0.
    """

    group: int
    a: Tensor
    g: Tensor
    a_near: Tensor
    g_near: Tensor
    mask: Tensor


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
        self.radius = min(radius, max(max(grid) for grid in block.grids))
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
        weights = [(g * image).sum(2) for g, image in zip(block._by_column(), block._images(matrix), strict=True)]
        derivatives = []
        for g, grid in zip(block._by_column(), block.grids, strict=True):
            near = torch.stack([self._sum_near(values, grid) for values in weights]).sum(0)
            derivatives.append((g * near.unsqueeze(2)).sum(0))
        return block._weight_gradient(derivatives) / self.examples

    def _sum_near(self, values: Tensor, grid: tuple[int, int]) -> Tensor:
        """Sums of ``values`` ``(c, m, height, width)`` over the positions near each of ``grid``."""
        r = self.radius
        below, right = grid[0] - values.shape[2] + r, grid[1] - values.shape[3] + r
        padded = functional.pad(values, (r, right, r, below))
        rows = functional.avg_pool2d(padded, (2 * r + 1, 1), stride=1, divisor_override=1)
        return functional.avg_pool2d(rows, (1, 2 * r + 1), stride=1, divisor_override=1)

    def rearranged_times(self, matrix: Tensor) -> Tensor:
        total = matrix.new_zeros(self.d_in, self.d_in)
        rows = self._by_group(matrix)
        for near in self._neighbourhoods():
            left = torch.einsum("npo,ogu->ngpu", near.g, rows[near.group])
            weights = (left @ near.g_near.transpose(2, 3)).mul_(near.mask)
            total += near.a.flatten(0, 1).T @ torch.einsum("ngpq,ngqd->npd", weights, near.a_near).flatten(0, 1)
        return total / self.examples

    def rearranged_transpose_times(self, matrix: Tensor) -> Tensor:
        total = matrix.new_zeros(self.d_out, self.d_out)
        rows = torch.unflatten(total, 0, (self.block.groups, -1))
        for near in self._neighbourhoods():
            weights = ((near.a @ matrix).unsqueeze(1) @ near.a_near.transpose(2, 3)).mul_(near.mask)
            right = torch.einsum("ngpq,ngqo->npgo", weights, near.g_near).flatten(2)
            rows[near.group] += near.g.flatten(0, 1).T @ right.flatten(0, 1)
        return total / self.examples

    def inner_product(self, other: KroneckerSum) -> Tensor:
        total = torch.zeros((), dtype=torch.float64, device=other.terms[0][0].device)
        for near in self._neighbourhoods():
            for a, g in other.terms:
                rows = self._by_group(g)[near.group]
                inputs = (near.a @ a).unsqueeze(1) @ near.a_near.transpose(2, 3)
                outputs = torch.einsum("npo,ogu->ngpu", near.g, rows) @ near.g_near.transpose(2, 3)
                total += torch.sum(inputs.double() * outputs.double() * near.mask)
        return total / self.examples

    def norm_squared(self) -> Tensor:
        """``‖F_r‖²_F``, from one product a column of ``Z``: exact, and far dearer than that of the whole block."""
        total = torch.zeros((), dtype=torch.float64, device=self.block.inputs[0].device)
        unit = self.block.inputs[0].new_zeros(self.d_out, self.d_out)
        for entry in unit.view(-1):
            entry.fill_(1)
            total += self.rearranged_times(unit).double().square().sum()
            entry.zero_()
        return total

    def dense(self) -> Tensor:
        unit = self.block.inputs[0].new_zeros(self.d_in, self.d_out)
        columns = []
        for entry in unit.view(-1):
            entry.fill_(1)
            columns.append(self.times(unit.T).T.flatten())
            entry.zero_()
        return torch.stack(columns, 1)

    def _by_group(self, matrix: Tensor) -> Tensor:
        """``(d_out, d_out)`` as ``(γ, d_out / γ, γ, d_out / γ)``."""
        size = (self.block.groups, self.d_out // self.block.groups)
        return matrix.reshape(*size, *size)

    def _neighbourhoods(self) -> Iterator[_Neighbourhood]:
        block, r = self.block, self.radius
        offsets = [0]
        for height, width in block.grids:
            offsets.append(offsets[-1] + height * width)
        masks: dict[tuple[int, ...], Tensor] = {}
        step = max(1, r)
        for start, stop, example in block.spans(0, self.columns * self.examples, self._length(step)):
            a = block.patches(example, example + stop - start).transpose(2, 3).contiguous()
            g = block.output_derivatives(start, stop).transpose(2, 3).contiguous()
            for i, (height, width) in enumerate(block.grids):
                for top in range(0, height, step):
                    bottom = min(top + step, height)
                    ours = slice(offsets[i] + top * width, offsets[i] + bottom * width)
                    for j, (other_height, other_width) in enumerate(block.grids):
                        low, high = max(0, top - r), min(other_height, bottom + r)
                        if low >= high:
                            continue
                        key = (top, bottom, width, low, high, other_width)
                        if key not in masks:
                            masks[key] = _mask(*key, radius=r, like=g)
                        theirs = slice(offsets[j] + low * other_width, offsets[j] + high * other_width)
                        for group in range(block.groups):
                            yield _Neighbourhood(
                                group,
                                a[:, group, ours],
                                g[:, group, ours],
                                a[:, :, theirs],
                                g[:, :, theirs],
                                masks[key],
                            )

    def _length(self, step: int) -> int:
        """Examples whose patches and whose products of positions are few enough to hold."""
        block = self.block
        patches = block.groups * (self.d_in + self.d_out) * self.positions
        widest = max(width for _, width in block.grids)
        tallest = max(height for height, _ in block.grids)
        rows = min(step, tallest) * widest
        products = block.groups * rows * min(step + 2 * self.radius, tallest) * widest
        return max(1, _PIECE_NUMBERS // max(patches, products))


def _mask(
    top: int, bottom: int, width: int, low: int, high: int, other_width: int, *, radius: int, like: Tensor
) -> Tensor:
    """1 where a position of rows ``[top, bottom)`` is near one of rows ``[low, high)``, else 0: ``(p, q)``."""

    def near(ours: Tensor, theirs: Tensor) -> Tensor:
        return ((ours.unsqueeze(1) - theirs).abs() <= radius).to(like.dtype)

    device = like.device
    rows = near(torch.arange(top, bottom, device=device), torch.arange(low, high, device=device))
    columns = near(torch.arange(width, device=device), torch.arange(other_width, device=device))
    return torch.kron(rows, columns)
