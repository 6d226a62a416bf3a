from __future__ import annotations

import math

import pytest
import torch

from ngbench.curvature.blocks.linear import LinearBlock
from ngbench.curvature.kronecker import discrepancy
from ngbench.curvature.kronecker.approximations import deflation, kfac, kfac_corrected, kpsvd
from ngbench.curvature.kronecker.discrepancy import Reference
from ngbench.curvature.kronecker.sums import KroneckerSum
from ngbench.curvature.linalg import largest

APPROXIMATIONS = {"kfac": kfac, "kpsvd": kpsvd, "deflation": deflation, "kfac-corrected": kfac_corrected}


def _block(examples: int, d_in: int = 5, d_out: int = 4, columns: int = 1) -> LinearBlock:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(examples, d_in, dtype=torch.float64, generator=generator) + 1
    derivatives = torch.randn(columns * examples, d_out, dtype=torch.float64, generator=generator)
    return LinearBlock(inputs, derivatives * inputs.repeat(columns, 1).norm(dim=1, keepdim=True), constant=True)


def _dense_errors(block, approximation):
    f, f_hat = block.dense(), approximation.dense()
    spectra = [torch.linalg.eigvalsh(m) for m in (f, f_hat)]
    return (f - f_hat).norm() / f.norm(), (spectra[0] - spectra[1]).norm() / spectra[0].norm()


@pytest.mark.parametrize("examples", [3, 40], ids=["fewer-examples-than-weights", "more"])
@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize("name", APPROXIMATIONS)
def test_errors_equal_those_of_the_dense_matrices(examples, columns, name):
    block = _block(examples, columns=columns)
    value = APPROXIMATIONS[name](block, None).value
    error_1, error_2 = _dense_errors(block, value)
    reference = Reference(block)
    assert reference.error_1(value) == pytest.approx(float(error_1), abs=1e-7)
    assert reference.error_2(value) == pytest.approx(float(error_2), abs=1e-5)


@pytest.mark.parametrize("name", APPROXIMATIONS)
def test_errors_of_a_large_block_need_some_eigenvalues_only(name, monkeypatch):
    monkeypatch.setattr(largest, "_DENSE_ORDER", 10)
    monkeypatch.setattr(discrepancy, "_FIRST_EIGENVALUES", 4)
    block = _block(12, d_in=20, d_out=15)
    value = APPROXIMATIONS[name](block, None).value
    error_1, error_2 = _dense_errors(block, value)
    reference = Reference(block)
    assert reference.error_1(value) == pytest.approx(float(error_1), abs=1e-7)
    assert reference.error_2(value) == pytest.approx(float(error_2), rel=2e-3, abs=2e-5)


def test_the_tail_of_a_spectrum_is_bounded_and_not_ignored(monkeypatch):
    monkeypatch.setattr(largest, "_DENSE_ORDER", 10)
    monkeypatch.setattr(discrepancy, "_FIRST_EIGENVALUES", 1)
    block = _block(30, d_in=20, d_out=15)
    flat = KroneckerSum(((torch.eye(21).double(), torch.eye(15).double()),))
    assert Reference(block).error_2(flat) == pytest.approx(float(_dense_errors(block, flat)[1]), rel=1e-3)


def test_the_largest_eigenvalues_of_an_indefinite_sum_are_the_algebraically_largest(monkeypatch):
    monkeypatch.setattr(largest, "_DENSE_ORDER", 10)
    torch.manual_seed(0)
    factors = [torch.randn(n, n, dtype=torch.float64) for n in (9, 8, 9, 8)]
    a, g, c, d = (factor + factor.T for factor in factors)
    total = KroneckerSum(((a @ a, g @ g), (c, d)))
    expected = torch.linalg.eigvalsh(total.dense()).flip(0)[:7]
    torch.testing.assert_close(total.largest_eigenvalues(7), expected)


@pytest.mark.parametrize("dense_order", [10, 1500], ids=["by-iteration", "dense"])
@pytest.mark.parametrize("count", [3, 40, 72])
def test_factors_of_low_rank_leave_zeros_in_the_spectrum_and_need_no_large_iteration(dense_order, count, monkeypatch):
    monkeypatch.setattr(largest, "_DENSE_ORDER", dense_order)
    orders = []
    found = largest.largest_eigenvalues

    def watched(times, dense, start, count):
        orders.append(start.shape[1])
        return found(times, dense, start, count)

    monkeypatch.setattr(largest, "largest_eigenvalues", watched)
    torch.manual_seed(0)
    tall, wide = torch.randn(9, 4, dtype=torch.float64), torch.randn(8, 5, dtype=torch.float64)
    signs = torch.diag(torch.tensor([1.0, -1, 1, -1, 1], dtype=torch.float64))
    total = KroneckerSum(((tall @ tall.T, wide @ wide.T), (tall @ tall.T * 0.5, wide @ signs @ wide.T)))
    expected = torch.linalg.eigvalsh(total.dense()).flip(0)
    top = total.largest_eigenvalues(count)
    assert len(top) >= count
    torch.testing.assert_close(top, expected[: len(top)], atol=1e-9, rtol=1e-9)
    assert orders == [4]


def test_a_block_that_vanishes_has_no_relative_error():
    block = LinearBlock(torch.zeros(3, 2).double(), torch.zeros(3, 2).double(), constant=True)
    value = kfac(block).value
    assert math.isnan(Reference(block).error_1(value))
    assert math.isnan(Reference(block).error_2(value))


def test_an_approximation_that_is_not_finite_is_an_error():
    nan = torch.full((3, 3), math.nan, dtype=torch.float64)
    with pytest.raises(FloatingPointError, match="NaN or infinite"):
        KroneckerSum(((nan, nan),)).largest_eigenvalues(2)


def test_torch_keeps_to_one_thread_while_another_library_iterates(monkeypatch):
    monkeypatch.setattr(largest, "_DENSE_ORDER", 0)
    seen = []

    def fail(*arguments, **options):
        seen.append(torch.get_num_threads())
        raise KeyboardInterrupt

    monkeypatch.setattr(largest, "eigsh", fail)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(KeyboardInterrupt):
            deflation(_block(20), None).value.largest_eigenvalues(2)
        assert (seen, torch.get_num_threads()) == ([1], 2)
    finally:
        torch.set_num_threads(threads)
