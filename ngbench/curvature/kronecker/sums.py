"""Sums of Kronecker products as approximations of Fisher blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ngbench.curvature.blocks.block import FisherBlock
from ngbench.curvature.inverses.damping import Damping
from ngbench.curvature.inverses.factored import BlockInverse
from ngbench.curvature.inverses.inverse import invert
from ngbench.curvature.kronecker.estimate import ApproximateBlock
from ngbench.curvature.linalg import products
from ngbench.curvature.linalg.norms import frobenius_cosine
from ngbench.curvature.linalg.products import Terms

__all__ = ["KroneckerSum"]

# Directions in which all factors together are smaller than this part of their largest are left out.
_NEGLIGIBLE = 1e-7


@dataclass(frozen=True)
class KroneckerSum(ApproximateBlock):
    """``Σ_r A_r ⊗ G_r``, never formed.

    Attributes:
        terms: pairs ``(A_r, G_r)`` of shapes ``(d_in, d_in)`` and ``(d_out, d_out)``, all symmetric; the factors of the
            first one positive semi-definite.
    """

    terms: Terms

    @property
    def shape(self) -> tuple[int, int]:
        a, g = self.terms[0]
        return len(g), len(a)

    def fits(self, d_out: int, d_in: int) -> bool:
        return bool(self.terms) and all(len(a) == d_in and len(g) == d_out for a, g in self.terms)

    def times(self, matrix: Tensor) -> Tensor:
        return products.times(self.terms, matrix)

    def inverse(self, damping: Damping) -> BlockInverse:
        return invert(self.terms, damping)

    def probe(self) -> Tensor:
        # A number that is not finite makes the sum along a diagonal so: second moments have it there, and products
        # found by iteration have it everywhere.
        sums = [factor.diagonal().sum(dtype=torch.float64) for term in self.terms for factor in term]
        return torch.stack(sums).sum()

    def dense(self) -> Tensor:
        return torch.stack([torch.kron(a, g) for a, g in self.terms]).sum(0)

    def inner_product_with(self, block: FisherBlock) -> Tensor:
        return block.inner_product(self.terms)

    def norm_squared(self) -> Tensor:
        return self.inner_product(self)

    def largest_eigenvalues(self, count: int) -> Tensor:
        """Those of one product are the products of its factors' eigenvalues; of a sum they are found by iteration."""
        from ngbench.curvature.linalg import largest

        if not all(torch.isfinite(factor).all() for factor in self.tensors()):
            raise FloatingPointError("an approximation of a Fisher block contains NaN or infinite values")
        (a, g), *others = self.terms
        # A product that vanishes (beyond the rank of Z) leaves the others alone.
        others = [term for term in others if term[0].any() and term[1].any()]
        order = len(a) * len(g)
        if not others:
            every = torch.outer(torch.linalg.eigvalsh(a), torch.linalg.eigvalsh(g)).flatten()
            top: Tensor = every.topk(min(count, order)).values
            return top
        inside = _on_ranges(((a, g), *others))
        (a, g), *_ = inside.terms
        inner = len(a) * len(g)
        # The trace of the rows is a start that no symmetry of the sum makes orthogonal to its dominant eigenvector.
        start = torch.outer(g.diagonal(), a.diagonal())
        found = largest.largest_eigenvalues(inside.times, inside.dense, start, min(count, inner))
        # What was not found may lie between what was and zero.
        reach = order if len(found) == inner else len(found)
        return torch.cat((found, found.new_zeros(order - inner))).sort(descending=True).values[:reach]

    def inner_product(self, other: KroneckerSum) -> Tensor:
        """``⟨Σ_r A_r ⊗ G_r, Σ_s A'_s ⊗ G'_s⟩ = Σ_rs ⟨A_r, A'_s⟩ ⟨G_r, G'_s⟩``: a scalar in float64."""
        first, second = self._stacked(), other._stacked()
        return torch.sum((first[0] @ second[0].T) * (first[1] @ second[1].T))

    def _stacked(self) -> tuple[Tensor, Tensor]:
        left = torch.stack([a.flatten() for a, _ in self.terms]).double()
        return left, torch.stack([g.flatten() for _, g in self.terms]).double()

    def aligned_with(self, reference: KroneckerSum) -> KroneckerSum:
        """The same sum, each product written with the sign of its factors that is nearer to those of ``reference``.

        ``P ⊗ Q = (−P) ⊗ (−Q)``: an average factor by factor (3.1.2) makes sense once the signs agree. The first
        product has semi-definite factors, and keeps them.
        """
        terms = [self.terms[0]]
        for (a, g), sign in zip(self.terms[1:], self._signs(reference), strict=True):
            terms.append((a * sign, g * sign))
        return KroneckerSum(tuple(terms))

    def _signs(self, reference: KroneckerSum) -> list[Tensor]:
        """Of the products after the first one, 1 or -1 each: scalar tensors."""
        signs = []
        for (a, g), (a_reference, g_reference) in zip(self.terms[1:], reference.terms[1:], strict=True):
            agreement = frobenius_cosine(a, a_reference) + frobenius_cosine(g, g_reference)
            signs.append(torch.where(agreement < 0, -1.0, 1.0).to(a.dtype))
        return signs

    def averaged(self, other: KroneckerSum, weight: float) -> KroneckerSum:
        """``weight · self + (1 − weight) · other``, factor by factor (3.1.2), the signs of ``other`` aligned.

        It shares nothing with either.
        """
        terms = [
            tuple(torch.lerp(old, new, 1 - weight) for old, new in zip(self.terms[0], other.terms[0], strict=True))
        ]
        for term, new_term, sign in zip(self.terms[1:], other.terms[1:], other._signs(self), strict=True):
            terms.append(
                tuple(
                    torch.mul(old, weight).addcmul_(new, sign, value=1 - weight)
                    for old, new in zip(term, new_term, strict=True)
                )
            )
        return KroneckerSum(tuple((a, g) for a, g in terms))


def _on_ranges(terms: Terms) -> KroneckerSum:
    """The sum in orthonormal bases of the common ranges of its factors: the same eigenvalues but for zeros."""
    firsts, seconds = zip(*terms, strict=True)
    left, right = _range(firsts), _range(seconds)
    return KroneckerSum(tuple((left.T @ a @ left, right.T @ g @ right) for a, g in terms))


def _range(factors: Sequence[Tensor]) -> Tensor:
    # Each factor in its own unit, so that none hides another.
    squares = sum(torch.linalg.matrix_power(factor / torch.linalg.matrix_norm(factor), 2) for factor in factors)
    values, vectors = torch.linalg.eigh(squares)
    basis: Tensor = vectors[:, values > _NEGLIGIBLE**2 * values[-1]]
    return basis
