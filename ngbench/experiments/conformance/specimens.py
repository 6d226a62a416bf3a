"""Small problems, made here in no time, on which optimizers and approximations are tried."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import pairwise

import torch
from torch import Tensor, nn

from ngbench.curvature.likelihoods import Bernoulli, Categorical, Gaussian, Likelihood
from ngbench.running.problem import Problem
from ngbench.task import Data, DataSource, Task

__all__ = ["autoencoding", "classification", "regression", "wide", "with_spare"]

BATCH = 32
EXAMPLES = 128


def _problem(
    name: str, model: Callable[[], nn.Module], inputs: Tensor, targets: Tensor, likelihood: Likelihood
) -> Problem:
    half = len(inputs) // 2
    train, validation = inputs[:half], inputs[half:]
    # An auto-encoder's targets are its inputs: one tensor stays one.
    goals = (train, validation) if targets is inputs else (targets[:half], targets[half:])
    source = DataSource(name, "generated", f"{name}, made for conformance tests", "0" * 64)
    data = Data(train, goals[0], validation, goals[1], source)
    return Problem(name, Task(model, lambda directory: data, likelihood, min(BATCH, half), epochs=2), data)


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(20)


@cache
def regression() -> Problem:
    """Least squares on inputs of unequal scale: a quadratic function of condition number 400."""
    generator = _generator()
    inputs = torch.randn(2 * EXAMPLES, 12, generator=generator) * torch.logspace(0, -1.3, 12)
    teacher = torch.randn(12, 3, generator=generator)
    targets = inputs @ teacher + 0.5
    return _problem("regression", lambda: nn.Linear(12, 3), inputs, targets, Gaussian())


class _Stripes(nn.Sequential):
    """A convolution, batch norm, and two linear layers: tensors of four, two and one dimensions."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 4, 3),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(36, 10),
            nn.Tanh(),
            nn.Linear(10, 4),
        )


@cache
def classification() -> Problem:
    """Noisy images of stripes in four directions, told apart by a small convolutional network."""
    generator = _generator()
    labels = torch.arange(2 * EXAMPLES) % 4
    y, x = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    waves = torch.stack([x, y, (x + y) / math.sqrt(2), (x - y) / math.sqrt(2)])[labels]
    phase = 2 * math.pi * torch.rand(len(labels), 1, 1, generator=generator)
    images = torch.sin(1.6 * waves + phase) + 0.3 * torch.randn(len(labels), 8, 8, generator=generator)
    return _problem("classification", _Stripes, images.unsqueeze(1), labels, Categorical())


@cache
def autoencoding() -> Problem:
    """Bumps on a line of 16 pixels, squeezed through three units by an auto-encoder."""
    generator = _generator()
    centres = 15 * torch.rand(2 * EXAMPLES, 1, generator=generator)
    widths = 1 + 2 * torch.rand(2 * EXAMPLES, 1, generator=generator)
    pixels = torch.exp(-(((torch.arange(16.0) - centres) / widths) ** 2))
    widest = (16, 10, 3, 10, 16)

    def model() -> nn.Module:
        layers: list[nn.Module] = []
        for inside, outside in pairwise(widest):
            layers += [nn.Linear(inside, outside), nn.Tanh()]
        return nn.Sequential(*layers[:-1])

    return _problem("autoencoding", model, pixels, pixels, Bernoulli())


@cache
def wide() -> Problem:
    """A perceptron of 142,000 parameters on batches of 128: large enough that its steps can be timed."""
    generator = _generator()
    inputs = torch.randn(512, 256, generator=generator)
    labels = torch.randint(10, (512,), generator=generator)

    def model() -> nn.Module:
        return nn.Sequential(nn.Linear(256, 300), nn.ReLU(), nn.Linear(300, 200), nn.ReLU(), nn.Linear(200, 10))

    problem = _problem("wide", model, inputs, labels, Categorical())
    return replace(problem, task=replace(problem.task, batch_size=128))


class WithSpare(nn.Module):
    """A model with a layer that takes no part in it, as heads for other tasks do."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.spare = nn.Linear(3, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.body(inputs)
        return outputs


def with_spare(problem: Problem) -> Problem:
    """The same problem, for a model with a layer that takes no part."""
    return replace(problem, task=replace(problem.task, model=lambda: WithSpare(problem.task.model())))
