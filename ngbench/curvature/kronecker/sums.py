"""Sums of Kronecker products, and the inverse of one damped Kronecker product.

Conventions: ``vec`` stacks columns, a vector of a layer's block is held as the matrix ``B`` of the layer's weight
shape ``(d_out, d_in)`` (bias column included), and ``(A ⊗ G) vec(B) = vec(G B Aᵀ)`` (Theorem 3.13).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from ngbench.curvature.linalg.cholesky import cholesky
from ngbench.curvature.linalg.norms import frobenius_cosine

__all__ = [
    "FactoredInverse",
    "KroneckerInverse",
    "KroneckerSum",
    "damped_factors",
    "factor_shifts",
    "inverse_of_shifted",
    "invert_factored",
    "invert_shifted",
    "pi_ratio",
    "shifted",
]


@dataclass(frozen=True)
class KroneckerSum:
    """``Σ_r A_r ⊗ G_r``, never formed.

    Attributes:
        terms: pairs ``(A_r, G_r)`` of shapes ``(d_in, d_in)`` and ``(d_out, d_out)``, all symmetric.
    """

    terms: tuple[tuple[Tensor, Tensor], ...]

    def times(self, matrix: Tensor) -> Tensor:
        """The product with ``vec(matrix)``, as a matrix ``(d_out, d_in)``."""
        product = torch.zeros_like(matrix)
        for a, g in self.terms:
            product += g @ matrix @ a
        return product

    def in_dtype(self, dtype: torch.dtype) -> KroneckerSum:
        """The same sum in another type."""
        if all(factor.dtype == dtype for term in self.terms for factor in term):
            return self
        return KroneckerSum(tuple((a.to(dtype), g.to(dtype)) for a, g in self.terms))

    def dense(self) -> Tensor:
        """The matrix itself, ``(d_in · d_out)²`` numbers: for tests."""
        return torch.stack([torch.kron(a, g) for a, g in self.terms]).sum(0)

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

        It shares nothing with either: what was made of ``self``, such as an inverse, may go on holding its tensors.
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


def pi_ratio(a: Tensor, g: Tensor) -> Tensor:
    """``π = √((tr A / dim A) / (tr G / dim G))`` (3.1.2): a scalar tensor, 1 where a trace vanishes."""
    ratio = (a.diagonal().mean() / g.diagonal().mean()).sqrt()
    return torch.where(torch.isfinite(ratio) & (ratio > 0), ratio, torch.ones_like(ratio))


class KroneckerInverse(ABC):
    """The inverse of a damped sum of Kronecker products: a dataclass of tensors and numbers.

    Attributes:
        info: a scalar tensor, non-zero where a factorisation failed and the inverse must not be used. It stays on
            the device, so that inverting many layers waits for the device once.
    """

    info: Tensor

    @abstractmethod
    def times(self, matrix: Tensor) -> Tensor:
        """The product with ``vec(matrix)``, as a matrix ``(d_out, d_in)``."""

    @property
    def iterates(self) -> bool:
        """Whether every product is an iteration, with news for :meth:`diagnostics`."""
        return False

    def diagnostics(self) -> dict[str, float]:
        """Numbers about the inverse and its last product that belong in a record; none by default."""
        return {}


@dataclass(frozen=True)
class FactoredInverse(KroneckerInverse):
    """``(A + π√λ I)⁻¹ ⊗ (G + π⁻¹√λ I)⁻¹``.

    Attributes:
        a: ``(d_in, d_in)``.
        g: ``(d_out, d_out)``.
    """

    a: Tensor
    g: Tensor
    info: Tensor

    def times(self, matrix: Tensor) -> Tensor:
        """The product with ``vec(matrix)``, as a matrix ``(d_out, d_in)`` (3.21)."""
        if self.g.shape[0] < self.a.shape[0]:
            return (self.g @ matrix) @ self.a
        return self.g @ (matrix @ self.a)


def factor_shifts(a: Tensor, g: Tensor, damping: float, *, use_pi: bool, raised: int = 0) -> tuple[Tensor, Tensor]:
    """``π√λ`` and ``π⁻¹√λ`` (3.1.2, 1.50), scalar tensors.

    Args:
        a: ``(d_in, d_in)``.
        g: ``(d_out, d_out)``.
        damping: λ > 0.
        use_pi: balance by :func:`pi_ratio`; otherwise π = 1.
        raised: k > 0 takes for each factor at least ``4ᵏ`` times its trace times the unit of rounding: what rounding
            made indefinite, in the sum over many patches, is positive definite for a k that is not known beforehand.
    """
    pi = pi_ratio(a, g) if use_pi else torch.ones((), dtype=a.dtype, device=a.device)
    for_a, for_g = pi * damping**0.5, damping**0.5 / pi
    if not raised:
        return for_a, for_g
    return torch.maximum(for_a, _least_shift(a, raised)), torch.maximum(for_g, _least_shift(g, raised))


def damped_factors(a: Tensor, g: Tensor, damping: float, *, use_pi: bool, raised: int = 0) -> tuple[Tensor, Tensor]:
    """``A + π√λ I`` and ``G + π⁻¹√λ I`` (3.1.2, 1.50); the arguments are those of :func:`factor_shifts`."""
    shifts = factor_shifts(a, g, damping, use_pi=use_pi, raised=raised)
    return shifted(a, shifts[0]), shifted(g, shifts[1])


def shifted(factor: Tensor, shift: Tensor) -> Tensor:
    """``factor + shift · I``, a new tensor."""
    total = factor.clone()
    total.diagonal().add_(shift)
    return total


def _least_shift(factor: Tensor, raised: int) -> Tensor:
    return factor.diagonal().sum() * (4.0**raised * torch.finfo(factor.dtype).eps)


def inverse_of_shifted(factor: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """``(factor + shift · I)⁻¹``, and non-zero where it is not positive definite in its precision."""
    lower, info = cholesky(shifted(factor, shift))
    try:
        return torch.cholesky_inverse(lower), info
    except RuntimeError:
        # What is left of a failed factorisation may be singular; ``info`` says that it failed.
        return torch.zeros_like(factor), torch.ones_like(info)


def invert_factored(product: KroneckerSum, damping: float, *, use_pi: bool = True, raised: int = 0) -> FactoredInverse:
    """Inverse of ``A ⊗ G`` under factored Tikhonov damping (3.1.2, 1.50).

    Args:
        product: a single Kronecker product.
        damping: λ > 0.
        use_pi: balance the damping by :func:`pi_ratio`; otherwise π = 1.
        raised: as for :func:`factor_shifts`.

    Returns:
        The inverse; its ``info`` says whether the damped factors are positive definite in their precision.
    """
    ((a, g),) = product.terms
    return invert_shifted(product, factor_shifts(a, g, damping, use_pi=use_pi, raised=raised))


def invert_shifted(product: KroneckerSum, shifts: tuple[Tensor, Tensor]) -> FactoredInverse:
    """The same, with what damping adds to the two factors."""
    ((a, g),) = product.terms
    a_inverse, a_info = inverse_of_shifted(a, shifts[0])
    g_inverse, g_info = inverse_of_shifted(g, shifts[1])
    return FactoredInverse(a_inverse, g_inverse, a_info + g_info)
