"""Inverses of damped sums of Kronecker products whose factors are wide and of low rank.

Let Q_A ``(d_in, r_A)`` be an orthonormal basis of the sum of the ranges of the first factors ``A_i``, and Q_G
``(d_out, r_G)`` one of those of the second factors ``G_i``. In the orthonormal bases ``(Q_A, Q_A^⊥)`` and
``(Q_G, Q_G^⊥)`` the damped factors are block diagonal,

    ``A_1 + αI = diag(Q_AᵀA_1Q_A + αI, αI)``,  ``A_i = diag(Q_AᵀA_iQ_A, 0)`` for i > 1,

and likewise ``G_i`` with γ for α. So ``M = (A_1 + αI) ⊗ (G_1 + γI) + Σ_{i>1} A_i ⊗ G_i`` falls into four blocks, and
``M⁻¹ vec(V)`` for ``V = V_QQ + V_Q⊥ + V_⊥Q + V_⊥⊥`` (rows in the range of Q_G or out of it, columns in that of Q_A or
out of it) into

- on ``V_QQ`` the inverse of the same sum of the projected factors, an ``r_A r_G``-dimensional problem: the *core*;
- ``(Q_GᵀG_1Q_G + γI)⁻¹ V_Q⊥ / α`` and ``V_⊥Q (Q_AᵀA_1Q_A + αI)⁻¹ / γ``;
- ``V_⊥⊥ / (αγ)``.

With λI added to the sum instead of to the factors, all that is out of either range is divided by λ. This is exact but
for the rounding of the factors, takes ``O(n²r + r³)`` operations for a width n where a Cholesky factorisation or a
diagonalisation takes ``O(n³)``, and ``O(n r)`` memory; the inverse is never formed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ngbench.curvature.inverses.factored import BlockInverse, inverse_of_shifted
from ngbench.curvature.linalg import low_rank
from ngbench.curvature.linalg.low_rank import Subspace, most_columns, range_of
from ngbench.curvature.linalg.norms import frobenius_norm
from ngbench.curvature.linalg.packing import Packed
from ngbench.curvature.linalg.products import Terms

__all__ = ["ProjectedInverse", "ProjectedNormalInverse", "project", "side_of"]


@dataclass(frozen=True)
class FactorSide(Packed):
    """The first product's damped factor on one side, ``F + cI``.

    Attributes:
        basis: Q ``(n, r)``, or None where the core has the whole factor.
        inverse: of ``QᵀFQ + cI`` ``(r, r)``, of ``F + cI`` ``(n, n)`` without a basis.
        shift: c, a scalar tensor.
    """

    basis: Tensor | None
    inverse: Tensor
    shift: Tensor

    def divide(self, matrix: Tensor) -> Tensor:
        """``matrix (F + cI)⁻¹``, for a matrix ``(k, n)``."""
        if self.basis is None:
            return matrix @ self.inverse
        coordinates = matrix @ self.basis
        outside = torch.addmm(matrix, coordinates, self.basis.T, alpha=-1).div_(self.shift)
        return outside.addmm_(coordinates @ self.inverse, self.basis.T)


@dataclass(frozen=True)
class ProjectedInverse(BlockInverse):
    """The inverse under factored damping.

    Attributes:
        core: of the projected sum.
        a: the side of the first factors.
        g: the side of the second factors; at least one side has a basis.
    """

    core: BlockInverse
    a: FactorSide
    g: FactorSide
    info: Tensor

    @property
    def iterates(self) -> bool:
        return self.core.iterates

    def times(self, matrix: Tensor) -> Tensor:
        q_a, q_g = self.a.basis, self.g.basis
        inside = matrix if q_g is None else q_g.T @ matrix
        if q_a is None:
            solution = self.core.times(inside)
        else:
            coordinates = inside @ q_a
            outside = torch.addmm(inside, coordinates, q_a.T, alpha=-1)
            solution = (self.g.inverse @ outside).div_(self.a.shift).addmm_(self.core.times(coordinates), q_a.T)
        if q_g is None:
            return solution
        outside = torch.addmm(matrix, q_g, inside, alpha=-1)
        return self.a.divide(outside).div_(self.g.shift).addmm_(q_g, solution)

    def diagnostics(self) -> dict[str, float]:
        """Those of the core, whose solution is the only one that is clamped or iterated."""
        return self.core.diagnostics()


@dataclass(frozen=True)
class ProjectedNormalInverse(BlockInverse):
    """The inverse with λI added to the sum.

    Attributes:
        core: of the projected sum, λI included.
        a: Q_A, or None where the core has the whole factors.
        g: Q_G, or None; at least one is there.
        damping: λ.
    """

    core: BlockInverse
    a: Tensor | None
    g: Tensor | None
    damping: float
    info: Tensor

    @property
    def iterates(self) -> bool:
        return self.core.iterates

    def times(self, matrix: Tensor) -> Tensor:
        inside = matrix if self.g is None else self.g.T @ matrix
        coordinates = inside if self.a is None else inside @ self.a
        solution = self.core.times(coordinates)
        # (V − Q Z Qᵀ)/λ + Q core(Z) Qᵀ in one product.
        solution = solution.sub(coordinates, alpha=1 / self.damping)
        left = solution if self.g is None else self.g @ solution
        return torch.add(left if self.a is None else left @ self.a.T, matrix, alpha=1 / self.damping)

    def diagnostics(self) -> dict[str, float]:
        """Those of the core."""
        return self.core.diagnostics()


@dataclass(frozen=True)
class Projection:
    """A sum of Kronecker products in the coordinates of its ranges.

    Attributes:
        terms: the projected sum.
        a: Q_A, or None where the factors are as given.
        g: Q_G, or None.
    """

    terms: Terms
    a: Tensor | None
    g: Tensor | None


def project(terms: Terms, shifts: tuple[float, float] | float, dense_cubes: float) -> Projection | None:
    """The projection of a damped sum of wide factors of low rank.

    What is left out changes the damped sum by no more, relative to its smallest eigenvalue, than rounding the entries
    of the factors does, or by some ε.

    Args:
        terms: the products.
        shifts: what damping adds to the two factors of the first product, or λ that it adds to the sum.
        dense_cubes: operations of the inverse without a projection, in units of d_in³ and d_out³.

    Returns:
        None where no side is wide and of low rank, or where a factor contains NaN or infinite values.
    """
    sides: list[Subspace | None] = []
    for side in (0, 1):
        factors = [term[side] for term in terms]
        width = len(factors[0])
        most = most_columns(width, len(factors), dense_cubes)
        if width < low_rank.WIDE or not most:
            sides.append(None)
            continue
        tolerances = _tolerances(terms, side, shifts)
        sides.append(range_of(factors, tolerances, most) if all(map(math.isfinite, tolerances)) else None)
    if sides == [None, None]:
        return None
    projected = tuple(
        tuple(term[k] if found is None else found.cores[i] for k, found in enumerate(sides))
        for i, term in enumerate(terms)
    )
    a, g = (None if found is None else found.basis for found in sides)
    return Projection(projected, a, g)  # type: ignore[arg-type]


def _tolerances(terms: Terms, side: int, shifts: tuple[float, float] | float) -> list[float]:
    """How much of each factor may be left out.

    Leaving ``E`` out of ``A_i`` changes the sum by ``E ⊗ G_i``, and by ``E ⊗ (G_1 + γI)`` for the damped product,
    relative to it by at most ``‖E‖/α``; a later product relative to the smallest eigenvalue αγ by ``‖E‖ ‖G_i‖/(αγ)``.
    """
    smallest = shifts if isinstance(shifts, float) else shifts[0] * shifts[1]
    unit = low_rank.ROUNDING * torch.finfo(terms[0][0].dtype).eps
    tolerances = []
    for i, term in enumerate(terms):
        if i == 0 and not isinstance(shifts, float):
            least = shifts[side]
        else:
            partner = float(frobenius_norm(term[1 - side]))
            least = smallest / partner if partner else smallest
        tolerances.append(unit * max(float(frobenius_norm(term[side])), least))
    return tolerances


def side_of(factor: Tensor, core: Tensor, basis: Tensor | None, shift: Tensor) -> tuple[FactorSide, Tensor]:
    """One side of the first product, and non-zero where its damped factor has no inverse.

    Args:
        factor: of the sum.
        core: of the projected sum.
        basis: Q, or None.
        shift: c.
    """
    inverse, info = inverse_of_shifted(factor if basis is None else core, shift)
    return FactorSide(basis, inverse, shift), info
