"""Sums of Kronecker products, as pairs of their factors.

Conventions: ``vec`` stacks columns, a vector of a layer's block is held as the matrix ``B`` of the layer's weight
shape ``(d_out, d_in)`` (bias column included), and ``(A ⊗ G) vec(B) = vec(G B Aᵀ)`` (Theorem 3.13).
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["Terms", "times"]

#: Pairs ``(A_r, G_r)`` of shapes ``(d_in, d_in)`` and ``(d_out, d_out)``, all symmetric.
Terms = tuple[tuple[Tensor, Tensor], ...]


def times(terms: Terms, matrix: Tensor) -> Tensor:
    """``Σ_r A_r ⊗ G_r`` times ``vec(matrix)``, as a matrix ``(d_out, d_in)``, or of several such matrices."""
    product = torch.zeros_like(matrix)
    for a, g in terms:
        product += g @ matrix @ a
    return product
