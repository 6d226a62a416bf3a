"""Norms and inner products of matrices, added up in float64 without a copy of them in float64."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["frobenius_norm", "frobenius_product"]

# Pieces of at most this many numbers (32 MiB in float64) are converted at a time.
_PIECE_NUMBERS = 2**22


def _pieces(matrix: Tensor) -> tuple[Tensor, ...]:
    return torch.split(matrix, max(1, _PIECE_NUMBERS // max(1, matrix.shape[1])))


def frobenius_norm(matrix: Tensor) -> Tensor:
    """``‖matrix‖_F``: a scalar tensor in float64."""
    norms = torch.stack([torch.linalg.vector_norm(piece, dtype=torch.float64) for piece in _pieces(matrix)])
    norm: Tensor = torch.linalg.vector_norm(norms)
    return norm


def frobenius_product(left: Tensor, right: Tensor) -> Tensor:
    """``⟨left, right⟩`` of two matrices of the same shape: a scalar tensor in float64."""
    pieces = zip(_pieces(left), _pieces(right), strict=True)
    return torch.stack([torch.sum(x * y, dtype=torch.float64) for x, y in pieces]).sum()
