from __future__ import annotations

import pytest
import torch

from ngbench.curvature.blocks.moments import homogeneous_second_moment
from ngbench.curvature.linalg import low_rank
from ngbench.curvature.linalg.low_rank import most_columns, null_vector, range_of
from ngbench.curvature.linalg.norms import frobenius_norm

N = 600


def _moment(samples, weights=None):
    weights = torch.ones(len(samples), dtype=samples.dtype) if weights is None else weights
    return (samples.T * weights) @ samples


def _samples(rank, seed, n=N):
    return torch.randn(rank, n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _tolerances(matrices):
    return [16 * torch.finfo(m.dtype).eps * float(frobenius_norm(m)) for m in matrices]


def _check(found, matrices):
    q = found.basis
    assert (q.T @ q - torch.eye(q.shape[1]).to(q)).abs().max() < 1e-13
    for matrix, core in zip(matrices, found.cores, strict=True):
        assert torch.equal(core, core.T)
        assert (q @ core @ q.T - matrix).norm() <= 1e-13 * matrix.norm() + 1e-300


@pytest.mark.parametrize("rank", [1, 7, 90])
def test_the_basis_contains_the_range_of_a_semi_definite_and_of_an_indefinite_matrix(rank):
    samples = _samples(rank, 0)
    signs = torch.where(torch.arange(rank) % 2 == 0, 1.0, -1.0).double()
    matrices = [_moment(samples), _moment(samples, signs)]
    found = range_of(matrices, _tolerances(matrices), 100)
    _check(found, matrices)
    assert found.basis.shape[1] <= rank + 8


def test_the_basis_contains_ranges_that_differ():
    matrices = [_moment(_samples(20, 0)), 1e-6 * _moment(_samples(20, 1))]
    found = range_of(matrices, _tolerances(matrices), 60)
    _check(found, matrices)
    assert 40 <= found.basis.shape[1] <= 76


def test_a_rank_above_the_largest_of_use_has_no_basis():
    matrix = _moment(_samples(30, 0))
    assert range_of([matrix], _tolerances([matrix]), 30) is not None
    assert range_of([matrix], _tolerances([matrix]), 20) is None
    pair = [matrix, _moment(_samples(30, 1))]
    assert range_of(pair, _tolerances(pair), 30) is None


@pytest.mark.parametrize("most", [20, 40])
def test_a_range_of_few_rows_that_a_sample_of_rows_misses_is_found_or_refused(most):
    matrix = _moment(_samples(5, 0))
    rows = torch.arange(0, N, 21)
    matrix[rows, rows] += 1e-3 * matrix.diagonal().mean()
    assert len(rows) == 29
    found = range_of([matrix], _tolerances([matrix]), most)
    if most < 34:
        assert found is None
    else:
        _check(found, [matrix])


def test_what_is_below_the_tolerance_is_left_out():
    samples = _samples(40, 0)
    weights = torch.cat([torch.ones(10), torch.full((30,), 1e-9)]).double()
    matrix = _moment(samples, weights)
    assert range_of([matrix], _tolerances([matrix]), 20) is None
    found = range_of([matrix], [1e-6 * float(frobenius_norm(matrix))], 20)
    assert found.basis.shape[1] <= 20
    remainder = matrix - found.basis @ (found.basis.T @ matrix)
    assert remainder.norm() <= 2e-6 * matrix.norm()


def test_zeros_have_a_basis_of_some_directions():
    zeros = torch.zeros(N, N)
    found = range_of([zeros], [1e-6], 20)
    assert (found.basis.T @ found.basis - torch.eye(found.basis.shape[1])).abs().max() < 1e-6
    assert not found.cores[0].any()


def test_rounding_errors_in_float32_do_not_grow_with_the_width():
    generator = torch.Generator().manual_seed(0)
    samples = torch.randn(4, 512, generator=generator).relu().repeat_interleave(12, 1)
    matrix = homogeneous_second_moment(samples, constant=True)
    (tolerance,) = _tolerances([matrix])
    found = range_of([matrix], [tolerance], 100)
    q = found.basis
    remainder = torch.linalg.vector_norm(matrix - q @ (q.T.double() @ matrix.double()).float())
    assert remainder <= 6 / 16 * tolerance


def test_a_basis_pays_up_to_a_rank_that_grows_with_what_it_saves():
    # A quarter of n³ operations, 6 n² of them a column.
    assert most_columns(24000, 1, 1.0) == 1000
    assert most_columns(24000, 2, 1.0) == 500
    # Beyond a quarter of the width the products with a gradient would cost more.
    assert most_columns(24000, 2, 12.0) == 6000


def test_a_vector_outside_of_the_range_is_an_eigenvector_of_zero(monkeypatch):
    matrix = _moment(_samples(7, 0))
    assert null_vector(matrix) is None
    monkeypatch.setattr(low_rank, "WIDE", N)
    vector = null_vector(matrix)
    assert float(vector.norm()) == pytest.approx(1, abs=1e-14)
    assert (matrix @ vector).norm() <= 1e-13 * matrix.norm()
    assert null_vector(_moment(_samples(N, 0))) is None
    assert null_vector(matrix * torch.nan) is None
    assert float(null_vector(torch.zeros(N, N)).norm()) == pytest.approx(1, abs=1e-6)
