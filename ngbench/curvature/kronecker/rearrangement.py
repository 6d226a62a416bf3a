"""The rearranged block ``Z(F)`` (3.23) as an operator.

A left vector stands for a symmetric matrix U ``(d_in, d_in)``, a right one for V ``(d_out, d_out)``, under the
Frobenius product. Iterations stay among symmetric matrices: a Kronecker factor has to be one. (The columns of Z are
symmetric for one position an example. With several, Z may also have singular vectors that are antisymmetric matrices,
which no damped inverse could use; they are left out.)
"""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor

from ngbench.curvature.blocks.block import FisherBlock
from ngbench.curvature.blocks.truncation import TruncatedBlock
from ngbench.curvature.kronecker.singular import Operator, Triplet
from ngbench.curvature.linalg.lower import symmetric_part
from ngbench.curvature.linalg.norms import frobenius_norm, frobenius_product

__all__ = ["DirectRearrangement", "Rearrangement"]


class Rearrangement(Operator):
    """``Z(F)`` of a block."""

    @abstractmethod
    def kfac_pair(self) -> tuple[Tensor, Tensor]:
        """The vectors u and v of KFAC's factors: ``Z(A ⊗ G) = u vᵀ``."""

    @abstractmethod
    def positive_left(self) -> Tensor:
        """A left vector that is a positive semi-definite matrix with a part in the dominant one."""

    @abstractmethod
    def warm_left(self, term: tuple[Tensor, Tensor]) -> Tensor:
        """The left vector of a term ``(A, G)`` found on another batch, or one near it."""

    @property
    @abstractmethod
    def wants_warm_start(self) -> bool:
        """Whether :meth:`warm_left` costs less than the iterations that it may save."""

    @abstractmethod
    def norm_squared(self) -> float:
        """``‖Z‖²_F = ‖F‖²_F``, or infinity where finding it costs more than it saves."""

    @abstractmethod
    def factors(self, triplet: Triplet) -> tuple[Tensor, Tensor]:
        """``√σ MAT(u)`` and ``√σ MAT(v)``: symmetric, of shapes ``(d_in, d_in)`` and ``(d_out, d_out)``."""


class DirectRearrangement(Rearrangement):
    """Vectors are the matrices themselves; an iteration passes over the statistics of all examples (Proposition 3.1).

    In float32 the products of an iteration carry about six digits, of which a later term, small beside the first,
    keeps fewer; norms and inner products are accumulated in float64.
    """

    def __init__(self, block: FisherBlock) -> None:
        self._block = block
        self._like = block.like
        self.rounding = 64 * torch.finfo(self._like.dtype).eps

    @property
    def wants_warm_start(self) -> bool:
        return True

    def times(self, v: Tensor) -> Tensor:
        return self._block.rearranged_times(v)

    def transpose_times(self, u: Tensor) -> Tensor:
        return self._block.rearranged_transpose_times(u)

    def left_products(self, basis: Tensor, u: Tensor) -> Tensor:
        return torch.stack([frobenius_product(matrix, u) for matrix in basis]).cpu()

    right_products = left_products

    def left_norm(self, u: Tensor) -> float:
        return float(frobenius_norm(u))

    right_norm = left_norm

    def random_left(self, generator: torch.Generator) -> Tensor:
        return self._random(self._block.d_in, generator)

    def random_right(self, generator: torch.Generator) -> Tensor:
        return self._random(self._block.d_out, generator)

    def _random(self, d: int, generator: torch.Generator) -> Tensor:
        # Drawn on the host, so that every device starts alike.
        return symmetric_part(torch.randn(d, d, generator=generator)).to(self._like)

    def kfac_pair(self) -> tuple[Tensor, Tensor]:
        return self._block.kfac_factors()

    def positive_left(self) -> Tensor:
        return torch.eye(self._block.d_in, dtype=self._like.dtype, device=self._like.device)

    def warm_left(self, term: tuple[Tensor, Tensor]) -> Tensor:
        return term[0]

    def norm_squared(self) -> float:
        block = self._block
        columns = block.columns * block.examples
        # The Gram matrix of the per-example gradients costs as much as columns / (2 d_in + 2 d_out) iterations.
        if isinstance(block, TruncatedBlock) or columns > 8 * (block.d_in + block.d_out):
            return math.inf
        return float(block.norm_squared())

    def factors(self, triplet: Triplet) -> tuple[Tensor, Tensor]:
        root = triplet.sigma**0.5
        # A combination of symmetric matrices by a matrix product is symmetric but for rounding.
        return symmetric_part(triplet.u).mul_(root), symmetric_part(triplet.v).mul_(root)
