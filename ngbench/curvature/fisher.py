"""Fisher blocks of a layer on a batch, as implicit operators over what the layer saw.

With ``D_b = Σ_t g_{b,t} ā_{b,t}ᵀ`` the gradient of example ``b`` with respect to the weight matrix, the block is
``F = (1/m) Σ_b vec(D_b) vec(D_b)ᵀ = (1/m) J Jᵀ`` (the columns of J are the ``vec(D_b)``); with ``c`` derivative columns
an example (the closed-form expectation over targets) the sum runs over those as well and J has ``c · m`` columns.
``Z(F) = (1/m) Σ_b Σ_{t,t'} vec(ā_t ā_{t'}ᵀ) vec(g_t g_{t'}ᵀ)ᵀ`` is its rearrangement (3.23), whose rank-r
approximations are sums of r Kronecker products. Neither F, J nor Z is formed outside ``dense``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ngbench.curvature.kronecker import KroneckerSum
from ngbench.curvature.lower import (
    add_symmetric_product,
    halve,
    is_symmetric,
    lower_blocks,
    mirror,
    times_lower,
)
from ngbench.curvature.moments import homogeneous_second_moment, second_moment

if TYPE_CHECKING:
    from ngbench.curvature.layers import Call

__all__ = ["FisherBlock", "LinearBlock"]


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
        """``MAT(Z(F) vec(V)) = (1/m) Σ_b D_bᵀ V D_b``: shape ``(d_in, d_in)`` for V ``(d_out, d_out)``."""
        total = matrix.new_zeros(self.d_in, self.d_in)
        symmetric = is_symmetric(matrix)
        for d in self.gradient_chunks():
            left, right = d.flatten(0, 1), (matrix @ d).flatten(0, 1)
            if symmetric:
                add_symmetric_product(total, left, right)
            else:
                total.addmm_(left.T, right)
        if symmetric:
            mirror(total)
        return total / self.examples

    def rearranged_transpose_times(self, matrix: Tensor) -> Tensor:
        """``MAT(Z(F)ᵀ vec(U)) = (1/m) Σ_b D_b U D_bᵀ``: shape ``(d_out, d_out)`` for U ``(d_in, d_in)``."""
        total = matrix.new_zeros(self.d_out, self.d_out)
        # D U Dᵀ = D L Dᵀ + (D L Dᵀ)ᵀ for U = L + Lᵀ, and D L is half the work.
        lower = halve(matrix) if is_symmetric(matrix) else None
        for d in self.gradient_chunks():
            rows = d.flatten(0, 1)
            product = rows @ matrix if lower is None else times_lower(rows, lower)
            total += _sum_of_products(product.view_as(d), d)
        return (total if lower is None else total + total.T) / self.examples

    def norm_squared(self) -> Tensor:
        """``‖F‖²_F``, from the Gram matrix: F and ``JᵀJ/m`` have the same non-zero eigenvalues."""
        return self.gram().double().square().sum() / self.examples**2

    def inner_product(self, other: KroneckerSum) -> Tensor:
        """``⟨F, Σ_r A_r ⊗ G_r⟩ = (1/m) Σ_b ⟨D_b, Σ_r G_r D_b A_r⟩``, a scalar in float64."""
        total = torch.zeros((), dtype=torch.float64, device=other.terms[0][0].device)
        for d in self.gradient_chunks():
            for a, g in other.terms:
                total += torch.sum((g @ d).mul_(d @ a), dtype=torch.float64)
        return total / self.examples

    def truncated(self, radius: int) -> FisherBlock:
        """The block with only position pairs ``‖t − t'‖∞ ≤ radius`` of the grid (3.35); without a grid, all of it.

        Raises:
            ValueError: the radius is negative.
        """
        if radius < 0:
            raise ValueError(f"positions={radius} is not allowed: an int >= 0 or 'all'")
        return self

    def dense(self) -> Tensor:
        """F itself, ``(d_in · d_out)²`` numbers: for tests."""
        # vec stacks columns, and flatten() of the transpose does the same.
        d = self.per_example_gradients().transpose(1, 2).flatten(1)
        return d.T @ d / self.examples


# The blocks on the diagonal of a Gram matrix on the CPU are at least so wide: 0.6 of the whole product is left. With
# fewer examples than the second, or fewer numbers an example than the third, the whole product is as fast.
_GRAM_BLOCK = 128
_GRAM_EXAMPLES = 512
_GRAM_WIDTH = 256


class LinearBlock(FisherBlock):
    """One position an example: ``F = (1/m) Σ_b (ā āᵀ) ⊗ (g gᵀ)``.

    Args:
        inputs: ``(m, d)``, without the constant.
        derivatives: ``(c · m, d_out)``.
        constant: whether a constant 1 is appended to each input, for the bias.
        scale: of the derivatives; products that may carry it along spare a pass over them.
    """

    def __init__(self, inputs: Tensor, derivatives: Tensor, *, constant: bool, scale: float = 1.0) -> None:
        self.inputs = inputs
        self.constant = constant
        self._unscaled = derivatives
        self._scale = scale
        self.examples = inputs.shape[0]
        self.columns = derivatives.shape[0] // inputs.shape[0]
        self.d_in = inputs.shape[1] + constant
        self.d_out = derivatives.shape[1]
        # ĀĀᵀ, from a reused block's Gram matrix to the first product.
        self._input_products: Tensor | None = None

    @property
    def like(self) -> Tensor:
        return self.inputs

    @cached_property
    def derivatives(self) -> Tensor:
        """``g`` of every derivative column: shape ``(c · m, d_out)``."""
        return self._unscaled if self._scale == 1 else self._unscaled * self._scale

    @cached_property
    def homogeneous(self) -> Tensor:
        """``ā`` of every derivative column: shape ``(c · m, d_in)``."""
        inputs = torch.nn.functional.pad(self.inputs, (0, 1), value=1.0) if self.constant else self.inputs
        return inputs.repeat(self.columns, 1) if self.columns > 1 else inputs

    def kfac_factors(self) -> tuple[Tensor, Tensor]:
        scale = 1 / self.examples
        a = homogeneous_second_moment(self.inputs, constant=self.constant, scale=scale)
        return a, second_moment(self.derivatives, scale=scale)

    def gradient_chunks(self) -> Iterator[Tensor]:
        size = chunk_length(self.d_in * self.d_out)
        for g, a in zip(torch.split(self.derivatives, size), torch.split(self.homogeneous, size), strict=True):
            yield g.unsqueeze(2) * a.unsqueeze(1)

    def transpose_times(self, matrix: Tensor) -> Tensor:
        total = matrix.new_zeros(self.columns * self.examples)
        self.add_transpose_times(total, matrix)
        return total

    def add_transpose_times(self, total: Tensor, matrix: Tensor) -> None:
        # ⟨g āᵀ, W⟩ = ⟨g, W ā⟩, and W ā does not depend on the column; no padding to the odd width d + 1. The constant's
        # column is cheaper to add to the products than to the images.
        weight, bias = self._split(matrix)
        total += self._products(self.inputs @ weight.T)
        if bias is not None:
            total.addmv_(self.derivatives, bias)

    def _products(self, images: Tensor) -> Tensor:
        """``⟨g, image⟩`` of every column with its example's image, which is overwritten: shape ``(c · m,)``."""
        if self.columns == 1:
            return images.mul_(self.derivatives).sum(1)
        return torch.sum(self._by_column(self.derivatives) * images, -1).flatten()

    def rank_one_products(self, left: Tensor, right: Tensor) -> Tensor:
        images = self.inputs @ right[:-1] + right[-1] if self.constant else self.inputs @ right
        return (self._by_column(self.derivatives @ left) * images).flatten(0, 1)

    def cross_layer_sums(self) -> tuple[Tensor, Tensor]:
        return self.inputs.sum(1) + self.constant, self.derivatives.sum(1)

    def weighted_sum(self, weights: Tensor) -> Tensor:
        return self._sum(self._summed(self.derivatives * weights.unsqueeze(1)))

    def _sum(self, g: Tensor) -> Tensor:
        """``Σ_b g āᵀ`` for ``g`` ``(m, d_out)``."""
        if not self.constant:
            return g.T @ self.inputs
        total = g.new_empty(self.d_out, self.d_in)
        torch.mm(g.T, self.inputs, out=total[:, :-1])
        torch.sum(g, 0, out=total[:, -1])
        return total

    def _summed(self, values: Tensor) -> Tensor:
        """The sum over the columns c of an example: shape ``(m, ...)``."""
        return values if self.columns == 1 else self._by_column(values).sum(0)

    @cached_property
    def total(self) -> Tensor:
        return self._sum(self._summed(self.derivatives))

    def products_with_total(self, other: FisherBlock) -> Tensor:
        # ⟨D_b, Σ_b' g' ā'ᵀ⟩ = ⟨g_b, h_b⟩ with H = Ā Ā'ᵀ G', in the cheaper order.
        if not isinstance(other, LinearBlock):
            return super().products_with_total(other)
        kept = self._input_products if _same(self.inputs, other.inputs) else None
        self._input_products = None
        pairs = self.examples * other.examples * (self.d_out + (self.d_in if kept is None else 0))
        if self.d_in * self.d_out * (self.examples + other.examples) < pairs:
            return self.transpose_times(other.total)
        g = other._summed(other.derivatives)
        inputs = self._cross_products(other) if kept is None else kept
        if self.columns == 1 and other.examples < self.d_out:
            # As many operations, and a smaller matrix to go over again.
            return inputs.mul_(self.derivatives @ g.T).sum(1)
        return self._products(inputs @ g)

    def _cross_products(self, other: LinearBlock) -> Tensor:
        """``Ā Ā'ᵀ`` with another block of the layer: shape ``(m, m')``."""
        return (self.inputs @ other.inputs.T).add_(self.constant)

    def weighted_total(self, weights: Tensor, other: FisherBlock, scale: float = 1.0) -> tuple[Tensor, Tensor | None]:
        if not isinstance(other, LinearBlock) or not _same(self.inputs, other.inputs[: self.examples]):
            return super().weighted_total(weights, other, scale)
        # One product with the inputs for both sums.
        g = other._summed(other.derivatives)
        if self.columns == 1 and other.examples == self.examples:
            g = torch.addcmul(g, self.derivatives, weights.unsqueeze(1))
        else:
            g = g.clone()
            g[: self.examples] += self._summed(self.derivatives * weights.unsqueeze(1))
        return self._sum_apart(g, other.inputs, scale)

    def weighted_sum_apart(self, weights: Tensor) -> tuple[Tensor, Tensor | None]:
        g = self._summed(self._unscaled * (weights * self._scale).unsqueeze(1))
        return self._sum_apart(g, self.inputs)

    def _sum_apart(self, g: Tensor, inputs: Tensor, scale: float = 1.0) -> tuple[Tensor, Tensor | None]:
        if scale != 1:
            matrix = torch.addmm(g.new_empty(()), g.T, inputs, beta=0, alpha=scale)
            return matrix, g.sum(0).mul_(scale) if self.constant else None
        return g.T @ inputs, g.sum(0) if self.constant else None

    def _split(self, values: Tensor) -> tuple[Tensor, Tensor | None]:
        return (values[..., :-1], values[..., -1]) if self.constant else (values, None)

    def _by_column(self, values: Tensor) -> Tensor:
        return values.view(self.columns, self.examples, *values.shape[1:])

    def gram(self) -> Tensor:
        total = self.inputs.new_zeros(self.columns * self.examples, self.columns * self.examples)
        self.add_gram(total)
        if self._by_blocks:
            mirror(total)
        return total

    @property
    def _by_blocks(self) -> bool:
        large = self.examples >= _GRAM_EXAMPLES and self.d_in + self.d_out > _GRAM_WIDTH
        return large and self.columns == 1 and self.inputs.device.type == "cpu"

    def add_gram(self, total: Tensor) -> None:
        # (4.78): ⟨g āᵀ, g' ā'ᵀ⟩ = ⟨ā, ā'⟩ ⟨g, g'⟩.
        x, g, m, factor = self.inputs, self._unscaled, self.examples, self._scale**2
        # More memory than twice the inputs is not worth a product that saves little then.
        kept = x.new_empty(m, m) if self.reused and m <= 2 * self.d_in else None
        if self._by_blocks:
            for blocks in lower_blocks(m, _GRAM_BLOCK):
                products = blocks.products(x)
                if self.constant:
                    products += 1
                if kept is not None:
                    blocks.of(kept).copy_(products)
                    blocks.of(kept.T).copy_(products)
                blocks.of(total).addcmul_(products, blocks.products(g), value=factor)
        else:
            products = torch.addmm(x.new_full((), float(self.constant)), x, x.T, out=kept)
            if self.columns > 1:
                products = products.repeat(self.columns, self.columns)
            total.addcmul_(products, g @ g.T, value=factor)
        self._input_products = kept

    def rearranged_times(self, matrix: Tensor) -> Tensor:
        # Proposition 3.1.
        weights = torch.sum((self.derivatives @ matrix) * self.derivatives, 1)
        return (self.homogeneous * weights.unsqueeze(1)).T @ self.homogeneous / self.examples

    def rearranged_transpose_times(self, matrix: Tensor) -> Tensor:
        weights = torch.sum((self.homogeneous @ matrix) * self.homogeneous, 1)
        return (self.derivatives * weights.unsqueeze(1)).T @ self.derivatives / self.examples

    def inner_product(self, other: KroneckerSum) -> Tensor:
        total = torch.zeros((), dtype=torch.float64, device=self.inputs.device)
        for a, g in other.terms:
            left = torch.sum((self.homogeneous @ a) * self.homogeneous, 1).double()
            total += torch.sum(left * torch.sum((self.derivatives @ g) * self.derivatives, 1).double())
        return total / self.examples


def _same(left: Tensor, right: Tensor) -> bool:
    """Whether two tensors are the same numbers in memory."""
    return left.data_ptr() == right.data_ptr() and left.shape == right.shape and left.stride() == right.stride()


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
