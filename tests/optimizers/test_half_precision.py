"""Models of bfloat16 and float16 take float32's steps, rounded, and learn what models of float32 learn."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ngbench.curvature.likelihoods import Categorical
from ngbench.experiments.conformance.specimens import autoencoding
from ngbench.experiments.conformance.trial import OptimizerSubject, Trial
from ngbench.optimizers.first_order import adam
from ngbench.optimizers.natural_gradient import NaturalGradient
from ngbench.optimizers.single_precision import SinglePrecision
from ngbench.plugins import registry
from ngbench.task import Task

OPTIMIZERS = [row.name for row in registry.rows(registry.OPTIMIZERS) if row.distribution == "ngbench"]
HALF = (torch.bfloat16, torch.float16)
RATES = {"sgd": 1.0, "adagrad": 0.02, "rmsprop": 0.01, "adam": 0.01}


def build(name: str, model: nn.Module, **wanted: Any) -> torch.optim.Optimizer:
    """The optimizer with those of the wanted hyper-parameters that it has."""
    plugin = registry.optimizer(name)
    values = plugin.resolve({key: value for key, value in wanted.items() if has(name, key)})
    task = Task(lambda: model, lambda directory: None, Categorical(), 64, 1)  # type: ignore[arg-type, return-value]
    return registry.build_optimizer(plugin, model, task, values)


def has(name: str, hyperparameter: str) -> bool:
    return any(parameter.name == hyperparameter for parameter in registry.optimizer(name).parameters)


def flat(model: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().double().flatten() for parameter in model.parameters()])


def network(dtype: torch.dtype, half: torch.dtype) -> nn.Module:
    """Weights that ``half`` can hold, in ``dtype``."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(20, 40), nn.Tanh(), nn.Linear(40, 10)).to(half).to(dtype)


@pytest.mark.parametrize("half", HALF)
@pytest.mark.parametrize(
    ("name", "kl_clip"),
    [(name, None) for name in OPTIMIZERS] + [(name, 1.0) for name in OPTIMIZERS if has(name, "kl_clip")],
)
def test_a_step_is_that_of_float32_rounded(name: str, kl_clip: float | None, half: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(64, 20, generator=generator).to(half)
    classes = torch.randint(10, (64,), generator=generator)
    models = network(half, half), network(torch.float32, half)
    start = flat(models[0])
    # A step so long that it rounds to something for nearly all weights.
    options = {"lr": RATES.get(name, 1.0) * 10, "damping": 0.1, "fisher": "empirical", "defer_gradients": False}
    options |= {"kl_clip": kl_clip}
    optimizers = [build(name, model, **options) for model in models]
    for model, dtype in zip(models, (half, torch.float32), strict=True):
        Categorical().loss(model(inputs.to(dtype)), classes).backward()
    for low, high in zip(*(model.parameters() for model in models), strict=True):
        high.grad = low.grad.float()
    for optimizer in optimizers:
        optimizer.step()
    low, high = (flat(model) - start for model in models)
    assert low @ high >= 0.999 * low.norm() * high.norm()
    assert 0.99 < low.norm() / high.norm() < 1.01
    assert ((low != 0) == (high.float() != 0)).double().mean() > 0.98
    if isinstance(optimizers[0], NaturalGradient) and hasattr(optimizers[0].curvature, "factors"):
        factors = [factor for value in optimizers[0].curvature.factors.values() for factor in value.terms[0]]
        assert {factor.dtype for factor in factors} == {torch.float32}


@pytest.mark.parametrize("half", HALF)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_loss_falls_as_it_does_in_float32(name: str, half: torch.dtype) -> None:
    wanted = {"lr": RATES.get(name, 0.1), "curvature_interval": 5, "inverse_interval": 5, "damping": 0.1}
    subject = OptimizerSubject(name, {key: value for key, value in wanted.items() if has(name, key)})
    falls = []
    for dtype in (half, torch.float32):
        losses = Trial(subject, autoencoding(), dtype=dtype).run(40)
        falls.append(losses[0] - sum(losses[-4:]) / 4)
    assert falls[1] > 0.1
    assert falls[0] >= 0.8 * falls[1]


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    dtype = next(model.parameters()).dtype
    for seed in steps:
        generator = torch.Generator().manual_seed(seed)
        inputs = torch.randn(64, 20, generator=generator)
        optimizer.zero_grad()
        Categorical().loss(model(inputs.to(dtype)), torch.arange(64) % 10).backward()
        optimizer.step()


def plain_adam(model: nn.Module, lr: float = 0.01) -> torch.optim.Optimizer:
    return adam(model, None, lr=lr)  # type: ignore[arg-type]


def test_steps_in_single_precision_go_on_bit_for_bit_from_their_state() -> None:
    model = network(torch.float16, torch.float16)
    optimizer = plain_adam(model)
    assert isinstance(optimizer, SinglePrecision)
    train(model, optimizer, range(3))
    again = network(torch.float16, torch.float16)
    other = plain_adam(again, lr=0.5)
    again.load_state_dict(model.state_dict())
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert other.param_groups[0]["lr"] == 0.01
    train(model, optimizer, range(3, 6))
    train(again, other, range(3, 6))
    assert torch.equal(flat(model), flat(again))
    assert {value.dtype for state in other.state.values() for value in state.values()} == {torch.float32}


def test_a_scheduler_changes_the_rate_of_steps_in_single_precision() -> None:
    model = network(torch.float16, torch.float16)
    optimizer = plain_adam(model)
    optimizer.param_groups[0]["lr"] = 0.0
    before = flat(model)
    train(model, optimizer, range(2))
    assert torch.equal(flat(model), before)


def test_a_parameter_of_single_precision_without_gradient_stays_as_it_is() -> None:
    model = network(torch.float16, torch.float16)
    optimizer = plain_adam(model)
    model[0].weight.requires_grad_(False)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    train(model, optimizer, range(2))
    moved = [not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True)]
    assert moved == [False, True, True, True]


def test_what_needs_no_wider_range_is_left_to_torch() -> None:
    assert type(plain_adam(network(torch.bfloat16, torch.bfloat16))) is torch.optim.Adam
