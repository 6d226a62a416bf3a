from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from ngbench.curvature.linalg.parallel import map_layers
from ngbench.measurement import formulas
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


@pytest.mark.parametrize(
    ("in_place", "apart"),
    [
        (lambda a: a.clone().addmm_(a, a), lambda a: a.addmm(a, a)),
        (lambda a: a[0].clone().addmv_(a, a[1]), lambda a: a[0].addmv(a, a[1])),
        (lambda a: a.clone()[None].baddbmm_(a[None], a[None]), lambda a: a[None].baddbmm(a[None], a[None])),
        (lambda a: a.addr_(a[0].clone(), a[1].clone()), lambda a: a.addr(a[0].clone(), a[1].clone())),
    ],
)
def test_a_product_in_place_counts_as_one_that_is_not(
    in_place: Callable[[Tensor], object], apart: Callable[[Tensor], object]
) -> None:
    counted = count(lambda: in_place(positive_definite(N)))
    assert counted.flops == count(lambda: apart(positive_definite(N))).flops > 0
    assert counted.unknown == 0


def test_attention_counts_its_products() -> None:
    query, key = torch.randn(2, 3, 5, 4, requires_grad=True), torch.randn(2, 3, 7, 4)
    value = torch.randn(2, 3, 7, 6)
    scores, values = 2 * 2 * 3 * 5 * 7 * 4, 2 * 2 * 3 * 5 * 7 * 6
    attend = torch.nn.functional.scaled_dot_product_attention
    assert count(lambda: attend(query, key, value)) == count(lambda: attend(query.detach(), key, value))
    assert count(lambda: attend(query, key, value)).flops == scores + values
    square = torch.randn(2, 3, 7, 4, requires_grad=True)
    counted = count(lambda: attend(square, square, square).sum().backward())
    assert counted.flops == 7 * 2 * 2 * 3 * 7 * 7 * 4
    assert counted.unknown == 0


def test_an_operator_without_a_formula_is_counted_as_unknown_by_its_name() -> None:
    matrix = positive_definite(N)
    with count_operations() as counter:
        torch.fft.fft(matrix)
        torch.linalg.matrix_exp(matrix)
        torch.fft.fft(matrix)
        matrix @ matrix
    assert counter.unknown_names == ["aten._fft_r2c", "aten.linalg_matrix_exp"]
    assert counter.mark().unknown == 3
    assert counter.mark().flops == 2 * N**3


def test_a_kernel_of_somebody_else_is_unknown() -> None:
    with torch.library._scoped_library("planted", "DEF") as library:
        library.define("twice(Tensor a) -> Tensor")
        library.impl("twice", lambda a: a * 2, "CPU")
        with count_operations() as counter:
            assert torch.ops.planted.twice(torch.ones(3)).tolist() == [2, 2, 2]
    assert counter.unknown_names == ["planted.twice"]


def test_a_formula_that_does_not_fit_the_call_leaves_it_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def changed(first: Tensor, second: Tensor, new_argument: Tensor, **more: object) -> int:
        raise NotImplementedError

    monkeypatch.setitem(flop_registry, torch.ops.aten.bmm, changed)
    formulas._formula.cache_clear()
    try:
        counted = count(lambda: torch.ones(2, 3, 3) @ torch.ones(2, 3, 3))
    finally:
        formulas._formula.cache_clear()
    assert (counted.flops, counted.unknown) == (0, 1)


def test_what_computes_no_products_is_not_unknown() -> None:
    image = torch.rand(2, 4, 8, 8, requires_grad=True)
    model = nn.Sequential(
        nn.Upsample(scale_factor=2, mode="bilinear"), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.GroupNorm(2, 4), nn.ReflectionPad2d(1), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.LayerNorm(16), nn.GELU(),
        nn.Dropout(0.5), nn.LogSoftmax(1),
    )  # fmt: skip

    def action() -> None:
        loss = nn.functional.nll_loss(model(image), torch.tensor([0, 3]))
        (loss + image.cumsum(1).sort().values.std() + image.flip(0).roll(1).amax()).backward()
        for kind in (torch.optim.Adam, torch.optim.Adagrad, torch.optim.RMSprop, torch.optim.SGD):
            kind(model.parameters(), lr=0.1).step()

    with count_operations() as counter:
        action()
    assert counter.unknown_names == []


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
