from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from ngbench.curvature.likelihoods import Gaussian
from ngbench.errors import ParameterError
from ngbench.plugins import registry
from ngbench.task import Task


def build(name: str, hyperparameters: dict[str, Any]) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    task = Task(lambda: model, lambda directory: None, Gaussian(), batch_size=1, epochs=1)  # type: ignore[arg-type, return-value]
    return model, registry.build_optimizer(registry.optimizer(name), model, task, hyperparameters)


@pytest.mark.parametrize(
    ("name", "given", "reference", "settings"),
    [
        (
            "sgd",
            {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.01},
            torch.optim.SGD,
            {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.01},
        ),
        (
            "adagrad",
            {"lr": 0.1, "lr_decay": 0.2, "initial_accumulator": 0.3, "eps": 1e-3, "weight_decay": 0.01},
            torch.optim.Adagrad,
            {"lr": 0.1, "lr_decay": 0.2, "initial_accumulator_value": 0.3, "eps": 1e-3, "weight_decay": 0.01},
        ),
        (
            "rmsprop",
            {"lr": 0.1, "alpha": 0.8, "momentum": 0.5, "centered": True, "eps": 1e-3, "weight_decay": 0.01},
            torch.optim.RMSprop,
            {"lr": 0.1, "alpha": 0.8, "momentum": 0.5, "centered": True, "eps": 1e-3, "weight_decay": 0.01},
        ),
        (
            "adam",
            {"lr": 0.1, "beta1": 0.5, "beta2": 0.7, "eps": 1e-3, "amsgrad": True, "weight_decay": 0.01},
            torch.optim.Adam,
            {"lr": 0.1, "betas": (0.5, 0.7), "eps": 1e-3, "amsgrad": True, "weight_decay": 0.01},
        ),
    ],
)
def test_every_hyperparameter_reaches_torch(
    name: str, given: dict[str, Any], reference: Any, settings: dict[str, Any]
) -> None:
    model, optimizer = build(name, given)
    twin, _ = build(name, given)
    expected = reference(twin.parameters(), **settings)
    inputs = torch.randn(5, 3)
    for _ in range(3):
        for network, steps in ((model, optimizer), (twin, expected)):
            steps.zero_grad()
            network(inputs).square().mean().backward()
            steps.step()
    for mine, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        # Another kernel of the same formulas rounds a few times a step otherwise.
        torch.testing.assert_close(mine, theirs, rtol=32 * torch.finfo(mine.dtype).eps, atol=1e-6)


@pytest.mark.parametrize("name", ["sgd", "adagrad", "rmsprop", "adam"])
@pytest.mark.parametrize(("key", "value"), [("lr", "-0.1"), ("lr", "0"), ("weight_decay", "-1")])
def test_values_out_of_range_are_refused(name: str, key: str, value: str) -> None:
    with pytest.raises(ParameterError, match=f"optimizer {name}: {key}={value} is not allowed"):
        build(name, {key: value})


def test_nesterov_needs_momentum() -> None:
    with pytest.raises(ParameterError, match=r"nesterov=true is not allowed with momentum=0, it needs momentum > 0"):
        build("sgd", {"nesterov": "true", "momentum": "0"})
