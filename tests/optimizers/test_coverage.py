"""Parameters that go without curvature are named, whatever the reason; those that need not, do not."""

from __future__ import annotations

import warnings
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune
from torch.utils.checkpoint import checkpoint

from ngbench.curvature.curvatures.exact import ExactCurvature
from ngbench.curvature.curvatures.kronecker import KroneckerCurvature
from ngbench.curvature.kronecker.approximations import kfac
from ngbench.curvature.likelihoods import Categorical
from ngbench.optimizers.coverage import CurvatureWarning
from ngbench.optimizers.natural_gradient import NaturalGradient

LIKELIHOOD = Categorical()
FISHERS = ["sampled", "empirical", "exact"]


class _Net(nn.Module):
    """``trunk`` and ``twig``, of which ``trunk`` is one of many things."""

    def __init__(self, trunk, twig, call=lambda net, x: net.trunk(x)):
        super().__init__()
        self.trunk, self.twig, self.call = trunk, twig, call

    def forward(self, x):
        return self.twig(torch.tanh(self.call(self, x)).flatten(1))


class _Masked(nn.Linear):
    def forward(self, x):
        return F.linear(x, self.weight * (torch.arange(self.in_features) % 2), self.bias)


class _OwnConvolution(nn.Conv2d):
    def _conv_forward(self, x, weight, bias):
        return super()._conv_forward(x, 2 * weight, bias)


class _Renamed(nn.Linear):
    """Another class, and torch's computation."""


def _patched():
    layer = nn.Linear(8, 6)
    layer.forward = lambda x: F.linear(2 * x, layer.weight, layer.bias)
    return layer


def _changed(change):
    layer = nn.Linear(8, 6)
    change(layer)
    return layer


def _frozen_weight():
    layer = nn.Linear(8, 6)
    layer.weight.requires_grad_(False)
    return layer


def _twice(net, x):
    return net.trunk(x) + F.linear(x.cos(), net.trunk.weight)


def _by_function(net, x):
    return F.linear(x, net.trunk.weight, net.trunk.bias)


def _reentrant(net, x):
    return checkpoint(net.trunk, x.requires_grad_(), use_reentrant=True)


X = torch.randn(16, 8, generator=torch.Generator().manual_seed(0))
SQUARE = X.reshape(16, 2, 2, 2)
WITHOUT = {
    "convolution in one dimension": (lambda: _Net(nn.Conv1d(1, 4, 3), nn.Linear(24, 3)), X[:, None], "Conv1d is none"),
    "embedding": (lambda: _Net(nn.Embedding(9, 5), nn.Linear(20, 3)), torch.arange(64).reshape(16, 4) % 9, "Embedding"),
    "batch norm": (lambda: _Net(nn.BatchNorm1d(8), nn.Linear(8, 3)), X, "BatchNorm1d is none of Conv2d"),
    "own forward": (lambda: _Net(_Masked(8, 6), nn.Linear(6, 3)), X, "_Masked has a forward of its own"),
    "own convolution": (
        lambda: _Net(_OwnConvolution(2, 3, 2), nn.Linear(3, 3)),
        SQUARE,
        "_OwnConvolution has a _conv_forward of its own",
    ),
    "patched forward": (lambda: _Net(_patched(), nn.Linear(6, 3)), X, "Linear has a forward of its own"),
    "weight norm": (lambda: _Net(_changed(parametrizations.weight_norm), nn.Linear(6, 3)), X, "parametrises|computed"),
    "spectral norm": (lambda: _Net(_changed(parametrizations.spectral_norm), nn.Linear(6, 3)), X, "parametrises"),
    "pruning": (
        lambda: _Net(_changed(lambda layer: prune.l1_unstructured(layer, "weight", 0.5)), nn.Linear(6, 3)),
        X,
        "computed from other parameters",
    ),
    "frozen weight": (lambda: _Net(_frozen_weight(), nn.Linear(6, 3)), X, "weight of its layer is not trained"),
    "by function alone": (lambda: _Net(nn.Linear(8, 6), nn.Linear(6, 3), _by_function), X, "in no forward pass"),
    "by call and function": (lambda: _Net(nn.Linear(8, 6), nn.Linear(6, 3), _twice), X, "in another way than by"),
    "re-entrant checkpoint": (lambda: _Net(nn.Linear(8, 6), nn.Linear(6, 3), _reentrant), X, "with gradients"),
}


def _optimizer(model, curvature=None, **options):
    curvature = curvature or partial(KroneckerCurvature, approximation=kfac, damping=1e-2)
    return NaturalGradient(model, LIKELIHOOD, curvature, **{"lr": 0.05, "momentum": 0.0, "seed": 1, **options})


def _step(model, optimizer, x):
    optimizer.zero_grad()
    LIKELIHOOD.loss(model(x.clone() if x.is_floating_point() else x), torch.arange(len(x)) % 3).backward()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer.step()
    return before


