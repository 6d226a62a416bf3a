from __future__ import annotations

import pytest
import torch

from ngbench.curvature.eigen import symmetric_eigen

GENUINE = torch.linalg.eigh


def _check(matrix, tolerance):
    values, vectors = symmetric_eigen(matrix)
    assert values.dtype == vectors.dtype == matrix.dtype
    assert (vectors @ torch.diag(values) @ vectors.T - matrix).norm() <= tolerance * matrix.norm()
    assert (vectors.T @ vectors - torch.eye(len(matrix))).norm() <= tolerance * len(matrix)
    assert values.equal(values.sort().values)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1, 7, 60])
def test_values_and_vectors_are_those_of_the_matrix(dtype, size):
    matrix = torch.randn(size, size, dtype=dtype, generator=torch.Generator().manual_seed(0)) * 1e-6
    _check(matrix + matrix.T, 1e-5)
    _check(torch.zeros_like(matrix), 1e-6)


@pytest.mark.parametrize("failure", ["nan", "raise"])
def test_what_fails_in_float32_is_done_in_float64(failure, monkeypatch):
    def failing(matrix):
        values, vectors = GENUINE(matrix)
        if matrix.dtype == torch.float64:
            return values, vectors
        if failure == "raise":
            raise torch.linalg.LinAlgError("linalg.eigh: The algorithm failed to converge")
        return values, vectors * torch.nan

    monkeypatch.setattr(torch.linalg, "eigh", failing)
    matrix = torch.randn(20, 20, generator=torch.Generator().manual_seed(0))
    _check(matrix + matrix.T, 1e-5)


def test_small_matrices_of_low_rank_have_finite_vectors():
    # As in the second products of a network: rank and scale as when LAPACK in float32 returns NaN.
    generator = torch.Generator().manual_seed(0)
    for scale in (1e-4, 1e-8, 1e-12):
        for size in (51, 101, 201):
            root = torch.randn(size, 4, generator=generator)
            _check((root @ torch.diag(torch.tensor([1.0, -1.0, 1e-3, 1e-6])) @ root.T) * scale, 1e-5)
