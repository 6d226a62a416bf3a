"""The inverse of a damped block, and that of one Kronecker product with damped factors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from ngbench.curvature.linalg.cholesky import cholesky
from ngbench.curvature.linalg.packing import Packed

__all__ = ["BlockInverse", "inverse_of_shifted", "invert_one", "shifted"]


class BlockInverse(Packed, ABC):
    """The inverse of a damped approximation of a Fisher block: a dataclass of tensors and numbers.

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
class FactoredInverse(BlockInverse):
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


def shifted(factor: Tensor, shift: Tensor) -> Tensor:
    """``factor + shift · I``, a new tensor."""
    total = factor.clone()
    total.diagonal().add_(shift)
    return total


def inverse_of_shifted(factor: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """``(factor + shift · I)⁻¹``, and non-zero where it is not positive definite in its precision."""
    lower, info = cholesky(shifted(factor, shift))
    try:
        return torch.cholesky_inverse(lower), info
    except RuntimeError:
        # What is left of a failed factorisation may be singular; ``info`` says that it failed.
        return torch.zeros_like(factor), torch.ones_like(info)


def invert_one(term: tuple[Tensor, Tensor], shifts: tuple[Tensor, Tensor]) -> FactoredInverse:
    """Inverse of ``A ⊗ G`` under factored Tikhonov damping (3.1.2, 1.50).

    Args:
        term: A and G.
        shifts: what damping adds to them.

    Returns:
        The inverse; its ``info`` says whether the damped factors are positive definite in their precision.
    """
    (a, a_info), (g, g_info) = (inverse_of_shifted(factor, shift) for factor, shift in zip(term, shifts, strict=True))
    return FactoredInverse(a, g, a_info + g_info)