@pytest.mark.parametrize("fisher", FISHERS)
@pytest.mark.parametrize("name", WITHOUT)
def test_what_goes_without_curvature_is_named_and_takes_its_gradient(name, fisher):
    make, x, reason = WITHOUT[name]
    torch.manual_seed(0)
    model = make()
    optimizer = _optimizer(model, fisher=fisher)
    with pytest.warns(CurvatureWarning, match=f"without curvature: .*trunk.*{reason}"):
        before = _step(model, optimizer, x)
    assert optimizer.without_curvature
    for path, parameter in model.named_parameters():
        if parameter.grad is None or not path.startswith("trunk"):
            continue
        assert path in optimizer.without_curvature
        assert f"without_curvature/{path}" in optimizer.diagnostics()
        torch.testing.assert_close(parameter.detach(), before[path] - 0.05 * parameter.grad)
    assert not any(path.startswith("twig") for path in optimizer.without_curvature)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _step(model, optimizer, x)
    assert not any(key.startswith("without") for key in optimizer.diagnostics())
    assert optimizer.without_curvature


@pytest.mark.parametrize(
    ("curvature", "options"),
    [
        (partial(KroneckerCurvature, approximation=kfac, damping=0.1), {}),
        (partial(ExactCurvature, damping=0.1), {}),
        (partial(ExactCurvature, damping=0.1), {"defer_gradients": True}),
    ],
)
@pytest.mark.parametrize("name", ["own forward", "by call and function", "weight norm"])
def test_every_curvature_and_deferral_leave_such_layers_their_gradient(name, curvature, options):
    make, x, _ = WITHOUT[name]
    torch.manual_seed(0)
    model = make()
    right = {}
    LIKELIHOOD.loss(model(x), torch.arange(len(x)) % 3).backward()
    right = {path: p.grad.clone() for path, p in model.named_parameters() if path.startswith("trunk")}
    optimizer = _optimizer(model, curvature, **options)
    with pytest.warns(CurvatureWarning):
        before = _step(model, optimizer, x)
    for path, gradient in right.items():
        torch.testing.assert_close(model.get_parameter(path).detach(), before[path] - 0.05 * gradient)


def _patch(layer):
    layer.forward = lambda x: F.linear(x, layer.weight * (torch.arange(8) % 2), layer.bias)


def _become_masked(layer):
    layer.__class__ = _Masked


CHANGES = {
    "pruning": lambda layer: prune.l1_unstructured(layer, "weight", 0.5),
    "spectral norm": parametrizations.spectral_norm,
    "patched forward": _patch,
    "class": _become_masked,
}


@pytest.mark.parametrize("fisher", FISHERS)
@pytest.mark.parametrize("interval", [1, 3])
@pytest.mark.parametrize("defer", [False, True])
@pytest.mark.parametrize("change", CHANGES)
def test_a_layer_that_is_changed_later_takes_its_gradient_from_then_on(change, defer, interval, fisher):
    torch.manual_seed(0)
    model = _Net(nn.Linear(8, 6), nn.Linear(6, 3))
    curvature = partial(ExactCurvature, damping=0.1) if defer else None
    options = {"defer_gradients": defer, "curvature_interval": interval, "inverse_interval": interval}
    optimizer = _optimizer(model, curvature, fisher=fisher, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _step(model, optimizer, X)
    CHANGES[change](model.trunk)
    with pytest.warns(CurvatureWarning, match=r"trunk\..*its layer has been changed since"):
        before = _step(model, optimizer, X)
    for path, parameter in model.trunk.named_parameters():
        torch.testing.assert_close(parameter.detach(), before[f"trunk.{path}"] - 0.05 * parameter.grad)
    if change != "spectral norm":
        assert (model.trunk.get_parameter("weight_orig" if change == "pruning" else "weight").grad == 0).any()
    assert not any(path.startswith("twig") for path in optimizer.without_curvature)


def test_complex_weights_are_no_layers():
    with pytest.raises(ValueError, match=r"no trained layer .*0\.weight: its weight is complex"):
        _optimizer(nn.Sequential(nn.Linear(8, 4, dtype=torch.complex64)))


class _Tied(nn.Module):
    def __init__(self, other, layer):
        super().__init__()
        self.other, self.layer = other, layer
        self.layer.weight = self.other.weight

    def forward(self, x):
        return self.layer(torch.tanh(self.other(x)))


class _Scale(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 3))

    def forward(self, x):
        return x[:, :3] @ self.weight


