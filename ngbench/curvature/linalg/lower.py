"""Symmetric matrices: products of which one half is enough, and the other half made from it.

No library promises that the two halves of a product that is symmetric round alike, and on some processors they do not.
So what has to be symmetric is made so here. Block by block on the CPU, where half of a product takes 0.43-0.86 of the
time of the whole one; elsewhere, and for small matrices, the whole product is as fast.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from ngbench.curvature.linalg.cholesky import CONFLICT

__all__ = [
    "add_symmetric_product",
    "halve",
    "lower_blocks",
    "mirror",
    "symmetric_part",
    "symmetric_product",
    "times_lower",
]

_BLOCK = 128


@dataclass(frozen=True)
class Blocks:
    """Blocks of a square matrix that are equal in shape and evenly spaced down its diagonal.

    Attributes:
        count: n, how many.
        height: of each.
        width: of each.
        row: where the first begins.
        column: where the first begins.
        step: from one to the next, in rows and in columns.
    """

    count: int
    height: int
    width: int
    row: int
    column: int
    step: int

    def of(self, matrix: Tensor) -> Tensor:
        """A view of them: shape ``(n, height, width)``, or ``(height, width)`` where n is 1."""
        down, across = matrix.stride()
        start = matrix.storage_offset() + self.row * down + self.column * across
        if self.count == 1:
            return matrix.as_strided((self.height, self.width), (down, across), start)
        shape = (self.count, self.height, self.width)
        return matrix.as_strided(shape, (self.step * (down + across), down, across), start)

    def products(self, x: Tensor) -> Tensor:
        """Them in ``x xᵀ`` for ``x`` of shape ``(size, d)``."""
        left = self._rows(x, self.row, self.height)
        right = left if self.row == self.column else self._rows(x, self.column, self.width)
        return left @ right.mT

    def _rows(self, x: Tensor, first: int, number: int) -> Tensor:
        down, across = x.stride()
        start, d = x.storage_offset() + first * down, x.shape[1]
        if self.count == 1:
            return x.as_strided((number, d), (down, across), start)
        return x.as_strided((self.count, number, d), (self.step * down, down, across), start)


@cache
def lower_blocks(size: int, smallest: int) -> tuple[Blocks, ...]:
    """What covers the lower triangle of a ``(size, size)`` matrix in few batches of square blocks.

    The square below those on the diagonal of the matrix halved, the two of its halves, and so on while the blocks on
    the diagonal, which come last, stay at least ``smallest`` wide. The rows that halving leaves over, fewer than there
    are blocks on the diagonal, are one block more.
    """
    halvings = max((size // smallest).bit_length() - 1, 0)
    width = size >> halvings
    blocks = []
    for halving in range(halvings):
        side = width << (halvings - 1 - halving)
        blocks.append(Blocks(1 << halving, side, side, side, 0, 2 * side))
    even = width << halvings
    blocks.append(Blocks(1 << halvings, width, width, 0, 0, width))
    if even < size:
        blocks.append(Blocks(1, size - even, size, even, 0, 0))
    return tuple(blocks)


@cache
def diagonal_blocks(size: int, width: int) -> tuple[Blocks, ...]:
    """The blocks ``width`` wide on the diagonal of a ``(size, size)`` matrix; the last may be narrower."""
    count, left = divmod(size, width)
    blocks = (Blocks(count, width, width, 0, 0, width), Blocks(1, left, left, size - left, size - left, 0))
    return tuple(batch for batch in blocks if batch.count * batch.width)


def symmetric_part(matrix: Tensor) -> Tensor:
    """``(M + Mᵀ) / 2`` of matrices ``(..., d, d)``: M itself, where it is symmetric but for rounding."""
    return (matrix + matrix.mT).mul_(0.5)


def add_symmetric_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """Add ``leftᵀ right`` to the lower blocks of ``total``, for a sum of such products that is symmetric.

    Args:
        total: ``(d, d)``; :func:`mirror` completes it after the last product.
        left, right: ``(n, d)``.
    """
    for start, stop in _strips(total):
        total[start:stop, :stop].addmm_(left[:, start:stop].T, right[:, :stop])


def symmetric_product(left: Tensor, right: Tensor, out: Tensor) -> None:
    """Write ``leftᵀ right``, which is symmetric, to the lower blocks of ``out``; else as above."""
    for start, stop in _strips(out):
        torch.mm(left[:, start:stop].T, right[:, :stop], out=out[start:stop, :stop])


def _width(matrix: Tensor) -> int:
    return _BLOCK if matrix.device.type == "cpu" else max(1, len(matrix))


def _strips(matrix: Tensor) -> list[tuple[int, int]]:
    width, d = _width(matrix), len(matrix)
    return [(start, min(start + width, d)) for start in range(0, d, width)]


def mirror(total: Tensor) -> None:
    """Copy the lower triangle of a matrix ``(d, d)`` to the upper one, which makes it symmetric to the last bit."""
    conflict = total.stride(0) % CONFLICT == 0
    for start, stop in _strips(total)[1:]:
        rows = total[start:stop, :start]
        # Columns are read from memory, where they compete for few sets of the cache if rows lie so far apart.
        total[:start, start:stop] = rows.contiguous().T if conflict else rows.T
    for blocks in diagonal_blocks(len(total), _width(total)):
        block = blocks.of(total)
        below = torch.tril(block, -1)
        block.tril_().add_(below.mT)


def halve(matrix: Tensor) -> Tensor:
    """The lower triangular L for which ``L + Lᵀ`` is the symmetric part of ``matrix``."""
    lower = symmetric_part(matrix).tril_()
    lower.diagonal().mul_(0.5)
    return lower


def times_lower(x: Tensor, lower: Tensor) -> Tensor:
    """``x @ lower`` for ``x`` ``(n, d)`` and a lower triangular matrix ``(d, d)``."""
    out = x.new_empty(len(x), len(lower))
    for start, stop in _strips(lower):
        torch.mm(x[:, start:], lower[start:, start:stop], out=out[:, start:stop])
    return out
