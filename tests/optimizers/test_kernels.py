"""Kernels of torch's are taken where they are right, and a wrong one is found out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

from ngbench.curvature.likelihoods import Categorical
from ngbench.optimizers import groups, kernels
from ngbench.optimizers.kernels import fused_sgd_is_right
from ngbench.optimizers.kronecker import kfac
from ngbench.task import Task

DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
Kernel = Callable[..., None]
sgd = kernels.sgd


def exact(parameters: list[Any], gradients: list[Any], buffers: list[Any], *, fused: bool, **options: Any) -> None:
    """The steps of operations, whichever kernel is asked for."""
    sgd(parameters, gradients, buffers, **{**options, "fused": False, "foreach": False})


def remainder(parameters: list[Any], gradients: list[Any], buffers: list[Any], *, fused: bool, **options: Any) -> None:
    """A fused kernel that moves what is left of a tensor after the last whole vector."""
    before = [parameter.clone() for parameter in parameters]
    exact(parameters, gradients, buffers, fused=fused, **options)
    if fused:
        for parameter, old in zip(parameters, before, strict=True):
            whole = parameter.numel() // 16 * 16
            parameter.view(-1)[:whole] = old.view(-1)[:whole]


def forgetful(parameters: list[Any], gradients: list[Any], buffers: list[Any], *, fused: bool, **options: Any) -> None:
    """A fused kernel that leaves the momentum as it was."""
    before = [None if buffer is None else buffer.clone() for buffer in buffers]
    exact(parameters, gradients, buffers, fused=fused, **options)
    if fused:
        for buffer, old in zip(buffers, before, strict=True):
            if buffer is not None:
                buffer.copy_(old)


def task_of(model: nn.Module) -> Task:
    return Task(lambda: model, lambda directory: None, Categorical(), 32, 1)  # type: ignore[arg-type, return-value]


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Kernel], None]]:
    def put(kernel: Kernel) -> None:
        monkeypatch.setattr(kernels, "sgd", kernel)
        monkeypatch.setattr(groups, "sgd", kernel)
        fused_sgd_is_right.cache_clear()

    yield put
    fused_sgd_is_right.cache_clear()


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_wrong_kernel_is_told_from_a_right_one(plant: Callable[[Kernel], None], dtype: torch.dtype) -> None:
    answers = []
    for kernel in (exact, remainder, forgetful):
        plant(kernel)
        answers.append(fused_sgd_is_right("cpu", dtype))
    assert answers == [True, False, False]


def test_no_kernel_is_asked_where_there_is_none(plant: Callable[[Kernel], None]) -> None:
    plant(exact)
    assert not fused_sgd_is_right("meta", torch.float32)
    assert not fused_sgd_is_right("cpu", torch.int8)


def test_a_parameter_of_integers_is_left_alone() -> None:
    model = nn.Linear(3, 2)
    codes = torch.tensor([1, 2], dtype=torch.int8)
    model.codes = nn.Parameter(codes.clone(), requires_grad=False)
    optimizer = kfac(model, task_of(model))
    Categorical().loss(model(torch.ones(4, 3)), torch.zeros(4, dtype=torch.long)).backward()
    optimizer.step()
    assert torch.equal(model.codes, codes)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_wrong_kernel_does_not_make_the_step(
    plant: Callable[[Kernel], None], dtype: torch.dtype, momentum: float
) -> None:
    ends = []
    for kernel in (exact, remainder):
        plant(kernel)
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(20, 40), nn.BatchNorm1d(40), nn.Linear(40, 10)).to(dtype)
        start = [parameter.detach().clone() for parameter in model.parameters()]
        optimizer = kfac(model, task_of(model), lr=0.5, momentum=momentum, fisher="empirical")
        inputs = torch.randn(32, 20, generator=torch.Generator().manual_seed(1))
        Categorical().loss(model(inputs.to(dtype)), torch.arange(32) % 10).backward()
        optimizer.step()
        ends.append([end.detach().double() for end in model.parameters()])
        assert all((end != old).any() for end, old in zip(model.parameters(), start, strict=True))
    for made, expected in zip(*ends, strict=True):
        torch.testing.assert_close(made, expected, rtol=8 * torch.finfo(dtype).eps, atol=8 * torch.finfo(dtype).eps)


def test_the_question_is_no_part_of_what_a_step_costs(plant: Callable[[Kernel], None]) -> None:
    asked: list[bool] = []

    def heard(*tensors: Any, fused: bool, **options: Any) -> None:
        asked.append(fused)
        exact(*tensors, fused=fused, **options)

    plant(heard)
    model = nn.Linear(3, 2)
    optimizer = kfac(model, task_of(model))
    assert asked
    asked.clear()
    Categorical().loss(model(torch.ones(4, 3)), torch.zeros(4, dtype=torch.long)).backward()
    optimizer.step()
    assert len(asked) == 1
