from __future__ import annotations

import pytest
import torch

from ngbench.curvature.blocks.moments import homogeneous_second_moment, second_moment


# The last is multiplied by blocks, the one before it would be with more rows.
@pytest.mark.parametrize(("rows", "width"), [(1, 1), (5, 7), (20, 300), (900, 300)])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("constant", [False, True])
def test_second_moments_are_weighted_sums_of_outer_products(rows, width, weighted, constant):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, width, dtype=torch.float64, generator=generator)
    weights = torch.randn(rows, dtype=torch.float64, generator=generator) if weighted else None
    moment = homogeneous_second_moment(x, constant=constant, weights=weights)
    whole = torch.nn.functional.pad(x, (0, 1), value=1.0) if constant else x
    expected = (whole if weights is None else whole * weights.unsqueeze(1)).T @ whole
    # Sums of n products differ by n ε of those of their sizes, however they are added up.
    sizes = (whole if weights is None else whole * weights.unsqueeze(1)).abs().T @ whole.abs()
    assert ((moment - expected).abs() <= 2 * rows * torch.finfo(x.dtype).eps * sizes).all()
    assert torch.equal(moment, moment.T)


def test_it_is_written_where_it_belongs():
    x = torch.randn(900, 300, generator=torch.Generator().manual_seed(0))
    around = torch.full((302, 303), 7.0)
    second_moment(x, out=around[1:301, 2:302])
    torch.testing.assert_close(around[1:301, 2:302], second_moment(x), rtol=1e-4, atol=900 * torch.finfo(x.dtype).eps)
    around[1:301, 2:302] = 7
    assert (around == 7).all()
