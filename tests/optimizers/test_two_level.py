from __future__ import annotations

import copy
import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from ngbench.curvature.likelihoods import Categorical
from ngbench.errors import ParameterError
from ngbench.optimizers.kronecker import kfac
from ngbench.optimizers.two_level import two_level

LIKELIHOOD = Categorical()
TASK = SimpleNamespace(likelihood=LIKELIHOOD)
SPACES = ["nicolaides", "spectral", "residual", "krylov-nicolaides", "krylov-residual", "taylor", "previous"]


def _model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.BatchNorm1d(5), nn.Linear(5, 3)).double()


def _batch(seed=1, examples=12):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(examples, 4, dtype=torch.float64, generator=generator)
    return inputs, torch.randint(3, (examples,), generator=generator)


def _train(model, optimizer, batches):
    for inputs, targets in batches:
        optimizer.zero_grad()
        LIKELIHOOD.loss(model(inputs), targets).backward()
        optimizer.step()


def _vector(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize("space", SPACES)
def test_a_resumed_run_is_the_uninterrupted_one(space):
    options = {"lr": 0.05, "coarse_space": space, "curvature_interval": 2, "inverse_interval": 4}
    batches = [_batch(seed) for seed in range(8)]
    straight = _model()
    _train(straight, two_level(straight, TASK, **options), batches)
    # The third step has estimated a curvature that waits for the fifth to be inverted.
    first = _model()
    optimizer = two_level(first, TASK, **options)
    _train(first, optimizer, batches[:3])
    second = _model()
    second.load_state_dict(first.state_dict())
    resumed = two_level(second, TASK, **options)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    _train(second, resumed, batches[3:])
    assert torch.equal(_vector(second), _vector(straight))


@pytest.mark.parametrize("space", [space for space in SPACES if space != "previous"])
def test_every_step_has_its_energy_gap(space):
    model = _model()
    optimizer = two_level(model, TASK, lr=0.01, coarse_space=space, curvature_interval=3, inverse_interval=3)
    for seed in range(5):
        _train(model, optimizer, [_batch(seed)])
        assert optimizer.diagnostics()["energy_gap"] < 0


@pytest.mark.parametrize("approximation", ["kfac", "kpsvd", "deflation", "lanczos", "kfac-corrected"])
@pytest.mark.parametrize("space", ["spectral", "residual", "previous"])
def test_any_kronecker_curvature_can_be_corrected(approximation, space):
    model = _model()
    optimizer = two_level(model, TASK, lr=0.01, approximation=approximation, coarse_space=space, damping=0.1)
    _train(model, optimizer, [_batch(seed) for seed in range(3)])
    assert torch.isfinite(_vector(model)).all()
    numbers = optimizer.diagnostics()
    assert numbers["coarse_dimension"] == 2
    if approximation != "kfac" and space != "previous":
        assert numbers["energy_gap"] <= 0


def test_the_corrected_step_is_the_one_that_is_clipped():
    def first_step(**options):
        model = _model()
        before = _vector(model)
        _train(model, two_level(model, TASK, lr=1.0, momentum=0, **options), [_batch()])
        return before - _vector(model)

    free, clipped = first_step(kl_clip=None), first_step(kl_clip=1e-6)
    layers = slice(0, 25), slice(35, 53)
    for part in layers:
        torch.testing.assert_close(clipped[part] / clipped[part].norm(), free[part] / free[part].norm())
        assert clipped[part].norm() < 0.5 * free[part].norm()


def test_the_correction_changes_the_step_of_kfac():
    corrected, plain = _model(), _model()
    _train(corrected, two_level(corrected, TASK), [_batch()])
    _train(plain, kfac(plain, TASK), [_batch()])
    assert not torch.allclose(_vector(corrected), _vector(plain))


@pytest.mark.parametrize("options", [{"coarse_damping": 0.5}, {"coarse_decay": 0.9}, {"coarse_space": "spectral"}])
def test_each_option_changes_the_run(options):
    vectors = []
    for given in ({}, options):
        model = _model()
        optimizer = two_level(model, TASK, lr=0.1, curvature_interval=1, inverse_interval=1, **given)
        _train(model, optimizer, [_batch(seed) for seed in range(3)])
        vectors.append(_vector(model))
    assert not torch.allclose(*vectors)


def test_the_order_of_the_taylor_space_is_two_unless_given():
    dimensions = []
    for options in ({}, {"order": 2}, {"order": 3}):
        model = _model()
        optimizer = two_level(model, TASK, coarse_space="taylor", **options)
        _train(model, optimizer, [_batch()])
        dimensions.append(optimizer.diagnostics()["coarse_dimension"])
    assert dimensions == [4, 4, 6]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": 2}, "order=2 is not allowed with coarse_space=nicolaides: only with taylor"),
        (
            {"coarse_space": "residual", "coarse_decay": 0.5},
            "coarse_decay=0.5 is not allowed with coarse_space=residual: only with nicolaides, spectral",
        ),
    ],
)
def test_options_that_would_do_nothing_are_refused(options, message):
    with pytest.raises(ParameterError, match=message):
        two_level(_model(), TASK, **options)


@pytest.mark.parametrize(("interval", "lifetime"), [(50, 50), ("once", math.inf)])
def test_a_space_is_prepared_for_the_steps_between_inversions(interval, lifetime):
    optimizer = two_level(_model(), TASK, inverse_interval=interval)
    assert optimizer.curvature.lifetime == lifetime
