from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ngbench.curvature.linalg.eigen import symmetric_eigen

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


@given(st.lists(st.booleans(), min_size=1, max_size=12), st.booleans())
def test_rows_of_zeros_are_eigenvectors_of_their_own(live, definite):
    mask = torch.tensor(live)
    part = torch.randn(len(live), len(live), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    matrix = (part @ part.T if definite else part + part.T) * torch.outer(mask, mask)
    _check(matrix, 1e-12)
    vectors = symmetric_eigen(matrix)[1]
    for row in vectors[~mask]:
        assert torch.equal(row.sort(descending=True).values, torch.eye(len(live), dtype=torch.float64)[0])
    assert torch.equal(vectors[mask].any(0), ~vectors[~mask].any(0)) or not (~mask).any()


def test_vectors_do_not_fade_into_subnormal_numbers_where_rows_are_zero():
    matrix = torch.zeros(200, 200)
    part = torch.randn(60, 100, generator=torch.Generator().manual_seed(0))
    matrix[::2, ::2] = part.T @ part
    vectors = symmetric_eigen(matrix)[1]
    assert vectors[vectors != 0].abs().min() > 1e-12


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
