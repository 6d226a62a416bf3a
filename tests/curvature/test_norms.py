from __future__ import annotations

import pytest
import torch

from ngbench.curvature.linalg.norms import frobenius_cosine, frobenius_norm, frobenius_product

# Squares of the first vanish in float32, those of the last overflow.
SIZES = [1e-30, 1e-10, 1.0, 1e10, 1e25]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("rows", [3, 900])
def test_norms_products_and_cosines_are_those_of_the_whole_matrices_in_float64(rows, size, dtype):
    generator = torch.Generator().manual_seed(0)
    # 900 rows of this width are several pieces.
    x, y = torch.randn(2, rows, 9000, generator=generator).to(dtype) * size
    y = x + y
    norm, cosine = frobenius_norm(x), frobenius_cosine(x, y)
    assert norm.dtype == cosine.dtype == torch.float64
    assert float(norm) == pytest.approx(float(x.double().norm()), rel=1e-6)
    lengths = x.double().norm() * y.double().norm()
    exact = torch.sum(x.double() * y.double())
    assert float(cosine) == pytest.approx(float(exact / lengths), rel=1e-6)
    assert float(frobenius_product(x, y)) == pytest.approx(float(exact), abs=1e-6 * float(lengths))


def test_nothing_has_no_direction():
    zero, one = torch.zeros(3, 3), torch.ones(3, 3)
    assert frobenius_norm(zero) == 0
    assert frobenius_product(zero, one) == 0
    assert frobenius_cosine(zero, one) == 0
    assert torch.isnan(frobenius_norm(one * torch.nan))
