"""Sums over pairs of positions ``(t, t')`` with ``‖t − t'‖∞ ≤ r`` on a two-dimensional grid (3.36)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ngbench.curvature.linalg.lower import add_symmetric_product, halve, mirror, symmetric_part, times_lower
from ngbench.curvature.linalg.products import Terms

if TYPE_CHECKING:
    from ngbench.curvature.blocks.positions import PositionBlock

__all__ = ["PositionPairs"]

# Products of positions with positions in pieces of at most this many numbers (16 MiB in float32).
_PIECE_NUMBERS = 2**22


@dataclass(frozen=True)
class _Neighbourhood:
    """Some positions of one group of some examples, and all positions that are a partner to one of them.

    Attributes:
        group: the group of the first positions.
        a, g: theirs, ``(n, p, d_in)`` and ``(n, p, d_out / γ)``.
        a_near, g_near: those of the partners in every group, ``(n, γ, q, d_in)`` and ``(n, γ, q, d_out / γ)``.
        mask: ``(p, q)``: 1 where two positions are at most the radius apart, else 0; None where all are.
    """

    group: int
    a: Tensor
    g: Tensor
    a_near: Tensor
    g_near: Tensor
    mask: Tensor | None

    def among_near(self, products: Tensor) -> Tensor:
        """Products ``(n, γ, p, q)`` of positions with partners, those of other pairs set to zero in place."""
        return products if self.mask is None else products.mul_(self.mask)


class PositionPairs:
    """``Z_r = (1/m) Σ_b Σ_{‖t−t'‖∞ ≤ r} vec(ā_t ā_{t'}ᵀ) vec(g_t g_{t'}ᵀ)ᵀ`` as an operator.

    Every pair of groups counts, as does every pair of calls, whose grids share their origin. A row of positions is
    multiplied with the rows around it at once, so no offset is visited apart.

    Args:
        block: the whole block.
        radius: r ≥ 0; that of the largest grid or more is all pairs.
    """

    def __init__(self, block: PositionBlock, radius: int) -> None:
        self.block = block
        self.radius = min(radius, max(max(grid) for grid in block.grids))

    def rearranged_times(self, matrix: Tensor) -> Tensor:
        """The symmetric part of ``MAT(Z_r vec(V))``: shape ``(d_in, d_in)`` for V ``(d_out, d_out)`` (3.36a)."""
        total = matrix.new_zeros(self.block.d_in, self.block.d_in)
        rows = self._by_group(symmetric_part(matrix))
        for near in self._neighbourhoods():
            weights = near.among_near(_bilinear(near.g, rows[near.group], near.g_near))
            right = torch.einsum("ngpq,ngqd->npd", weights, near.a_near)
            add_symmetric_product(total, near.a.flatten(0, 1), right.flatten(0, 1))
        mirror(total)
        return total / self.block.examples

    def rearranged_transpose_times(self, matrix: Tensor) -> Tensor:
        """The symmetric part of ``MAT(Z_rᵀ vec(U))``: shape ``(d_out, d_out)`` for U ``(d_in, d_in)`` (3.36b)."""
        total = matrix.new_zeros(self.block.d_out, self.block.d_out)
        rows = torch.unflatten(total, 0, (self.block.groups, -1))
        # As for the whole block: half of a symmetric U, and the transpose of the sum for the other half.
        lower = halve(matrix)
        for near in self._neighbourhoods():
            left = times_lower(near.a.flatten(0, 1), lower).view(near.a.shape)
            weights = near.among_near(left.unsqueeze(1) @ near.a_near.transpose(2, 3))
            right = torch.einsum("ngpq,ngqo->npgo", weights, near.g_near).flatten(2)
            rows[near.group].addmm_(near.g.flatten(0, 1).T, right.flatten(0, 1))
        return (total + total.T) / self.block.examples

    def inner_product(self, terms: Terms) -> Tensor:
        """``⟨Z_r, Σ_r vec(A_r) vec(G_r)ᵀ⟩``, a scalar in float64."""
        total = torch.zeros((), dtype=torch.float64, device=terms[0][0].device)
        for near in self._neighbourhoods():
            for a, g in terms:
                inputs = (near.a @ a).unsqueeze(1) @ near.a_near.transpose(2, 3)
                outputs = _bilinear(near.g, self._by_group(g)[near.group], near.g_near)
                total += torch.sum(near.among_near(inputs.mul_(outputs)), dtype=torch.float64)
        return total / self.block.examples

    def _by_group(self, matrix: Tensor) -> Tensor:
        """``(d_out, d_out)`` as ``(γ, d_out / γ, γ, d_out / γ)``."""
        size = (self.block.groups, self.block.d_out // self.block.groups)
        return matrix.reshape(*size, *size)

    def _neighbourhoods(self) -> Iterator[_Neighbourhood]:
        block, r = self.block, self.radius
        offsets = [0]
        for height, width in block.grids:
            offsets.append(offsets[-1] + height * width)
        masks: dict[tuple[int, ...], Tensor | None] = {}
        step = max(1, r)
        for start, stop, example in block.spans(0, block.columns * block.examples, self._length(step)):
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
        patches = block.groups * (block.d_in + block.d_out) * block.positions
        widest = max(width for _, width in block.grids)
        tallest = max(height for height, _ in block.grids)
        rows = min(step, tallest) * widest
        products = block.groups * rows * min(step + 2 * self.radius, tallest) * widest
        # As many rows as columns, at least, or adding up the products would take longer than they do.
        return max(
            1,
            _PIECE_NUMBERS // max(patches, products),
            min(block.d_in, 4 * _PIECE_NUMBERS // block.d_in) // block.positions,
        )


def _bilinear(g: Tensor, rows: Tensor, near: Tensor) -> Tensor:
    """``g_pᵀ V g_q``: ``(n, γ, p, q)``, for the rows ``(d_out / γ, γ, d_out / γ)`` of V of the group of g."""
    return torch.einsum("npo,ogu->ngpu", g, rows) @ near.transpose(2, 3)


def _mask(
    top: int, bottom: int, width: int, low: int, high: int, other_width: int, *, radius: int, like: Tensor
) -> Tensor | None:
    """1 where a position of rows ``[top, bottom)`` is near one of rows ``[low, high)``, else 0: ``(p, q)``.

    None where all are near.
    """
    if max(bottom - low, high - top, width, other_width) <= radius + 1:
        return None

    def near(ours: Tensor, theirs: Tensor) -> Tensor:
        return ((ours.unsqueeze(1) - theirs).abs() <= radius).to(like.dtype)

    device = like.device
    rows = near(torch.arange(top, bottom, device=device), torch.arange(low, high, device=device))
    columns = near(torch.arange(width, device=device), torch.arange(other_width, device=device))
    return torch.kron(rows, columns)
