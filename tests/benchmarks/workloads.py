"""Workloads that the benchmarks share, and times in units of one SGD step of the same run.

The unit moves with the machine, so that ratios measured on a busy or a slow one stay comparable. Each round takes one
SGD step right before one step of each arm.
"""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from ngbench.curvature.likelihoods import Bernoulli, Categorical
from ngbench.measurement.operations import OperationCounter, count_operations
from ngbench.plugins.protocol import measured

__all__ = [
    "CLASSES",
    "CONVOLUTIONS",
    "FEW_CONVOLUTIONS",
    "SMALL",
    "TASK",
    "WORKLOADS",
    "Arm",
    "ConvolutionWorkload",
    "Workload",
    "matrix_product_rate",
    "phase_ratios",
]

TASK = SimpleNamespace(likelihood=Bernoulli())
CLASSES = SimpleNamespace(likelihood=Categorical())


@dataclass(frozen=True)
class Workload:
    """An auto-encoder with the decoder that mirrors ``encoder``, and images of low rank in its batches."""

    encoder: tuple[int, ...]
    batch_size: int

    def model(self) -> nn.Sequential:
        """The network after a few steps of Adam, so that its activations are not those of random weights."""
        torch.manual_seed(0)
        widths = [*self.encoder, *reversed(self.encoder[:-1])]
        layers = [module for pair in pairwise(widths) for module in (nn.Linear(*pair), nn.ReLU())]
        model = nn.Sequential(*layers[:-1])
        _train(model, self)
        return model

    def loss(self, model: nn.Module) -> Tensor:
        """The loss of ``model`` on a batch."""
        inputs = self.inputs()
        return TASK.likelihood.loss(model(inputs), inputs)

    @cache  # noqa: B019 - a workload lives as long as the module
    def inputs(self) -> Tensor:
        """A batch."""
        generator = torch.Generator().manual_seed(0)
        mixture = torch.randn(self.batch_size, 20, generator=generator)
        return torch.sigmoid(mixture @ torch.randn(20, self.encoder[0], generator=generator) - 1)


WORKLOADS = {
    "mnist-autoencoder": Workload((784, 1000, 500, 250, 30), 512),
    "curves-autoencoder": Workload((784, 400, 200, 100, 50, 25, 6), 256),
}


@dataclass(frozen=True)
class ConvolutionWorkload:
    """Convolutions 3 → 32 → 32 → 64 of 5 × 5 with max-pooling between, on random images of 32 × 32 in ten classes."""

    batch_size: int

    def model(self) -> nn.Sequential:
        """The network after a few steps of Adam."""
        torch.manual_seed(0)
        layers: list[nn.Module] = []
        for channels in pairwise((3, 32, 32, 64)):
            layers += [nn.Conv2d(*channels, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)]
        model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 4 * 4, 10))
        _train(model, self)
        return model

    def loss(self, model: nn.Module) -> Tensor:
        """The loss of ``model`` on a batch."""
        inputs, targets = self.batch()
        return CLASSES.likelihood.loss(model(inputs), targets)

    @cache  # noqa: B019 - a workload lives as long as the module
    def batch(self) -> tuple[Tensor, Tensor]:
        """Images and classes."""
        generator = torch.Generator().manual_seed(0)
        inputs = torch.randn(self.batch_size, 3, 32, 32, generator=generator)
        return inputs, torch.randint(10, (self.batch_size,), generator=generator)


CONVOLUTIONS = ConvolutionWorkload(128)
# What shows that a benchmark works, where nothing is measured.
SMALL = Workload((20, 15, 6), 16)
FEW_CONVOLUTIONS = ConvolutionWorkload(4)


def _train(model: nn.Module, workload: Workload | ConvolutionWorkload) -> None:
    optimizer = torch.optim.Adam(model.parameters())
    for _ in range(20):
        optimizer.zero_grad()
        workload.loss(model).backward()
        optimizer.step()


class Arm:
    """Whole training steps of one optimizer, timed as a whole and phase by phase."""

    def __init__(
        self,
        workload: Workload | ConvolutionWorkload,
        make: Callable[[nn.Module], torch.optim.Optimizer],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._workload = workload
        self._clock = clock
        self._model = workload.model()
        self._optimizer = make(self._model)
        self._seconds: dict[str, float] = defaultdict(float)
        self._flops: dict[str, int] = defaultdict(int)
        self._counter: OperationCounter | None = None
        told = measured(self._optimizer)
        told.leave_gradients_unread()
        told.report_to(self._phase)

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        operations = self._counter.mark().flops if self._counter else 0
        start = self._clock()
        yield
        self._seconds[name] += self._clock() - start
        if self._counter:
            self._flops[name] += self._counter.mark().flops - operations

    def step(self) -> dict[str, float]:
        """Seconds of one training step, under ``step``, and of its phases."""
        self._seconds.clear()
        with self._phase("step"):
            self._optimizer.zero_grad()
            self._workload.loss(self._model).backward()
            self._optimizer.step()
        return dict(self._seconds)

    def operations(self) -> dict[str, int]:
        """Floating-point operations of one training step and of its phases."""
        self._flops.clear()
        with count_operations() as self._counter:
            self.step()
        self._counter = None
        return dict(self._flops)

    def diagnostics(self) -> dict[str, float]:
        """What the optimizer tells of the last step."""
        tell: Any = getattr(self._optimizer, "diagnostics", dict)
        return dict(tell())


def phase_ratios(arms: Mapping[str, Arm], unit: Arm, rounds: int) -> tuple[dict[str, dict[str, float]], float]:
    """Medians over the rounds: of each arm's phases in units of the step before it, and of the unit in seconds."""
    ratios: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in arms}
    units = []
    for _ in range(rounds):
        for name, arm in arms.items():
            units.append(unit.step()["step"])
            for phase, seconds in arm.step().items():
                ratios[name][phase].append(seconds / units[-1])
    medians = {
        name: {phase: statistics.median(values) for phase, values in phases.items()} for name, phases in ratios.items()
    }
    return medians, statistics.median(units)


def matrix_product_rate(size: int = 1000, rounds: int = 5) -> float:
    """Floating-point operations a second of a float32 matrix product: what floors are computed with."""
    left, right = torch.randn(size, size), torch.randn(size, size)
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        torch.mm(left, right)
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds)
