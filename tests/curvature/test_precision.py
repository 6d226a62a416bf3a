from __future__ import annotations

import torch

from ngbench.curvature.linalg.precision import converted, statistics_dtype


def test_statistics_have_at_least_single_precision() -> None:
    assert statistics_dtype(torch.bfloat16) is statistics_dtype(torch.float16) is torch.float32
    assert statistics_dtype(torch.float64) is torch.float64


def test_only_tensors_of_the_source_type_are_converted() -> None:
    state = {"a": [torch.ones(2), (torch.ones(1, dtype=torch.float64), 3, "x")], 0: torch.ones(1, dtype=torch.uint8)}
    found = converted(state, torch.float32, torch.float64)
    assert found["a"][0].dtype is found["a"][1][0].dtype is torch.float64
    assert found["a"][1][1:] == (3, "x")
    assert found[0].dtype is torch.uint8
