from __future__ import annotations

import pytest
import torch

from ngbench.curvature.norms import frobenius_norm, frobenius_product


@pytest.mark.parametrize("rows", [3, 900])
def test_norms_and_products_are_those_of_the_whole_matrices_in_float64(rows):
    generator = torch.Generator().manual_seed(0)
    # 900 rows of this width are several pieces.
    x, y = torch.randn(2, rows, 9000, generator=generator)
    norm, product = frobenius_norm(x), frobenius_product(x, y)
    assert norm.dtype == product.dtype == torch.float64
    assert float(norm) == pytest.approx(float(x.double().norm()), rel=1e-12)
    assert float(product) == pytest.approx(float(torch.sum(x.double() * y.double())), abs=1e-6 * float(norm))
