from __future__ import annotations

import pytest
import torch

from ngbench.curvature.linalg.cholesky import cholesky


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1, 60, 255, 256, 257, 512])
def test_factor_is_that_of_the_lower_triangle(size, dtype):
    part = torch.randn(size, size, dtype=dtype, generator=torch.Generator().manual_seed(0))
    matrix = part @ part.T / size + torch.eye(size, dtype=dtype)
    lower, info = cholesky(matrix.tril())
    assert not info
    assert torch.equal(lower, lower.tril())
    assert (lower @ lower.T - matrix).norm() <= 10 * torch.finfo(dtype).eps * matrix.norm()


@pytest.mark.parametrize("value", [-1.0, torch.nan])
@pytest.mark.parametrize("size", [60, 256])
def test_no_factor_where_there_is_none(size, value):
    matrix = torch.eye(size)
    matrix[size - 1, size - 1] = value
    assert cholesky(matrix)[1]


def test_no_rows():
    lower, info = cholesky(torch.zeros(0, 0))
    assert lower.shape == (0, 0)
    assert not info
