"""Eigenvalues and eigenvectors of symmetric matrices, dependably."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["symmetric_eigen"]


def symmetric_eigen(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues in ascending order ``(d,)``, and eigenvectors ``(d, d)``, of a finite symmetric matrix.

    In float32, LAPACK's divide and conquer may fail on a small nearly singular matrix, and even return NaN without a
    word, because products of its tiny eigenvalues underflow. So the matrix is brought to a largest entry of 1, and
    what fails nevertheless is done again in float64.

    Raises:
        RuntimeError: it fails in float64 too.
    """
    scale = matrix.abs().max()
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    try:
        values, vectors = torch.linalg.eigh(matrix / scale)
    except RuntimeError:
        if matrix.dtype == torch.float64:
            raise
        values = matrix.new_full((1,), torch.nan)
    if not (values.isfinite().all() and vectors.isfinite().all()):
        values, vectors = torch.linalg.eigh(matrix.double() / scale)
        values, vectors = values.to(matrix.dtype), vectors.to(matrix.dtype)
    return values * scale, vectors
