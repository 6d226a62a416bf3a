"""A run that is saved after any step and continued is the run without a break, bit for bit."""

from __future__ import annotations

import copy
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from ngbench.curvature.curvatures.exact import BlockDiagonalCurvature, ExactCurvature
from ngbench.curvature.likelihoods import Categorical
from ngbench.optimizers import exact, kronecker
from ngbench.optimizers.natural_gradient import NaturalGradient
from ngbench.optimizers.two_level import two_level

LIKELIHOOD = Categorical()
TASK = SimpleNamespace(likelihood=LIKELIHOOD)
STEPS = 8

INTERVALS = {"curvature_interval": 2, "inverse_interval": 3}
SUMS = [{}, {"damping_kind": "normal"}, {"second_term": "absolute"}, {"pi": True}]


def _plugin(function, **options):
    return lambda model: function(model, TASK, lr=0.05, seed=3, **options)


def _rare_inversions(curvature, **options):
    return lambda model: NaturalGradient(
        model, LIKELIHOOD, partial(curvature, damping=1e-2, **options), lr=0.05, seed=3, **INTERVALS
    )


MAKERS = {
    "kfac": _plugin(kronecker.kfac, **INTERVALS),
    "kfac-empirical": _plugin(kronecker.kfac, fisher="empirical", **INTERVALS),
    "kfac-exact": _plugin(kronecker.kfac, fisher="exact", curvature_fraction=0.5, **INTERVALS),
    "kfac-normal": _plugin(kronecker.kfac, damping_kind="normal", **INTERVALS),
    "kpsvd": _plugin(kronecker.kpsvd, **INTERVALS),
    **{f"deflation-{i}": _plugin(kronecker.deflation, **options, **INTERVALS) for i, options in enumerate(SUMS)},
    "deflation-rank-3": _plugin(kronecker.deflation, rank=3, **INTERVALS),
    "deflation-rank-4-normal": _plugin(kronecker.deflation, rank=4, damping_kind="normal", **INTERVALS),
    **{f"lanczos-{i}": _plugin(kronecker.lanczos, **options, **INTERVALS) for i, options in enumerate(SUMS)},
    "lanczos-rank-3": _plugin(kronecker.lanczos, rank=3, **INTERVALS),
    **{f"corrected-{i}": _plugin(kronecker.kfac_corrected, **options, **INTERVALS) for i, options in enumerate(SUMS)},
    **{
        f"two-level-{space}": _plugin(two_level, coarse_space=space, **INTERVALS)
        for space in (
            "nicolaides",
            "spectral",
            "residual",
            "krylov-nicolaides",
            "krylov-residual",
            "taylor",
            "previous",
        )
    },
    "two-level-averaged": _plugin(two_level, coarse_decay=0.5, approximation="deflation", **INTERVALS),
    "exact-ng": _plugin(exact.exact_ng, curvature_interval=3),
    "exact-ng-empirical": _plugin(exact.exact_ng, fisher="empirical", curvature_interval=3),
    "exact-ng-formed": _plugin(exact.exact_ng, defer_gradients=False, curvature_interval=3),
    "block-diagonal-ng": _plugin(exact.block_diagonal_ng, curvature_interval=3),
    "block-diagonal-ng-factored": _plugin(
        exact.block_diagonal_ng, damping_kind="factored", pi=True, curvature_interval=3
    ),
    "exact-rarely-inverted": _rare_inversions(ExactCurvature),
    "blocks-rarely-inverted": _rare_inversions(BlockDiagonalCurvature, damping_kind="factored"),
}


def _model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 2, 2), nn.Tanh(), nn.Flatten(), nn.Linear(8, 5), nn.BatchNorm1d(5), nn.Linear(5, 3, bias=False)
    )


def _step(model, optimizer, number):
    generator = torch.Generator().manual_seed(number)
    inputs = (1 + number % 3) * torch.randn(10, 1, 3, 3, generator=generator)
    targets = torch.randint(3, (10,), generator=generator)
    optimizer.zero_grad()
    LIKELIHOOD.loss(model(inputs), targets).backward()
    optimizer.step()
    return [parameter.detach().clone() for parameter in model.parameters()]


@pytest.mark.parametrize("name", MAKERS)
def test_a_run_continues_from_any_step_bit_for_bit(name):
    make = MAKERS[name]
    model = _model()
    optimizer = make(model)
    saved, visited = [], []
    for number in range(STEPS):
        saved.append(copy.deepcopy((model.state_dict(), optimizer.state_dict())))
        visited.append(_step(model, optimizer, number))
    for stop, (model_state, optimizer_state) in enumerate(saved):
        resumed = _model()
        continued = make(resumed)
        resumed.load_state_dict(model_state)
        continued.load_state_dict(optimizer_state)
        for number in range(stop, STEPS):
            parameters = _step(resumed, continued, number)
            assert all(map(torch.equal, parameters, visited[number])), f"saved before step {stop}, other at {number}"
