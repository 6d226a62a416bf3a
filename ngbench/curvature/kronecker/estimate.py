"""What an approximation makes of a Fisher block, whatever its form."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ngbench.curvature.blocks.block import FisherBlock
from ngbench.curvature.inverses.damping import Damping
from ngbench.curvature.inverses.factored import BlockInverse
from ngbench.curvature.linalg.packing import Packed

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ApproximateBlock", "Approximation", "Estimate"]


class ApproximateBlock(Packed, ABC):
    """F̂ of one layer: a dataclass of tensors and numbers, which is how it is saved.

    :class:`~ngbench.curvature.kronecker.sums.KroneckerSum` is one; a block that is diagonal in an eigenbasis is
    another. A subclass says how it multiplies, how several batches are averaged and what its damped inverse is; what
    else is here, it may do better.
    """

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """``(d_out, d_in)`` of the layer's weight matrix."""

    @abstractmethod
    def times(self, matrix: Tensor) -> Tensor:
        """The product with ``vec(matrix)``, as a matrix ``(d_out, d_in)``, or with several: ``(n, d_out, d_in)``."""

    @abstractmethod
    def averaged(self, other: Self, weight: float) -> Self:
        """``weight · self + (1 − weight) · other``, as nearly as the form allows.

        It must share nothing with either: what was made of ``self``, such as an inverse, may go on holding its tensors.
        """

    @abstractmethod
    def inverse(self, damping: Damping) -> BlockInverse:
        """``(F̂ + λI)⁻¹``, or that of what ``damping`` adds in its place; its tensors may be those of ``self``.

        Where rounding leaves it without an inverse, ``info`` says so, and it is asked for again with a larger
        ``damping.raised``.
        """

    def aligned_with(self, reference: Self) -> Self:
        """The same block, in the one of several equal forms that is nearest to ``reference``; itself by default."""
        return self

    def reduced(self, mean: Callable[[Tensor], Tensor]) -> Self:
        """The average over the workers of data-parallel training, ``mean`` being that of a tensor: of each tensor."""
        return self.mapped(mean)

    def probe(self) -> Tensor:
        """A scalar in float64 that is finite if all of the block is."""
        return torch.stack([tensor.sum(dtype=torch.float64) for tensor in self.tensors()]).sum()

    def fits(self, d_out: int, d_in: int) -> bool:
        """Whether the block can be that of a layer of this shape."""
        return self.shape == (d_out, d_in)

    @property
    def dtype(self) -> torch.dtype:
        """The type of its tensors."""
        return self.tensors()[0].dtype

    def in_dtype(self, dtype: torch.dtype) -> Self:
        """The same block in another type."""
        return self if all(tensor.dtype == dtype for tensor in self.tensors()) else self.mapped(lambda t: t.to(dtype))

    def inner_product_with(self, block: FisherBlock) -> Tensor:
        """``⟨F, F̂⟩ = (1/m) Σ_b ⟨D_b, F̂ D_b⟩``, a scalar in float64."""
        products = [torch.sum(d * self.times(d), dtype=torch.float64) for d in block.gradient_chunks()]
        return torch.stack(products).sum() / block.examples

    def norm_squared(self) -> Tensor:
        """``‖F̂‖²_F``, a scalar in float64; column by column, unless the form has it at hand."""
        return torch.stack([column.double().square().sum() for column in self._columns()]).sum()

    def largest_eigenvalues(self, count: int) -> Tensor:
        """The ``count`` largest eigenvalues (all of them if that is little more), the largest first.

        Raises:
            FloatingPointError: the block contains NaN or infinite values.
        """
        # scipy takes a tenth of a second to import, and no optimizer needs it.
        from ngbench.curvature.linalg import largest

        if not torch.isfinite(self.probe()):
            raise FloatingPointError("an approximation of a Fisher block contains NaN or infinite values")
        start = self.tensors()[0].new_ones(self.shape)
        return largest.largest_eigenvalues(self.times, self.dense, start, count).flip(0)

    def dense(self) -> Tensor:
        """The matrix itself, ``(d_in · d_out)²`` numbers: for tests."""
        return torch.stack(list(self._columns()), 1)

    def _columns(self) -> Iterator[Tensor]:
        unit = self.tensors()[0].new_zeros(self.shape[1], self.shape[0])
        for entry in unit.view(-1):
            entry.fill_(1)
            yield self.times(unit.T).T.flatten()
            entry.zero_()


@dataclass(frozen=True)
class Estimate:
    """What an approximation made of a block.

    Attributes:
        value: F̂.
        iterations: pairs of products with ``Z(F)`` and its transpose, for each search of singular triplets.
        residuals: for each product that was searched for, what its triplet leaves of ``Zv = σu``, relative to σ₁.
        converged: whether all residuals reached the precision.
        start: what the next estimate wants as its start; None where it could not use any.
    """

    value: ApproximateBlock
    iterations: Mapping[str, int] = field(default_factory=dict)
    residuals: Mapping[str, float] = field(default_factory=dict)
    converged: bool = True
    start: ApproximateBlock | None = None


#: From a block, and the ``start`` of the previous estimate of the same layer or None, to an estimate.
Approximation = Callable[[FisherBlock, Any], Estimate]
