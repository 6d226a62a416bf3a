from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ngbench.curvature.parallel import map_layers
from ngbench.measurement.operations import Operations, count_operations


def count(action: Callable[[], object]) -> Operations:
    with count_operations() as counter:
        action()
    return counter.mark()


def positive_definite(n: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return 2 * torch.eye(n, dtype=dtype)


N = 12


@pytest.mark.parametrize(
    ("action", "flops"),
    [
        (lambda a: torch.linalg.cholesky(a), N**3 // 3),
        (lambda a: torch.linalg.cholesky_ex(a), N**3 // 3),
        (lambda a: torch.cholesky_inverse(a), 2 * N**3 // 3),
        (lambda a: torch.cholesky_solve(a[:, :5], a), 2 * N**2 * 5),
        (lambda a: torch.linalg.solve_triangular(a, a[:, :5], upper=False), N**2 * 5),
        (lambda a: torch.linalg.solve_triangular(a, a[:5], upper=False, left=False), N**2 * 5),
        (lambda a: torch.linalg.inv(a), 2 * N**3),
        (lambda a: torch.linalg.eigh(a), 9 * N**3),
        (lambda a: torch.linalg.svd(a[:, :5], full_matrices=False), 6 * N * 25 + 20 * 125),
        (lambda a: torch.linalg.qr(a[:, :6]), 2 * (2 * 36 * N - 2 * 216 // 3)),
        (lambda a: torch.linalg.solve(a, a[:, :5]), 2 * N**3 // 3 + 2 * N**2 * 5),
        (lambda a: a @ a[0], 2 * N**2),
        (lambda a: a[0] @ a[1], 2 * N),
        (lambda a: a @ a, 2 * N**3),
        (lambda a: torch.einsum("ij,kj->ik", a, a), 2 * N**3),
        (lambda a: torch.linalg.cholesky(a.expand(3, N, N).clone()), 3 * (N**3 // 3) + 0),
        (lambda a: a + a, 0),
    ],
)
def test_flops_by_their_formula(action: Callable[[Tensor], object], flops: int) -> None:
    matrix = positive_definite(N)
    assert count(lambda: action(matrix)).flops == flops


def test_flops_of_a_network_agree_with_those_of_torch_backward_included() -> None:
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Flatten(), nn.Linear(3 * 4 * 4, 5), nn.ReLU(), nn.Linear(5, 2))
    inputs = torch.randn(7, 1, 6, 6)

    def action() -> None:
        model(inputs).square().mean().backward()

    with FlopCounterMode(display=False) as counter:
        action()
    assert count(action).flops == counter.get_total_flops() > 0


KIB = 1024


@pytest.mark.parametrize(
    ("action", "moved"),
    [
        (lambda a, b: a + b, 3 * KIB),
        (lambda a, b: a.add_(b), 3 * KIB),
        (lambda a, b: a.copy_(b), 2 * KIB),
        (lambda a, b: a.zero_(), KIB),
        (lambda a, b: torch.add(a, b, out=torch.empty_like(a)), 3 * KIB),
        (lambda a, b: torch._foreach_add_([a, b], 1.0), 4 * KIB),
        (lambda a, b: a.view(-1).t().detach(), 0),
        (lambda a, b: torch.empty_like(a), 0),
        (lambda a, b: a + b[:1].expand(256), 2 * KIB + 4),
    ],
)
def test_bytes_are_what_is_read_and_written(action: Callable[[Tensor, Tensor], object], moved: int) -> None:
    a, b = torch.zeros(256), torch.zeros(256)
    assert count(lambda: action(a, b)).bytes == moved


def test_a_quarter_of_the_dtype_is_a_quarter_of_the_bytes() -> None:
    wide, narrow = torch.zeros(64, dtype=torch.float64), torch.zeros(64, dtype=torch.bfloat16)
    assert count(wide.clone).bytes == 4 * count(narrow.clone).bytes


def test_work_spread_over_threads_is_counted() -> None:
    matrices = [positive_definite(N) for _ in range(4)]
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        counted = count(
            lambda: map_layers(torch.linalg.cholesky, matrices, device=torch.device("cpu"), size=lambda m: 1)
        )
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert counted.flops == 4 * (N**3 // 3)


def test_what_is_counted_leaves_the_cores_to_others() -> None:
    with count_operations():
        assert torch.get_num_threads() == 1


def test_what_would_be_compiled_is_counted_as_it_is_written() -> None:
    product = torch.compile(lambda a, b: a @ b, fullgraph=True)
    with count_operations() as counter:
        product(torch.ones(3, 4), torch.ones(4, 5))
        assert counter.mark().flops == 2 * 3 * 4 * 5
