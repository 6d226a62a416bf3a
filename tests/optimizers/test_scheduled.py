"""What a loop may change between steps is in the parameter groups; and gradients that are only preconditioned."""

from __future__ import annotations

import copy
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from ngbench.curvature.curvatures.kronecker import KroneckerCurvature
from ngbench.curvature.kronecker.approximations import kfac
from ngbench.curvature.likelihoods import Categorical
from ngbench.optimizers import exact, kronecker
from ngbench.optimizers.natural_gradient import NaturalGradient
from ngbench.optimizers.two_level import two_level

LIKELIHOOD = Categorical()
TASK = SimpleNamespace(likelihood=LIKELIHOOD)

MAKERS = {
    "kfac": partial(kronecker.kfac, inverse_interval=1),
    "deflation of rank 3": partial(kronecker.deflation, inverse_interval=1, rank=3),
    "kfac, normal": partial(kronecker.kfac, inverse_interval=1, damping_kind="normal"),
    "two-level": partial(two_level, inverse_interval=1),
    "two-level with residuals": partial(two_level, inverse_interval=1, coarse_space="residual"),
    "two-level, additive": partial(two_level, inverse_interval=1, coarse_space="previous"),
    "exact-ng": exact.exact_ng,
    "block-diagonal-ng": partial(exact.block_diagonal_ng, damping_kind="factored"),
}


def _model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.BatchNorm1d(5), nn.Linear(5, 3, bias=False)).double()


def _make(name, model, **options):
    given = {"lr": 0.1, "momentum": 0.0, "kl_clip": None, "curvature_interval": 1, "seed": 3, **options}
    return MAKERS[name](model, TASK, **given)


def _backward(model, optimizer, number=0):
    generator = torch.Generator().manual_seed(number)
    inputs = torch.randn(10, 4, dtype=torch.float64, generator=generator)
    optimizer.zero_grad()
    LIKELIHOOD.loss(model(inputs), torch.randint(3, (10,), generator=generator)).backward()


def _step(model, optimizer, number=0):
    _backward(model, optimizer, number)
    optimizer.step()
    return [parameter.detach().clone() for parameter in model.parameters()]


def _set(optimizer, **values):
    for group in optimizer.param_groups:
        group.update(values)