@pytest.mark.parametrize(
    ("other", "x"),
    [
        (lambda: nn.Embedding(3, 3), torch.arange(16) % 3),
        (lambda: nn.Linear(3, 3), X[:, :3]),
        (_Scale, X),
    ],
)
def test_a_weight_that_two_modules_hold_goes_without_curvature(other, x):
    torch.manual_seed(0)
    model = nn.Sequential(_Tied(other(), nn.Linear(3, 3, bias=False)), nn.Linear(3, 3))
    optimizer = _optimizer(model)
    assert [layer.name for layer in optimizer.covered_layers] == ["1"]
    with pytest.warns(CurvatureWarning, match=r"it is shared with 0\.(other|layer)\.weight"):
        _step(model, optimizer, x)


def test_a_subclass_that_computes_the_same_has_curvature():
    torch.manual_seed(0)
    model = _Net(_Renamed(8, 6), nn.Linear(6, 3))
    optimizer = _optimizer(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _step(model, optimizer, X)
    assert set(optimizer.curvature.factors) == {"trunk", "twig"}


@pytest.mark.parametrize("use_reentrant", [False])
def test_a_checkpointed_layer_has_the_curvature_of_a_plain_one(use_reentrant):
    ends = []
    for call in (None, lambda net, x: checkpoint(net.trunk, x, use_reentrant=use_reentrant)):
        torch.manual_seed(0)
        model = _Net(nn.Linear(8, 6), nn.Linear(6, 3), *([call] if call else []))
        optimizer = _optimizer(model)
        _step(model, optimizer, X)
        assert set(optimizer.curvature.factors) == {"trunk", "twig"}
        ends.append(model.trunk.weight.detach())
    torch.testing.assert_close(*ends)


@pytest.mark.parametrize("defer", [False, True])
def test_what_is_unfrozen_or_added_later_has_a_curvature_from_the_next_estimate_on(defer):
    torch.manual_seed(0)
    model = _Net(nn.Linear(8, 6), nn.Linear(6, 3))
    model.trunk.requires_grad_(False)
    curvature = partial(ExactCurvature, damping=0.1) if defer else None
    optimizer = _optimizer(model, curvature, defer_gradients=defer)
    _step(model, optimizer, X)
    assert [layer.name for layer in optimizer.covered_layers] == ["twig"]
    model.trunk.requires_grad_(True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _step(model, optimizer, X)
    assert {layer.name for layer in optimizer.covered_layers} == {"trunk", "twig"}
    model.extra = nn.Linear(3, 3)
    model.twig = nn.Sequential(model.twig, model.extra)
    optimizer.add_param_group({"params": model.extra.parameters()})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _step(model, optimizer, X)
    assert len(optimizer.covered_layers) == 3
    assert not optimizer.without_curvature


def test_a_bias_that_is_unfrozen_starts_the_layer_s_average_anew():
    torch.manual_seed(0)
    model = _Net(nn.Linear(8, 6), nn.Linear(6, 3))
    model.trunk.bias.requires_grad_(False)
    optimizer = _optimizer(model)
    _step(model, optimizer, X)
    assert optimizer.curvature.factors["trunk"].terms[0][0].shape == (8, 8)
    model.trunk.bias.requires_grad_(True)
    before = _step(model, optimizer, X)
    assert optimizer.curvature.factors["trunk"].terms[0][0].shape == (9, 9)
    assert optimizer.curvature.updates == {"trunk": 1, "twig": 2}
    assert not torch.equal(model.trunk.bias, before["trunk.bias"])


def test_a_layer_that_the_estimate_missed_is_named_until_one_sees_it():
    torch.manual_seed(0)
    steps = []
    model = _Net(nn.Linear(8, 8), nn.Linear(8, 3), lambda net, x: net.trunk(x) if len(steps) > 0 else x)
    optimizer = _optimizer(model, curvature_interval=3, inverse_interval=3)
    for step in range(5):
        steps[:] = range(step)
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            _step(model, optimizer, X)
        assert bool(heard) == (step == 1)
        assert ("trunk.weight" in optimizer.without_curvature) == (step in (1, 2))


def test_many_names_are_cut_in_the_warning_and_not_in_the_list():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), *[nn.LayerNorm(8) for _ in range(10)], nn.Linear(8, 3))
    optimizer = _optimizer(model)
    with pytest.warns(CurvatureWarning, match=r"20 trained parameters .* and 12 more \(LayerNorm is none of"):
        _step(model, optimizer, X)
    assert len(optimizer.without_curvature) == 20


def test_a_model_without_layers_is_told_which_are_known_and_why_its_are_not():
    model = nn.Sequential(_Masked(8, 3))
    with pytest.raises(ValueError, match=r"plain Conv2d, ConvTranspose2d, Linear \(0.weight: _Masked has a forward"):
        _optimizer(model)


def test_a_lazy_layer_is_refused_by_name():
    with pytest.raises(ValueError, match="layer 'trunk' is lazy and has no shape yet: call the model once"):
        _optimizer(_Net(nn.LazyLinear(6), nn.Linear(6, 3)))
