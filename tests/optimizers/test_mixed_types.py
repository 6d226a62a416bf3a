"""Layers of several types in one model: each method makes the step of the same model in float64."""

from __future__ import annotations

import copy
import itertools
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from ngbench.curvature.curvatures.coarse import FIXED_SPACES, RESIDUAL_SPACES
from ngbench.curvature.likelihoods import Categorical
from ngbench.optimizers import exact, kronecker
from ngbench.optimizers.two_level import two_level

LIKELIHOOD = Categorical()
TASK = SimpleNamespace(likelihood=LIKELIHOOD)
EVERY = {"curvature_interval": 2, "inverse_interval": 2, "momentum": 0.0}
ONCE = {"curvature_interval": 2, "momentum": 0.0}

MAKERS = {
    "kfac": partial(kronecker.kfac, **EVERY),
    "kfac-normal": partial(kronecker.kfac, damping_kind="normal", **EVERY),
    "kpsvd": partial(kronecker.kpsvd, **EVERY),
    "deflation": partial(kronecker.deflation, **EVERY),
    "deflation-3": partial(kronecker.deflation, rank=3, **EVERY),
    "lanczos": partial(kronecker.lanczos, **EVERY),
    "kfac-corrected": partial(kronecker.kfac_corrected, **EVERY),
    **{
        f"two-level-{space}": partial(two_level, coarse_space=space, **EVERY)
        for space in (*FIXED_SPACES, *RESIDUAL_SPACES, "taylor", "previous")
    },
    "two-level-spectral-deflation": partial(two_level, coarse_space="spectral", approximation="deflation", **EVERY),
    "exact-ng": partial(exact.exact_ng, **ONCE),
    "exact-ng-formed": partial(exact.exact_ng, defer_gradients=False, **ONCE),
    "exact-ng-empirical": partial(exact.exact_ng, **ONCE),
    "block-diagonal-ng": partial(exact.block_diagonal_ng, **ONCE),
    "block-diagonal-ng-factored": partial(exact.block_diagonal_ng, damping_kind="factored", **ONCE),
}
# How far a step may be off by the rounding of the narrower type.
TOLERANCES = {
    (torch.float64, torch.float32): 1e-3,
    (torch.float32, torch.float64): 1e-3,
    (torch.bfloat16, torch.float32): 0.1,
    (torch.float32, torch.bfloat16): 0.1,
    (torch.float64, torch.bfloat16): 0.1,
}


class _Mixed(nn.Module):
    def __init__(self, first: torch.dtype, second: torch.dtype) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Linear(4, 5).bfloat16().to(first)
        self.head = nn.Linear(5, 3).bfloat16().to(second)

    def forward(self, inputs):
        hidden = torch.tanh(self.body(inputs.to(self.body.weight.dtype)))
        return self.head(hidden.to(self.head.weight.dtype))


def _step(model, optimizer, number):
    generator = torch.Generator().manual_seed(number)
    inputs, targets = torch.randn(12, 4, generator=generator), torch.randint(3, (12,), generator=generator)
    optimizer.zero_grad()
    LIKELIHOOD.loss(model(inputs), targets).backward()
    optimizer.step()
    return [parameter.detach().double() for parameter in model.parameters()]


def _make(name, model, **options):
    fisher = "empirical" if "empirical" in name else "exact"
    return MAKERS[name](model, TASK, lr=1.0, damping=0.1, fisher=fisher, **options)


@pytest.mark.parametrize("clip", [None, 1e-2])
@pytest.mark.parametrize("types", TOLERANCES, ids=lambda types: "-".join(str(one)[6:] for one in types))
@pytest.mark.parametrize("name", MAKERS)
def test_a_step_is_that_of_the_model_in_float64(name, types, clip):
    right, model = _Mixed(torch.float64, torch.float64), _Mixed(*types)
    reference, optimizer = _make(name, right, kl_clip=clip), _make(name, model, kl_clip=clip)
    before = [parameter.detach().double().clone() for parameter in right.parameters()]
    # The second step has the curvature of the first batch.
    for number in (0, 1):
        expected, actual = _step(right, reference, number), _step(model, optimizer, number)
    for start, one, other in zip(before, expected, actual, strict=True):
        assert (other - one).norm() <= TOLERANCES[types] * (one - start).norm()
    assert [parameter.dtype for parameter in model.parameters()] == [types[0]] * 2 + [types[1]] * 2


@pytest.mark.parametrize("types", list(itertools.permutations([torch.float64, torch.float32], 2)))
@pytest.mark.parametrize("name", ["deflation-3", "two-level-nicolaides", "exact-ng", "block-diagonal-ng"])
def test_a_run_continues_bit_for_bit(name, types):
    model = _Mixed(*types)
    optimizer = _make(name, model)
    _step(model, optimizer, 0)
    saved = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    resumed = _Mixed(*types)
    continued = _make(name, resumed)
    resumed.load_state_dict(saved[0])
    continued.load_state_dict(saved[1])
    for number in (1, 2):
        assert all(map(torch.equal, _step(model, optimizer, number), _step(resumed, continued, number)))


def test_a_state_of_other_mixed_types_is_refused():
    state = _make("kfac", _Mixed(torch.float64, torch.float32)).state_dict()
    with pytest.raises(ValueError, match="layers of other types than this model"):
        _make("kfac", _Mixed(torch.float32, torch.float64)).load_state_dict(state)


@pytest.mark.parametrize("name", MAKERS)
def test_a_model_may_become_one_of_another_type(name):
    ends = []
    for late in (torch.float32, torch.float64):
        model = _Mixed(torch.float32, torch.float32)
        optimizer = _make(name, model)
        for number in range(4):
            if number == 2:
                model.body.to(late)
                model.head.to(late)
            end = _step(model, optimizer, number)
        assert {parameter.dtype for parameter in model.parameters()} == {late}
        ends.append(end)
    for one, other in zip(*ends, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
