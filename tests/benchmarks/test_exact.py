"""What exact natural gradient and the coarse correction cost, in SGD steps of the same run.

``pytest tests/benchmarks/test_exact.py --benchmark-enable`` measures, prints and saves (``--benchmark-json``) the
ratios; without a benchmark run each workload takes one step, so that nothing here is broken unnoticed.

Each round takes a step of SGD right before one of each arm. The median is that of the rounds' ratios, the minimum the
ratio of the shortest times. The floor is the arm's operations over the rate of a matrix product.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable

import pytest
import torch
from torch import nn
from workloads import SMALL, TASK, WORKLOADS, Arm, matrix_product_rate

from ngbench.optimizers.exact import exact_ng
from ngbench.optimizers.kronecker import kfac
from ngbench.optimizers.two_level import two_level

ROUNDS = 21

ONCE = {"lr": 1e-6, "curvature_interval": "once", "inverse_interval": "once"}
ALWAYS = {"lr": 1e-6, "curvature_interval": 1, "inverse_interval": 1}
FORMED = {"lr": 1e-6, "defer_gradients": False}
ARMS: dict[str, Callable[[nn.Module], torch.optim.Optimizer]] = {
    "exact-ng sampled": lambda model: exact_ng(model, TASK, lr=1e-6),
    "exact-ng sampled, gradients formed": lambda model: exact_ng(model, TASK, **FORMED),
    "exact-ng empirical": lambda model: exact_ng(model, TASK, lr=1e-6, fisher="empirical"),
    "exact-ng empirical, gradients formed": lambda model: exact_ng(model, TASK, fisher="empirical", **FORMED),
    "kfac": lambda model: kfac(model, TASK, **ONCE),
    "two-level": lambda model: two_level(model, TASK, coarse_space="nicolaides", **ONCE),
    "kfac, refreshed": lambda model: kfac(model, TASK, **ALWAYS),
    "two-level, refreshed": lambda model: two_level(model, TASK, coarse_space="nicolaides", **ALWAYS),
}

# What is measured: an arm, the arm that it comes on top of, and the steps of SGD that it may take on the two workloads.
ITEMS: dict[str, tuple[str, str | None, tuple[float | None, float | None]]] = {
    "exact-ng sampled": ("exact-ng sampled", None, (2.0, 2.1)),
    "- sampled, formed": ("exact-ng sampled, gradients formed", None, (None, None)),
    "exact-ng empirical": ("exact-ng empirical", None, (1.4, 1.5)),
    "- empirical, formed": ("exact-ng empirical, gradients formed", None, (None, None)),
    "coarse correction": ("two-level", "kfac", (0.34, 0.30)),
    "- refreshed every step": ("two-level, refreshed", "kfac, refreshed", (None, None)),
}


def _seconds(arms: dict[str, Arm], sgd: Arm, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Of each round, the seconds of an arm's step and of the step of SGD before it."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in arms}
    for _ in range(rounds):
        for name, arm in arms.items():
            unit = sgd.step()["step"]
            seconds[name].append((arm.step()["step"], unit))
    return seconds


def _item(seconds: dict[str, list[tuple[float, float]]], arm: str, base: str | None) -> tuple[float, float]:
    """Median and minimum in steps of SGD of an arm, less those of ``base``."""
    units = [unit for pairs in seconds.values() for _, unit in pairs]
    ratios = [step / unit for step, unit in seconds[arm]]
    shortest = min(step for step, _ in seconds[arm])
    if base is not None:
        ratios = [ratio - step / unit for ratio, (step, unit) in zip(ratios, seconds[base], strict=True)]
        shortest -= min(step for step, _ in seconds[base])
    return statistics.median(ratios), shortest / min(units)


@pytest.mark.parametrize("workload", WORKLOADS)
def test_whole_steps_in_units_of_an_sgd_step(benchmark, workload, capsys):
    given = SMALL if benchmark.disabled else WORKLOADS[workload]
    sgd = Arm(given, lambda model: torch.optim.SGD(model.parameters(), lr=1e-6, momentum=0.9))
    arms = {name: Arm(given, make) for name, make in ARMS.items()}
    for arm in (sgd, *arms.values()):
        arm.step()
    seconds = _seconds(arms, sgd, 1 if benchmark.disabled else ROUNDS)
    operations = {name: arm.operations()["step"] for name, arm in arms.items()}
    unit = statistics.median(unit for pairs in seconds.values() for _, unit in pairs)
    rate = matrix_product_rate()
    column = list(WORKLOADS).index(workload)
    lines = [f"{workload}: an SGD step takes {unit:.4f} s, a matrix product {rate / 1e9:.0f} GFLOP/s"]
    for name, (arm, base, targets) in ITEMS.items():
        median, minimum = _item(seconds, arm, base)
        floor = (operations[arm] - (operations[base] if base else 0)) / rate / unit
        benchmark.extra_info[name.lstrip("- ")] = {
            "sgd_steps": median,
            "minimum": minimum,
            "target": targets[column],
            "floor": floor,
        }
        target = "" if targets[column] is None else f", target {targets[column]:.2f}"
        lines.append(f"{name:26} {median:5.2f} SGD steps, minimum {minimum:5.2f}, floor {floor:5.2f}{target}")
    if not benchmark.disabled:
        with capsys.disabled():
            print("\n" + "\n".join(lines))
    benchmark.pedantic(arms["exact-ng sampled"].step, rounds=1)
    assert operations["exact-ng sampled"] < operations["exact-ng sampled, gradients formed"]
    assert operations["exact-ng empirical"] < operations["exact-ng empirical, gradients formed"]
