"""An orthonormal basis of what symmetric matrices of low rank reach, by a randomised range finder.

A factor that was estimated from few samples, or whose inputs repeat each other, is n wide and of rank r ≪ n. The basis
is found with ``O(n² r)`` operations (Halko, Martinsson and Tropp, *Finding structure with randomness*, 2011, algorithm
4.2, with the basis extended until the remainder is small, as in Martinsson and Voronin 2016), and checked against the
matrices themselves: a random sketch only proposes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ngbench.curvature.linalg.lower import symmetric_part
from ngbench.curvature.linalg.norms import frobenius_norm

__all__ = ["ROUNDING", "WIDE", "Subspace", "most_columns", "null_vector", "range_of"]

WIDE = 2048
"""Below this width the dense factorisations take less than the passes over the matrices that could save them."""

ROUNDING = 16
"""What a matrix of statistics has outside its range, in units of ``ε ‖A‖_F``, is taken for rounding errors."""

# A basis is not looked for where it would cost more than this share of what it saves.
_SHARE = 0.25
# Operations of a diagonalisation in units of n³ (Golub and Van Loan, section 8.3).
_EIGEN_CUBES = 9.0
_OVERSAMPLING = 8
_FIRST_SAMPLE = 128
# So many rows of a matrix at a time are multiplied in its precision, and what they give is added up in float64: the
# rounding errors of whole columns would pass for a part of the range.
_PIECE_ROWS = 512


class Subspace:
    """A subspace that contains the ranges of some symmetric matrices but for rounding.

    Attributes:
        basis: Q ``(n, r)``, orthonormal columns.
        cores: ``QᵀMQ`` ``(r, r)`` of each matrix M, so that ``M = Q (QᵀMQ) Qᵀ``.
    """

    def __init__(self, basis: Tensor, cores: Sequence[Tensor]) -> None:
        self.basis = basis
        self.cores = list(cores)


def most_columns(width: int, matrices: int, dense_cubes: float) -> int:
    """The largest rank for which a basis pays.

    Args:
        width: n.
        matrices: how many share the basis.
        dense_cubes: operations of the dense route, in units of n³.
    """
    # A sketch, a projection and a check: 2n²r operations each for every matrix.
    return int(min(width / 4, _SHARE * dense_cubes * width / (6 * matrices)))


def range_of(matrices: Sequence[Tensor], tolerances: Sequence[float], most: int) -> Subspace | None:
    """A basis that contains the ranges of symmetric matrices, of any sign.

    Args:
        matrices: finite, of shape ``(n, n)`` each.
        tolerances: > 0; ``‖M − QQᵀM‖_F`` is at most twice as large for each of them.
        most: the largest rank that is of use.

    Returns:
        None where the matrices have a larger rank.
    """
    n = len(matrices[0])
    ranks = [_sampled_rank(matrix, tolerance, most) for matrix, tolerance in zip(matrices, tolerances, strict=True)]
    if any(rank > most for rank in ranks):
        return None
    # Drawn on the host, so that every device starts alike.
    generator = torch.Generator().manual_seed(0)
    basis = matrices[0].new_empty(n, 0, dtype=torch.float64)
    limit = min(most + 2 * _OVERSAMPLING, n)
    while basis.shape[1] < limit:
        wanted = max(basis.shape[1] // 4, 0 if basis.shape[1] else max(ranks)) + _OVERSAMPLING
        columns = min(wanted, limit - basis.shape[1])
        sketch = basis.new_zeros(n, columns)
        for matrix, tolerance in zip(matrices, tolerances, strict=True):
            draws = torch.randn(n, columns, generator=generator).to(matrix)
            sketch = sketch.add(_product(matrix, draws), alpha=1 / tolerance)
        sketch = _without(sketch, basis)
        # Independent standard normal columns have images whose mean square is ‖(I − QQᵀ)M‖². They carry rounding errors
        # of their own: what is near the tolerance is for the check to decide.
        remainder = float(torch.linalg.vector_norm(sketch)) / columns**0.5
        if basis.shape[1] and remainder <= 4 * len(matrices) ** 0.5:
            found = _projected(matrices, tolerances, basis.to(matrices[0].dtype))
            if found is not None:
                return found
        basis = torch.cat([basis, _orthonormal(sketch, basis)], 1)
    return None


def null_vector(matrix: Tensor) -> Tensor | None:
    """A unit vector ``(n,)`` outside the range of a wide positive semi-definite matrix of low rank.

    It is an eigenvector of the smallest eigenvalue, 0. A diagonalisation returns any vector of the same eigenspace;
    here it is the part outside the range of the unit vector that has most of it there.

    Returns:
        None where the matrix is not wide, its rank is not low, or it contains NaN or infinite values.
    """
    if len(matrix) < WIDE:
        return None
    tolerance = ROUNDING * torch.finfo(matrix.dtype).eps * float(frobenius_norm(matrix))
    if not tolerance < torch.inf:
        return None
    tolerance = max(tolerance, torch.finfo(torch.float64).tiny)
    found = range_of([matrix], [tolerance], most_columns(len(matrix), 1, _EIGEN_CUBES))
    if found is None:
        return None
    basis = found.basis.double()
    unit = torch.zeros_like(basis[:, :1])
    unit[basis.square().sum(1).argmin()] = 1
    outside = _without(unit, basis).squeeze(1)
    return outside.div(outside.norm()).to(matrix.dtype)


def _sampled_rank(matrix: Tensor, tolerance: float, most: int) -> int:
    """How many singular values of a principal submatrix exceed the tolerance: at most as many as of the matrix.

    The submatrix is of rows drawn at random, enough of them that at least half of its singular values do not, or that
    more than ``most`` do.
    """
    n = len(matrix)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0)).to(matrix.device)
    size = min(_FIRST_SAMPLE, n)
    while True:
        rows = order[:size]
        values = torch.linalg.eigvalsh(matrix[rows.unsqueeze(1), rows].double())
        rank = int((values.abs() > tolerance).sum())
        if rank > most or 2 * rank <= size or size == n:
            return rank
        size = min(2 * size, n)


def _without(columns: Tensor, basis: Tensor) -> Tensor:
    """``(I − QQᵀ) columns``, twice: the first time leaves rounding errors of what it takes away."""
    for _ in range(2):
        columns = columns - basis @ (basis.T @ columns)
    return columns


def _orthonormal(columns: Tensor, basis: Tensor) -> Tensor:
    """An orthonormal basis of ``columns``, orthogonal to ``basis``."""
    columns = torch.linalg.qr(columns).Q
    # Columns that are nearly dependent leave directions made of rounding errors, which need not be orthogonal to Q.
    return torch.linalg.qr(_without(columns, basis)).Q if basis.shape[1] else columns


def _projected(matrices: Sequence[Tensor], tolerances: Sequence[float], basis: Tensor) -> Subspace | None:
    """What the basis makes of the matrices, if it contains their ranges."""
    cores = []
    for matrix, tolerance in zip(matrices, tolerances, strict=True):
        exact = _product(matrix, basis)
        image = exact.to(basis.dtype)
        # One buffer: an allocation a piece leaves the heap with holes as large as the matrix.
        buffer = matrix.new_empty(_PIECE_ROWS, len(matrix))
        norms = [
            torch.linalg.vector_norm(torch.addmm(rows, basis[part], image.T, alpha=-1, out=buffer[: len(rows)]))
            for part, rows in _pieces(matrix)
        ]
        remainder = float(torch.linalg.vector_norm(torch.stack(norms).double()))
        if not remainder <= 2 * tolerance:
            return None
        cores.append(symmetric_part(basis.double().T @ exact).to(basis.dtype))
    return Subspace(basis, cores)


def _product(matrix: Tensor, columns: Tensor) -> Tensor:
    """``matrix @ columns`` for a symmetric matrix, in float64."""
    total = torch.zeros_like(columns, dtype=torch.float64)
    for part, rows in _pieces(matrix):
        total += rows.T @ columns[part]
    return total


def _pieces(matrix: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Rows of a matrix, some at a time."""
    for start in range(0, len(matrix), _PIECE_ROWS):
        part = slice(start, start + _PIECE_ROWS)
        yield part, matrix[part]
