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


def _norm(matrix: Tensor) -> tuple[Tensor, bool]:
    """The norm, and whether sums along rows may be made in float32."""
    if matrix.numel() >= _WIDE and matrix.device.type == "cpu" and matrix.dtype == torch.float32:
        # The errors of rows, 10⁻⁷ of each, are independent of each other. Here a sum in float64 converts beforehand.
        norm: Tensor = torch.linalg.vector_norm(torch.linalg.vector_norm(matrix, dim=1), dtype=torch.float64)
        if _LEAST < norm < _MOST:
            return norm, True
    norms = torch.stack([torch.linalg.vector_norm(piece, dtype=torch.float64) for piece in _pieces(matrix)])
    return torch.linalg.vector_norm(norms), False


def frobenius_norm(matrix: Tensor) -> Tensor:
    """``‖matrix‖_F``: a scalar tensor in float64."""
    return _norm(matrix)[0]


def _product(left: Tensor, right: Tensor, by_rows: bool) -> Tensor:
    pieces = zip(_pieces(left), _pieces(right), strict=True)
    if by_rows:
        parts = [torch.sum(x * y, 1).sum(dtype=torch.float64) for x, y in pieces]
    else:
        parts = [torch.sum(x.double() * y.double()) for x, y in pieces]
    return torch.stack(parts).sum()


def frobenius_product(left: Tensor, right: Tensor) -> Tensor:
    """``⟨left, right⟩`` of matrices of the same shape: a scalar tensor in float64."""
    return _product(left, right, _norm(left)[1] and _norm(right)[1])


def frobenius_cosine(left: Tensor, right: Tensor) -> Tensor:
    """``⟨left, right⟩ / (‖left‖ ‖right‖)`` of matrices of the same shape, 0 if one vanishes: a scalar in float64."""
    (left_norm, by_rows), (right_norm, too) = _norm(left), _norm(right)
    lengths = left_norm * right_norm
    return torch.where(lengths > 0, _product(left, right, by_rows and too) / lengths, 0.0)
