"""What exact natural gradient and the coarse correction cost, in SGD steps of the same run.

``pytest tests/benchmarks/test_exact.py --benchmark-only`` measures, prints and saves (``--benchmark-json``) the ratios;
without a benchmark run each workload takes one step, so that nothing here is broken unnoticed.

Operations give a floor for an optimizer that leaves the weight gradients to ``loss.backward()``, as any drop-in does:
with L = 2 m p, the products with all weights of the forward pass on ``mnist-autoencoder`` (batch 512), an SGD step is
2.7 L; the derivatives at sampled targets 0.7 L, the Gram matrices 1.0 L by lower blocks, ``Jᵀ∇h`` and ``J w`` 1 L each.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from ngbench.curvature.likelihoods import Bernoulli
from ngbench.optimizers.exact import exact_ng
from ngbench.optimizers.kronecker import kfac
from ngbench.optimizers.two_level import two_level

WORKLOADS = {
    "mnist-autoencoder": ((784, 1000, 500, 250, 30), 512),
    "curves-autoencoder": ((784, 400, 200, 100, 50, 25, 6), 256),
}
TASK = SimpleNamespace(likelihood=Bernoulli())
ROUNDS = 21

# Steps of SGD that each item may take, on the two workloads.
TARGETS = {
    "exact-ng sampled": (2.0, 2.1),
    "exact-ng empirical": (1.4, 1.5),
    "coarse correction": (0.34, 0.30),
}


def _step(workload: str, make: Callable[[nn.Module], torch.optim.Optimizer]) -> Callable[[], None]:
    """A whole training step of one arm."""
    encoder, batch_size = WORKLOADS[workload]
    torch.manual_seed(0)
    widths = [*encoder, *reversed(encoder[:-1])]
    layers = [module for pair in pairwise(widths) for module in (nn.Linear(*pair), nn.ReLU())]
    model = nn.Sequential(*layers[:-1])
    optimizer = make(model)
    inputs = torch.rand(batch_size, widths[0])

    def step() -> None:
        optimizer.zero_grad()
        TASK.likelihood.loss(model(inputs), inputs).backward()
        optimizer.step()

    return step


ARMS: dict[str, Callable[[nn.Module], torch.optim.Optimizer]] = {
    "sgd": lambda model: torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9),
    "exact-ng sampled": lambda model: exact_ng(model, TASK, lr=1e-6),
    "exact-ng empirical": lambda model: exact_ng(model, TASK, lr=1e-6, fisher="empirical"),
    "kfac": lambda model: kfac(model, TASK, lr=1e-6, curvature_interval="once", inverse_interval="once"),
    "two-level": lambda model: two_level(
        model, TASK, lr=1e-6, curvature_interval="once", inverse_interval="once", coarse_space="nicolaides"
    ),
}


def _ratios(steps: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each arm over those of SGD, round by round, the arms taking turns."""
    ratios: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        seconds = {}
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            seconds[name] = time.perf_counter() - start
        for name, value in seconds.items():
            ratios[name].append(value / seconds["sgd"])
    return ratios


@pytest.mark.parametrize("workload", WORKLOADS)
def test_whole_steps_in_units_of_an_sgd_step(benchmark, workload, capsys):
    steps = {name: _step(workload, make) for name, make in ARMS.items()}
    for step in steps.values():
        step()
    ratios = _ratios(steps, 1 if benchmark.disabled else ROUNDS)
    measured = {name: statistics.median(values) for name, values in ratios.items()}
    measured["coarse correction"] = statistics.median(
        corrected - plain for corrected, plain in zip(ratios["two-level"], ratios["kfac"], strict=True)
    )
    column = list(WORKLOADS).index(workload)
    for name, targets in TARGETS.items():
        benchmark.extra_info[name] = {"ratio": measured[name], "target": targets[column]}
    if not benchmark.disabled:
        with capsys.disabled():
            for name, targets in TARGETS.items():
                print(
                    f"\n{workload:20} {name:20} {measured[name]:5.2f} SGD steps (target {targets[column]:.2f})", end=""
                )
    benchmark.pedantic(steps["exact-ng sampled"], rounds=1)
    assert all(value > 0 for values in ratios.values() for value in values)
