"""Copiers, picklers, tracers, compilers and scalers meet a model that has a natural gradient."""

from __future__ import annotations

import copy
import io
import pickle
import subprocess
import sys
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ngbench.curvature.curvatures.exact import ExactCurvature
from ngbench.curvature.curvatures.kronecker import KroneckerCurvature
from ngbench.curvature.kronecker.approximations import kfac
from ngbench.curvature.likelihoods import Categorical
from ngbench.optimizers.natural_gradient import NaturalGradient

LIKELIHOOD = Categorical()


def _model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv1d(1, 1, 1), nn.Flatten(), nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 3))


def _batch(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(16, 1, 6, generator=generator), torch.randint(3, (16,), generator=generator)


def _optimizer(model, curvature=KroneckerCurvature, **options):
    more = {"approximation": kfac} if curvature is KroneckerCurvature else {}
    made = partial(curvature, damping=1e-2, **more)
    return NaturalGradient(model, LIKELIHOOD, made, **{"lr": 0.05, "seed": 1, "fisher": "exact", **options})


def _train(model, optimizer, steps=2, call=None):
    for seed in range(steps):
        x, y = _batch(seed)
        optimizer.zero_grad()
        LIKELIHOOD.loss((call or model)(x), y).backward()
        optimizer.step()


def _weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def _trained(**options):
    model = _model()
    _train(model, _optimizer(model, **options))
    return _weights(model)


COPIES = {
    "deepcopy": copy.deepcopy,
    "averaged": lambda model: torch.optim.swa_utils.AveragedModel(model).module,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
}


@pytest.mark.parametrize("make", COPIES)
@pytest.mark.parametrize("curvature", [KroneckerCurvature, ExactCurvature])
def test_a_copy_of_the_model_is_an_ordinary_model(make, curvature):
    model = _model()
    optimizer = _optimizer(model, curvature, defer_gradients=curvature is ExactCurvature)
    copied = COPIES[make](model)
    x, y = _batch()
    LIKELIHOOD.loss(model(x), y).backward()
    LIKELIHOOD.loss(copied(50 * x), y).backward()
    assert all(parameter.grad is not None for parameter in copied.parameters())
    optimizer.step()
    _train(copied, own := _optimizer(copied, curvature))
    torch.testing.assert_close(_weights(copied), _trained(curvature=curvature))
    assert own.covered_layers
    # The copy's passes in between have left no trace either.
    reference = _model()
    other = _optimizer(reference, curvature)
    LIKELIHOOD.loss(reference(x), y).backward()
    other.step()
    torch.testing.assert_close(_weights(model), _weights(reference))


def test_a_saved_model_needs_no_ngbench_where_it_is_loaded(tmp_path):
    model = _model()
    optimizer = _optimizer(model)
    _train(model, optimizer)
    torch.save(model, tmp_path / "model.pt")
    code = (
        "import sys, torch\n"
        "sys.modules['ngbench'] = None\n"
        "model = torch.load('model.pt', weights_only=False)\n"
        "print(model(torch.ones(2, 1, 6)).sum().item())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert float(done.stdout) == pytest.approx(model(torch.ones(2, 1, 6)).sum().item(), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize(
    "make", [copy.deepcopy, copy.copy, pickle.dumps, lambda optimizer: torch.save(optimizer, io.BytesIO())]
)
def test_a_copy_of_the_optimizer_is_refused_with_the_way_to_go(make):
    optimizer = _optimizer(_model())
    with pytest.raises(TypeError, match=r"cannot be copied or pickled.* load state_dict\(\)"):
        make(optimizer)


def _compiled_after(model):
    optimizer = _optimizer(model)
    return optimizer, torch.compile(model, backend="eager")


def _compiled_before(model):
    compiled = torch.compile(model, backend="eager")
    return _optimizer(compiled), compiled


def _compiled_loss(model):
    optimizer = _optimizer(model)
    loss = torch.compile(lambda x, y: F.cross_entropy(model(x), y), backend="eager")
    return optimizer, loss


@pytest.mark.parametrize("order", [_compiled_after, _compiled_before, _compiled_loss])
def test_a_compiled_model_trains_as_one_that_is_not(order):
    torch.compiler.reset()
    model = _model()
    optimizer, call = order(model)
    for seed in range(2):
        x, y = _batch(seed)
        optimizer.zero_grad()
        (call(x, y) if order is _compiled_loss else LIKELIHOOD.loss(call(x), y)).backward()
        optimizer.step()
    torch.testing.assert_close(_weights(model), _trained(), rtol=1e-4, atol=1e-6)


def test_a_model_that_was_compiled_and_run_before_is_explained_and_helped():
    torch.compiler.reset()
    model = _model()
    compiled = torch.compile(model, backend="eager")
    compiled(_batch()[0])
    optimizer = _optimizer(model)
    with pytest.raises(RuntimeError, match=r"needs torch\.compiler\.reset\(\)"):
        _train(model, optimizer, call=compiled)
    torch.compiler.reset()
    _train(model, optimizer, call=compiled)
    torch.testing.assert_close(_weights(model), _trained(), rtol=1e-4, atol=1e-6)


def test_export_leaves_the_optimizer_alone():
    model = _model()
    optimizer = _optimizer(model)
    torch.export.export(copy.deepcopy(model), (_batch()[0],))
    torch.export.export(model, (_batch()[0],))
    _train(model, optimizer)
    torch.testing.assert_close(_weights(model), _trained())


def test_detaching_takes_all_hooks_off_and_ends_the_optimizer():
    model = _model()
    optimizer = _optimizer(model, ExactCurvature, defer_gradients=True)
    _train(model, optimizer)
    optimizer.detach()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    with pytest.raises(RuntimeError, match=r"taken off the model by detach\(\)"):
        _train(model, optimizer)
    _train(model, _optimizer(model, ExactCurvature))


class _ByKeyword(nn.Sequential):
    def forward(self, x):
        for layer in self:
            x = layer(input=x)
        return x


@pytest.mark.parametrize("curvature", [KroneckerCurvature, ExactCurvature])
def test_layers_may_be_called_by_keyword(curvature):
    model = _ByKeyword(*_model())
    _train(model, _optimizer(model, curvature, defer_gradients=True))
    torch.testing.assert_close(_weights(model), _trained(curvature=curvature))


def _scaled(model, optimizer, scale, unscale=False, form=False):
    scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    for seed in range(2):
        x, y = _batch(seed)
        optimizer.zero_grad()
        scaler.scale(LIKELIHOOD.loss(model(x), y)).backward()
        if unscale:
            scaler.unscale_(optimizer)
        if form:
            optimizer.form_gradients()
        scaler.step(optimizer)
        scaler.update()


@pytest.mark.parametrize("fisher", ["sampled", "exact", "empirical"])
@pytest.mark.parametrize("curvature", [KroneckerCurvature, ExactCurvature])
@pytest.mark.parametrize("unscale", [False, True])
def test_a_gradient_scaler_changes_no_step(fisher, curvature, unscale):
    model = _model()
    optimizer = _optimizer(model, curvature, fisher=fisher)
    if unscale and fisher == "empirical":
        with pytest.raises(RuntimeError, match=r"scale of the loss, which the gradient scaler's unscale_\(\) does not"):
            _scaled(model, optimizer, 2.0**16, unscale)
        return
    _scaled(model, optimizer, 2.0**16, unscale)
    torch.testing.assert_close(_weights(model), _trained(curvature=curvature, fisher=fisher), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("fisher", ["sampled", "empirical"])
def test_a_step_that_a_gradient_scaler_skips_has_not_been(fisher):
    model = _model()
    optimizer = _optimizer(model, fisher=fisher)
    start = _weights(model)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16)
    x, y = _batch()
    scaler.scale(LIKELIHOOD.loss(model(x * torch.inf), y)).backward()
    scaler.step(optimizer)
    scaler.update()
    assert torch.equal(_weights(model), start)
    _train(model, optimizer)
    torch.testing.assert_close(_weights(model), _trained(fisher=fisher))


@pytest.mark.parametrize("fisher", ["exact", "empirical"])
def test_a_gradient_scaler_and_deferred_gradients(fisher):
    model = _model()
    optimizer = _optimizer(model, ExactCurvature, fisher=fisher, defer_gradients=True)
    with pytest.raises(RuntimeError, match=r"deferred: call form_gradients\(\)"):
        _scaled(model, optimizer, 2.0**10)
    _scaled(model, optimizer, 2.0**10, form=True)
    expected = _trained(curvature=ExactCurvature, fisher=fisher)
    torch.testing.assert_close(_weights(model), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ["exact", "block-diagonal"])
def test_who_looks_at_gradients_finds_them_unless_deferral_was_asked_for(name):
    from types import SimpleNamespace

    from ngbench.optimizers.exact import block_diagonal_ng, exact_ng

    model = _model()
    make = exact_ng if name == "exact" else block_diagonal_ng
    optimizer = make(model, SimpleNamespace(likelihood=LIKELIHOOD))
    x, y = _batch()
    LIKELIHOOD.loss(model(x), y).backward()
    assert all(p.grad is not None for p in model.parameters())
    assert nn.utils.clip_grad_norm_(model.parameters(), 1e-3) > 0
    assert optimizer.can_defer
    assert not make(model, SimpleNamespace(likelihood=LIKELIHOOD), defer_gradients=False).can_defer
