"""The Fisher block of a Linear layer with one position an example, whose gradients are outer products."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import torch
from torch import Tensor

from ngbench.curvature.blocks.block import FisherBlock, chunk_length
from ngbench.curvature.blocks.moments import homogeneous_second_moment, second_moment
from ngbench.curvature.linalg.lower import lower_blocks, mirror
from ngbench.curvature.linalg.products import Terms

__all__ = ["LinearBlock"]

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
        a = homogeneous_second_moment(self.inputs, constant=self.constant)
        return a.div_(self.examples), second_moment(self.derivatives).div_(self.examples)

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
        weights = self._summed(torch.sum((self.derivatives @ matrix) * self.derivatives, 1))
        return homogeneous_second_moment(self.inputs, constant=self.constant, weights=weights).div_(self.examples)

    def rearranged_transpose_times(self, matrix: Tensor) -> Tensor:
        weights = torch.sum((self.homogeneous @ matrix) * self.homogeneous, 1)
        return second_moment(self.derivatives, weights).div_(self.examples)

    def inner_product(self, terms: Terms) -> Tensor:
        total = torch.zeros((), dtype=torch.float64, device=self.inputs.device)
        for a, g in terms:
            left = torch.sum((self.homogeneous @ a) * self.homogeneous, 1).double()
            total += torch.sum(left * torch.sum((self.derivatives @ g) * self.derivatives, 1).double())
        return total / self.examples


def _same(left: Tensor, right: Tensor) -> bool:
    """Whether two tensors are the same numbers in memory."""
    return left.data_ptr() == right.data_ptr() and left.shape == right.shape and left.stride() == right.stride()
