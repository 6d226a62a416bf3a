"""Sums of Kronecker products, and the inverse of a damped Kronecker product.

Conventions: ``vec`` stacks columns, a vector of a layer's block is held as the matrix ``B`` of the layer's weight
shape ``(d_out, d_in)`` (bias column included), and ``(A ⊗ G) vec(B) = vec(G B Aᵀ)`` (Theorem 3.13).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["FactoredInverse", "KroneckerSum", "invert_factored", "pi_ratio"]


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

    def dense(self) -> Tensor:
        """The matrix itself, ``(d_in · d_out)²`` numbers: for tests."""
        return torch.stack([torch.kron(a, g) for a, g in self.terms]).sum(0)

    def average(self, other: KroneckerSum, weight: float) -> KroneckerSum:
        """``weight · self + (1 − weight) · other``, factor by factor (3.1.2)."""
        return KroneckerSum(
            tuple(
                (torch.lerp(a_new, a, weight), torch.lerp(g_new, g, weight))
                for (a, g), (a_new, g_new) in zip(self.terms, other.terms, strict=True)
            )
        )


def pi_ratio(a: Tensor, g: Tensor) -> Tensor:
    """``π = √((tr A / dim A) / (tr G / dim G))`` (3.1.2): a scalar tensor, 1 where a trace vanishes."""
    ratio = (a.diagonal().mean() / g.diagonal().mean()).sqrt()
    return torch.where(torch.isfinite(ratio) & (ratio > 0), ratio, torch.ones_like(ratio))


@dataclass(frozen=True)
class FactoredInverse:
    """``(A + π√λ I)⁻¹ ⊗ (G + π⁻¹√λ I)⁻¹``.

    Attributes:
        a: ``(d_in, d_in)``.
        g: ``(d_out, d_out)``.
        info: a scalar tensor, non-zero where a factorisation failed and the inverse must not be used. It stays on
            the device, so that inverting many layers waits for the device once.
    """

    a: Tensor
    g: Tensor
    info: Tensor

    def times(self, matrix: Tensor) -> Tensor:
        """The product with ``vec(matrix)``, as a matrix ``(d_out, d_in)`` (3.21)."""
        if self.g.shape[0] < self.a.shape[0]:
            return (self.g @ matrix) @ self.a
        return self.g @ (matrix @ self.a)


def _shifted_inverse(matrix: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    shifted = matrix.clone()
    shifted.diagonal().add_(shift)
    factor, info = torch.linalg.cholesky_ex(shifted)
    # On the CPU, inverting from a factor with a zero on its diagonal raises; the info already tells.
    factor.diagonal().masked_fill_(info > 0, 1)
    return torch.cholesky_inverse(factor), info


def invert_factored(product: KroneckerSum, damping: float, *, use_pi: bool = True) -> FactoredInverse:
    """Inverse of ``A ⊗ G`` under factored Tikhonov damping (3.1.2, 1.50).

    Args:
        product: a single Kronecker product.
        damping: λ > 0.
        use_pi: balance the damping by :func:`pi_ratio`; otherwise π = 1.

    Returns:
        The inverse; its ``info`` says whether the damped factors are positive definite in their precision.
    """
    ((a, g),) = product.terms
    pi = pi_ratio(a, g) if use_pi else torch.ones((), dtype=a.dtype, device=a.device)
    a_inverse, a_info = _shifted_inverse(a, pi * damping**0.5)
    g_inverse, g_info = _shifted_inverse(g, damping**0.5 / pi)
    return FactoredInverse(a_inverse, g_inverse, a_info + g_info)
