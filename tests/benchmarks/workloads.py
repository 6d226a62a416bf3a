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
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from ngbench.curvature.likelihoods import Bernoulli
from ngbench.measurement.operations import OperationCounter, count_operations

__all__ = ["TASK", "WORKLOADS", "Arm", "Workload", "matrix_product_rate", "phase_ratios"]

TASK = SimpleNamespace(likelihood=Bernoulli())


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
        optimizer = torch.optim.Adam(model.parameters())
        inputs = self.inputs()
        for _ in range(20):
            optimizer.zero_grad()
            TASK.likelihood.loss(model(inputs), inputs).backward()
            optimizer.step()
        return model

    def inputs(self) -> Tensor:
        """A batch."""
        generator = torch.Generator().manual_seed(0)
        mixture = torch.randn(self.batch_size, 20, generator=generator)
        return torch.sigmoid(mixture @ torch.randn(20, self.encoder[0], generator=generator) - 1)


WORKLOADS = {
    "mnist-autoencoder": Workload((784, 1000, 500, 250, 30), 512),
    "curves-autoencoder": Workload((784, 400, 200, 100, 50, 25, 6), 256),
}


class Arm:
    """Whole training steps of one optimizer, timed as a whole and phase by phase."""

    def __init__(self, workload: Workload, make: Callable[[nn.Module], torch.optim.Optimizer]) -> None:
        self._model = workload.model()
        self._inputs = workload.inputs()
        self._optimizer = make(self._model)
        self._seconds: dict[str, float] = defaultdict(float)
        self._flops: dict[str, int] = defaultdict(int)
        self._counter: OperationCounter | None = None
        if hasattr(self._optimizer, "phase"):
            self._optimizer.phase = self._phase

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        operations = self._counter.mark().flops if self._counter else 0
        start = time.perf_counter()
        yield
        self._seconds[name] += time.perf_counter() - start
        if self._counter:
            self._flops[name] += self._counter.mark().flops - operations

    def step(self) -> dict[str, float]:
        """Seconds of one training step, under ``step``, and of its phases."""
        self._seconds.clear()
        with self._phase("step"):
            self._optimizer.zero_grad()
            TASK.likelihood.loss(self._model(self._inputs), self._inputs).backward()
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
