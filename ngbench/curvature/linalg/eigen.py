"""Eigenvalues and eigenvectors of symmetric matrices, dependably."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["symmetric_eigen"]


def symmetric_eigen(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues in ascending order ``(d,)``, and eigenvectors ``(d, d)``, of a finite symmetric matrix.

    Rows of zeros, as inputs that are always zero and units that are dead leave in a factor, are set aside: each is an
    eigenvector of its own, and without them the others do not fade out there into subnormal numbers, with which matrix
    products take ten times as long on many processors.

    In float32, LAPACK's divide and conquer may fail on a small nearly singular matrix, and even return NaN without a
    word, because products of its tiny eigenvalues underflow. So the matrix is brought to a largest entry of 1, and
    what fails nevertheless is done again in float64.

    Raises:
        RuntimeError: it fails in float64 too.
    """
    live = matrix.any(0)
    if live.all() or not live.any():
        return _eigen(matrix)
    values, vectors = _eigen(matrix[live][:, live])
    values, order = torch.cat([values, values.new_zeros(len(matrix) - len(values))]).sort(stable=True)
    # The identity's rows, those of the others first.
    basis = torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)[(~live).sort(stable=True).indices]
    basis[: len(vectors)] = 0
    basis[: len(vectors), live] = vectors.T
    return values, basis[order].T


def _eigen(matrix: Tensor) -> tuple[Tensor, Tensor]:
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