@pytest.mark.parametrize("name", MAKERS)
def test_a_damping_in_the_groups_is_that_of_the_next_inversion(name):
    model = _model()
    optimizer = _make(name, model, damping=1e-3)
    assert optimizer.param_groups[0]["damping"] == 1e-3
    _set(optimizer, damping=0.5)
    right = _model()
    for one, other in zip(_step(model, optimizer), _step(right, _make(name, right, damping=0.5)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
    untouched = _model()
    assert not torch.allclose(model[0].weight, _step(untouched, _make(name, untouched, damping=1e-3))[0])


@pytest.mark.parametrize("space", ["nicolaides", "residual"])
def test_a_correction_has_a_damping_of_its_own_where_it_was_given_one(space):
    options = {"inverse_interval": 1, "coarse_space": space, "lr": 0.1, "kl_clip": None, "seed": 3}
    options["curvature_interval"] = 1
    model, right = _model(), _model()
    optimizer = two_level(model, TASK, damping=0.1, coarse_damping=1e-3, **options)
    _set(optimizer, coarse_damping=0.7)
    expected = _step(right, two_level(right, TASK, damping=0.1, coarse_damping=0.7, **options))
    for one, other in zip(_step(model, optimizer), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
    assert "coarse_damping" not in two_level(_model(), TASK, **options).param_groups[0]


@pytest.mark.parametrize("name", ["kfac", "two-level with residuals", "exact-ng"])
def test_a_damping_changes_nothing_before_the_next_inversion(name):
    ends = []
    for damping in (1e-2, 0.5):
        model = _model()
        intervals = {"curvature_interval": 3} | ({} if name == "exact-ng" else {"inverse_interval": 3})
        optimizer = _make(name, model, damping=1e-2, **intervals)
        ends.append([])
        for number in range(4):
            if number:
                _set(optimizer, damping=damping)
            if number == 2:
                # A state remembers which damping was inverted.
                state = copy.deepcopy(optimizer.state_dict())
                optimizer = _make(name, model, damping=0.9, **intervals)
                optimizer.load_state_dict(state)
                assert optimizer.param_groups[0]["damping"] == damping
            ends[-1].append(_step(model, optimizer, number))
    for one, other in zip(ends[0][2], ends[1][2], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
    assert not torch.allclose(ends[0][3][0], ends[1][3][0])


def test_a_scheduler_may_set_any_of_them():
    model = _model()
    optimizer = _make("kfac", model, damping=0.8)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5**step)
    seen = []
    for number in range(3):
        _step(model, optimizer, number)
        scheduler.step()
        for group in optimizer.param_groups:
            group["damping"] *= 0.5
        seen.append((optimizer.param_groups[0]["lr"], optimizer.curvature.damping.value))
    assert seen == [(0.05, 0.8), (0.025, 0.4), (0.0125, 0.2)]


def test_intervals_may_change_at_any_step():
    model = _model()
    optimizer = _make("kfac", model, inverse_interval=4, curvature_interval=4)
    refreshed = []
    for number in range(8):
        if number == 1:
            _set(optimizer, curvature_interval=2, inverse_interval=2)
        if number == 5:
            _set(optimizer, curvature_interval="once", inverse_interval=1)
        _step(model, optimizer, number)
        refreshed.append((optimizer.refreshed, optimizer.curvature.updates["0"]))
    assert refreshed == [
        (True, 1),
        (False, 1),
        (True, 2),
        (False, 2),
        (True, 3),
        (True, 3),
        (True, 3),
        (True, 3),
    ]


def test_an_estimate_that_an_interval_makes_due_is_made():
    model = _model()
    optimizer = _make("kfac", model, curvature_interval=100, inverse_interval=1)
    _step(model, optimizer)
    _set(optimizer, curvature_interval=1)
    _step(model, optimizer, 1)
    assert optimizer.curvature.updates["0"] == 2


def test_the_length_of_clipped_steps_is_in_the_groups():
    lengths = []
    for clip in (1e-6, 4e-6):
        model = _model()
        optimizer = _make("kfac", model, kl_clip=1.0)
        _set(optimizer, kl_clip=clip)
        lengths.append((_step(model, optimizer)[0] - _model()[0].weight).norm())
    torch.testing.assert_close(lengths[1], 2 * lengths[0])


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("damping", 0.0, "damping=0.0 is not allowed, it must be a number > 0"),
        ("damping", float("nan"), "damping=nan is not allowed"),
        ("damping", "0.1", "damping='0.1' is not allowed"),
        ("curvature_interval", 0, "curvature_interval=0 is not allowed, it must be an integer >= 1 or 'once'"),
        ("inverse_interval", 2.0, "inverse_interval=2.0 is not allowed"),
        ("kl_clip", -1.0, "kl_clip=-1.0 is not allowed, it must be a number > 0 or None"),
    ],
)
@pytest.mark.parametrize("kind", ["kfac", "two-level"])
def test_a_value_that_is_not_allowed_stops_the_step(kind, name, value, words):
    model = _model()
    optimizer = _make(kind, model)
    before = copy.deepcopy(model.state_dict())
    _backward(model, optimizer)
    kept = optimizer.param_groups[0][name]
    _set(optimizer, **{name: value})
    with pytest.raises(ValueError, match=words.replace("(", r"\(")):
        optimizer.step()
    for key, tensor in model.state_dict().items():
        assert "running" in key or "num" in key or torch.equal(tensor, before[key])
    _set(optimizer, **{name: kept})
    optimizer.step()


def test_groups_that_differ_in_what_they_share_are_refused():
    model = _model()
    groups = [{"params": model[0].parameters()}, {"params": model[3].parameters(), "lr": 0.0}]
    curvature = partial(KroneckerCurvature, approximation=kfac, damping=0.1)
    optimizer = NaturalGradient(model, LIKELIHOOD, curvature, params=groups)
    _step(model, optimizer)
    optimizer.param_groups[1]["damping"] = 0.2
    with pytest.raises(ValueError, match=r"damping differs between parameter groups \(0.1, 0.2\)"):
        _step(model, optimizer)
    groups = [{"params": model[0].parameters()}, {"params": model[3].parameters(), "inverse_interval": 7}]
    optimizer = NaturalGradient(model, LIKELIHOOD, curvature, params=groups)
    with pytest.raises(ValueError, match=r"inverse_interval differs between parameter groups \(1, 7\)"):
        _step(model, optimizer)


def test_a_later_group_shares_what_the_first_one_has_by_then():
    model = _model()
    curvature = partial(KroneckerCurvature, approximation=kfac, damping=0.1)
    optimizer = NaturalGradient(model, LIKELIHOOD, curvature, params=model[0].parameters(), lr=0.3)
    _set(optimizer, damping=0.2, lr=0.4)
    optimizer.add_param_group({"params": model[3].parameters()})
    assert [group["damping"] for group in optimizer.param_groups] == [0.2, 0.2]
    assert [group["lr"] for group in optimizer.param_groups] == [0.4, 0.3]
    with pytest.raises(ValueError, match=r"lr=-1\.0 is not allowed, it must be a number >= 0"):
        optimizer.add_param_group({"params": model[2].parameters(), "lr": -1.0})


@pytest.mark.parametrize("clip", [None, 1e-4])
@pytest.mark.parametrize("name", MAKERS)
def test_another_optimizer_steps_along_preconditioned_gradients(name, clip):
    model, right = _model(), _model()
    natural, whole = _make(name, model, kl_clip=clip), _make(name, right, kl_clip=clip)
    other = torch.optim.SGD(model.parameters(), lr=0.1)
    for number in range(3):
        _backward(model, natural, number)
        natural.precondition()
        other.step()
        expected = _step(right, whole, number)
        for one, parameter in zip(expected, model.parameters(), strict=True):
            torch.testing.assert_close(parameter.detach(), one, rtol=1e-9, atol=1e-12)


def test_gradients_are_preconditioned_in_place():
    model = _model()
    optimizer = _make("kfac", model)
    _backward(model, optimizer)
    gradient, norms = model[0].weight.grad, model[2].weight.grad.clone()
    before, weight = gradient.clone(), model[0].weight.detach().clone()
    optimizer.precondition()
    assert model[0].weight.grad is gradient
    assert not torch.allclose(gradient, before)
    assert torch.equal(model[2].weight.grad, norms)
    assert torch.equal(model[0].weight.detach(), weight)
