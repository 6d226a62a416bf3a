"""What dense linear algebra costs beside torch's own functions for the same thing, on the CPU.

``pytest tests/benchmarks/test_linear_algebra.py --benchmark-enable -s`` prints the ratios: medians over rounds, each of
which takes ours right after torch's.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch

from ngbench.curvature.linalg.cholesky import cholesky
from ngbench.curvature.linalg.norms import frobenius_norm

ROUNDS = 41

PAIRS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "Cholesky factor": (torch.linalg.cholesky_ex, cholesky),
    "norm in float64": (lambda matrix: torch.linalg.vector_norm(matrix, dtype=torch.float64), frobenius_norm),
}


def _seconds(function: Callable[..., Any], matrix: torch.Tensor) -> float:
    start = time.perf_counter()
    function(matrix)
    return time.perf_counter() - start


@pytest.mark.parametrize("name", PAIRS)
def test_time_beside_that_of_torch(benchmark, name, capsys):
    theirs, ours = PAIRS[name]
    for size in (16,) if benchmark.disabled else (500, 512, 1000, 1024):
        part = torch.randn(size, 2 * size, generator=torch.Generator().manual_seed(0))
        matrix = part @ part.T / size + torch.eye(size)
        ratios = [
            1 / _seconds(theirs, matrix) * _seconds(ours, matrix) for _ in range(1 if benchmark.disabled else ROUNDS)
        ]
        benchmark.extra_info[str(size)] = statistics.median(ratios)
        if not benchmark.disabled:
            with capsys.disabled():
                print(f"\n{name}, {size} rows: {statistics.median(ratios):.2f} of torch's time", end="")
    benchmark.pedantic(ours, (matrix,), rounds=1)
