"""Norms and products of matrices, added up in float64 without a copy of them in float64."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["frobenius_cosine", "frobenius_norm", "frobenius_product"]

# Pieces of at most this many numbers (32 MiB in float64) are converted at a time.
_PIECE_NUMBERS = 2**22
# Of smaller matrices a copy in float64 takes no time.
_WIDE = 2**15
# Of matrices whose norms lie between, what is lost where squares of float32 vanish or overflow is below rounding.
_LEAST, _MOST = 1e-12, 1e12


def _pieces(matrix: Tensor) -> tuple[Tensor, ...]:
    return torch.split(matrix, max(1, _PIECE_NUMBERS // max(1, matrix.shape[1])))


def _norm_by_rows(matrix: Tensor) -> Tensor | None:
    """The norm from sums along rows in float32, or None where they are slower or not accurate."""
    if matrix.numel() < _WIDE or matrix.device.type != "cpu" or matrix.dtype != torch.float32:
        return None
    # The errors of rows, 10⁻⁷ of each, are independent of each other; a sum in float64 would convert the matrix first.
    norm: Tensor = torch.linalg.vector_norm(torch.linalg.vector_norm(matrix, dim=1), dtype=torch.float64)
    return norm if _LEAST < norm < _MOST else None


def frobenius_norm(matrix: Tensor) -> Tensor:
    """``‖matrix‖_F``: a scalar tensor in float64."""
    norm = _norm_by_rows(matrix)
    if norm is None:
        norms = [torch.linalg.vector_norm(piece, dtype=torch.float64) for piece in _pieces(matrix)]
        norm = torch.linalg.vector_norm(torch.stack(norms))
    return norm


def frobenius_product(left: Tensor, right: Tensor) -> Tensor:
    """``⟨left, right⟩`` of matrices of the same shape: a scalar tensor in float64."""
    pieces = zip(_pieces(left), _pieces(right), strict=True)
    if _norm_by_rows(left) is None or _norm_by_rows(right) is None:
        parts = [torch.sum(x.double() * y.double()) for x, y in pieces]
    else:
        parts = [torch.sum(x * y, 1).sum(dtype=torch.float64) for x, y in pieces]
    return torch.stack(parts).sum()


def frobenius_cosine(left: Tensor, right: Tensor) -> Tensor:
    """``⟨left, right⟩ / (‖left‖ ‖right‖)`` of matrices of the same shape, 0 if one vanishes: a scalar in float64."""
    lengths = frobenius_norm(left) * frobenius_norm(right)
    return torch.where(lengths > 0, frobenius_product(left, right) / lengths, 0.0)
