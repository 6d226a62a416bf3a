"""Fisher blocks of a layer on a batch, as implicit operators over what the layer saw.

With ``D_b = Σ_t g_{b,t} ā_{b,t}ᵀ`` the gradient of example ``b`` with respect to the weight matrix, the block is
``F = (1/m) Σ_b vec(D_b) vec(D_b)ᵀ = (1/m) J Jᵀ`` (the columns of J are the ``vec(D_b)``); with ``c`` derivative columns
an example (the closed-form expectation over targets) the sum runs over those as well and J has ``c · m`` columns.
``Z(F) = (1/m) Σ_b Σ_{t,t'} vec(ā_t ā_{t'}ᵀ) vec(g_t g_{t'}ᵀ)ᵀ`` is its rearrangement (3.23), whose rank-r
approximations are sums of r Kronecker products. Neither F, J nor Z is formed outside ``dense``.

``g_{b,t}`` is the derivative of the sum of all losses. That is the derivative of the loss of example b, and ``D_b`` its
gradient, where no example sees another. Before a batch normalisation in training mode ``g_b`` also holds what the
losses of other examples owe to this one: the ``D_b`` still sum to the gradient, but the block, even where it is called
exact, is not that of per-example gradients. KFAC's implementations share this reading.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from ngbench.curvature.blocks.call import Call
from ngbench.curvature.linalg.lower import add_symmetric_product, halve, mirror, symmetric_part, times_lower
from ngbench.curvature.linalg.products import Terms

__all__ = ["FisherBlock", "chunk_length"]


class FisherBlock(ABC):
    """The block of one layer, with products through per-example gradients; a subclass replaces what it can do better.

    Attributes:
        examples: m, the number of examples.
        columns: c, the number of derivative columns an example; 1 unless the expectation over targets is exact.
        d_in: columns of the weight matrix, the bias column included.
        d_out: rows of the weight matrix.
        positions: T, the positions at which an example uses the weight; 1 unless the layer shares it among several.
        calls: what the layer recorded, from which ``Layer.block`` makes this block again; empty if it was not recorded.
        reused: whether products with gradients of the same examples will follow :meth:`add_gram`, so that what they
            share with it is worth its memory.
    """

    calls: Sequence[Call] = ()
    reused: bool = False
    examples: int
    columns: int
    d_in: int
    d_out: int
    positions: int = 1

    @property
    @abstractmethod
    def like(self) -> Tensor:
        """Any of the statistics, for their dtype and device."""

    @abstractmethod
    def kfac_factors(self) -> tuple[Tensor, Tensor]:
        """``A`` and ``G`` of (3.19) and (3.29): shapes ``(d_in, d_in)`` and ``(d_out, d_out)``."""

    @abstractmethod
    def gradient_chunks(self) -> Iterator[Tensor]:
        """``D`` in order, in pieces ``(n, d_out, d_in)`` of bounded size that add up to ``c · m``."""

    def per_example_gradients(self) -> Tensor:
        """``D``, all at once: shape ``(c · m, d_out, d_in)``."""
        return torch.cat(list(self.gradient_chunks()))

    def transpose_times(self, matrix: Tensor) -> Tensor:
        """``Jᵀ vec(matrix)``: the products ``⟨D_b, matrix⟩``, shape ``(c · m,)``."""
        return torch.cat([torch.einsum("noi,oi->n", d, matrix) for d in self.gradient_chunks()])

    def add_transpose_times(self, total: Tensor, matrix: Tensor) -> None:
        """Add :meth:`transpose_times` to ``total``."""
        total += self.transpose_times(matrix)

    def rank_one_products(self, left: Tensor, right: Tensor) -> Tensor:
        """``Jᵀ vec(left rightᵀ)`` for vectors of shapes ``(d_out,)`` and ``(d_in,)``, or for k pairs of columns.

        Returns:
            Shape ``(c · m,)``, or ``(c · m, k)`` for ``(d_out, k)`` and ``(d_in, k)``.
        """
        if left.ndim == 1:
            return self.transpose_times(torch.outer(left, right))
        return torch.stack([self.rank_one_products(x, y) for x, y in zip(left.T, right.T, strict=True)], 1)

    def cross_layer_sums(self) -> tuple[Tensor, Tensor]:
        """What Kronecker factors across layers (4.20b) see of this layer through vectors of ones.

        Returns:
            ``(1/√T) Σ_t 1ᵀā_{b,t}``, shape ``(m,)``, and ``(1/T) Σ_t 1ᵀg_{b,t}``, shape ``(c · m,)``.
        """
        raise NotImplementedError(f"{type(self).__name__} has no Kronecker factors across layers")

    def weighted_sum(self, weights: Tensor) -> Tensor:
        """``J weights`` as a matrix: ``Σ_b w_b D_b``, shape ``(d_out, d_in)``, for weights ``(c · m,)``."""
        total = weights.new_zeros(self.d_out, self.d_in)
        start = 0
        for d in self.gradient_chunks():
            total += torch.einsum("n,noi->oi", weights[start : start + len(d)], d)
            start += len(d)
        return total

    @cached_property
    def total(self) -> Tensor:
        """``Σ_b D_b``: shape ``(d_out, d_in)``."""
        like = self.like
        return self.weighted_sum(torch.ones(self.columns * self.examples, dtype=like.dtype, device=like.device))

    def products_with_total(self, other: FisherBlock) -> Tensor:
        """``Jᵀ vec(Σ_b D'_b)`` for the ``D'`` of another block of the layer, not necessarily formed: ``(c · m,)``."""
        return self.transpose_times(other.total)

    def weighted_total(self, weights: Tensor, other: FisherBlock, scale: float = 1.0) -> tuple[Tensor, Tensor | None]:
        """``scale · (Σ_b w_b D_b + Σ_b D'_b)`` for weights ``(c · m,)`` and the ``D'`` of another block of the layer.

        Returns:
            The matrix, whole or without its bias column, and that column if it is apart.
        """
        return self.weighted_sum(weights).add_(other.total).mul_(scale), None

    def weighted_sum_apart(self, weights: Tensor) -> tuple[Tensor, Tensor | None]:
        """:meth:`weighted_sum` in the form of :meth:`weighted_total`."""
        return self.weighted_sum(weights), None

    def gram(self) -> Tensor:
        """``JᵀJ``: the products ``⟨D_b, D_b'⟩``, shape ``(c · m, c · m)``."""
        d = self.per_example_gradients().flatten(1)
        return d @ d.T

    def add_gram(self, total: Tensor) -> None:
        """Add ``JᵀJ`` to the lower triangle of ``total``, and anything to the upper one."""
        total += self.gram()

    def times(self, matrix: Tensor) -> Tensor:
        """``F vec(matrix)`` as a matrix ``(d_out, d_in)``."""
        return self.weighted_sum(self.transpose_times(matrix)) / self.examples

    def rearranged_times(self, matrix: Tensor) -> Tensor:
        """The symmetric part of ``MAT(Z(F) vec(V)) = (1/m) Σ_b D_bᵀ V D_b``: ``(d_in, d_in)`` for V ``(d_out, d_out)``.

        It is that of the product with the symmetric part of V, since Z maps ``Vᵀ`` to the transpose of what it maps V
        to. Kronecker factors have to be symmetric; what is left out, none of them can have.
        """
        total = matrix.new_zeros(self.d_in, self.d_in)
        matrix = symmetric_part(matrix)
        for d in self.gradient_chunks():
            add_symmetric_product(total, d.flatten(0, 1), (matrix @ d).flatten(0, 1))
        mirror(total)
        return total / self.examples

    def rearranged_transpose_times(self, matrix: Tensor) -> Tensor:
        """The same of ``MAT(Z(F)ᵀ vec(U)) = (1/m) Σ_b D_b U D_bᵀ``: ``(d_out, d_out)`` for U ``(d_in, d_in)``."""
        total = matrix.new_zeros(self.d_out, self.d_out)
        # D U Dᵀ = D L Dᵀ + (D L Dᵀ)ᵀ for U = L + Lᵀ, and D L is half the work.
        lower = halve(matrix)
        for d in self.gradient_chunks():
            total += _sum_of_products(times_lower(d.flatten(0, 1), lower).view_as(d), d)
        return (total + total.T) / self.examples

    def norm_squared(self) -> Tensor:
        """``‖F‖²_F``, from the Gram matrix: F and ``JᵀJ/m`` have the same non-zero eigenvalues."""
        return self.gram().double().square().sum() / self.examples**2

    def inner_product(self, terms: Terms) -> Tensor:
        """``⟨F, Σ_r A_r ⊗ G_r⟩ = (1/m) Σ_b ⟨D_b, Σ_r G_r D_b A_r⟩``, a scalar in float64."""
        total = torch.zeros((), dtype=torch.float64, device=terms[0][0].device)
        for d in self.gradient_chunks():
            for a, g in terms:
                total += torch.sum((g @ d).mul_(d @ a), dtype=torch.float64)
        return total / self.examples

    def truncated(self, radius: int | Literal["filter"]) -> FisherBlock:
        """The block with only position pairs ``‖t − t'‖∞ ≤ radius`` of the grid (3.35); without a grid, all of it.

        Args:
            radius: ``"filter"`` takes the size of the layer's own filter, as section 3.4.3 does: k of a k × k one, the
                larger side of another.

        Raises:
            ValueError: the radius is negative, or another text.
        """
        if radius != "filter" and (isinstance(radius, str) or radius < 0):
            raise ValueError(f"positions={radius} is not allowed: an int >= 0 or 'all' or 'filter'")
        return self

    def dense(self) -> Tensor:
        """F itself, ``(d_in · d_out)²`` numbers: for tests."""
        # vec stacks columns, and flatten() of the transpose does the same.
        d = self.per_example_gradients().transpose(1, 2).flatten(1)
        return d.T @ d / self.examples


def _sum_of_products(left: Tensor, right: Tensor) -> Tensor:
    """``Σ_n left_n right_nᵀ`` for shapes ``(n, d_out, d_in)``."""
    if left.shape[1] <= left.shape[2]:
        # The products are smaller than what is multiplied, and nothing is transposed.
        return (left @ right.transpose(1, 2)).sum(0)
    return left.transpose(0, 1).flatten(1) @ right.transpose(0, 1).flatten(1).T


# Pieces of at most this many numbers (256 MiB in float32) bound the memory of per-example gradients.
_CHUNK_NUMBERS = 2**26


def chunk_length(numbers: int) -> int:
    """How many examples of ``numbers`` numbers each make a piece of bounded size; at least 1."""
    return max(1, _CHUNK_NUMBERS // numbers)
