"""What exact natural gradient and the coarse correction cost, in SGD steps of the same run.

``pytest tests/benchmarks/test_exact.py --benchmark-enable`` measures, prints and saves (``--benchmark-json``) the
ratios; without a benchmark run each workload takes one step, so that nothing here is broken unnoticed.

Operations give a floor for an optimizer that leaves the weight gradients to ``loss.backward()``, as any drop-in does:
with L = 2 m p, the products with all weights of the forward pass on ``mnist-autoencoder`` (batch 512), an SGD step is
2.7 L; the derivatives at sampled targets 0.7 L, the Gram matrices 1.0 L by lower blocks, ``Jᵀ∇h`` and ``J w`` 1 L each.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from workloads import SMALL, TASK, WORKLOADS, Arm, phase_ratios

from ngbench.optimizers.exact import exact_ng
from ngbench.optimizers.kronecker import kfac
from ngbench.optimizers.two_level import two_level

ROUNDS = 21

# Steps of SGD that each item may take, on the two workloads.
TARGETS = {
    "exact-ng sampled": (2.0, 2.1),
    "exact-ng empirical": (1.4, 1.5),
    "coarse correction": (0.34, 0.30),
}
ONCE = {"lr": 1e-6, "curvature_interval": "once", "inverse_interval": "once"}
ARMS: dict[str, Callable[[nn.Module], torch.optim.Optimizer]] = {
    "exact-ng sampled": lambda model: exact_ng(model, TASK, lr=1e-6),
    "exact-ng empirical": lambda model: exact_ng(model, TASK, lr=1e-6, fisher="empirical"),
    "kfac": lambda model: kfac(model, TASK, **ONCE),
    "two-level": lambda model: two_level(model, TASK, coarse_space="nicolaides", **ONCE),
}


@pytest.mark.parametrize("workload", WORKLOADS)
def test_whole_steps_in_units_of_an_sgd_step(benchmark, workload, capsys):
    given = SMALL if benchmark.disabled else WORKLOADS[workload]
    sgd = Arm(given, lambda model: torch.optim.SGD(model.parameters(), lr=1e-6, momentum=0.9))
    arms = {name: Arm(given, make) for name, make in ARMS.items()}
    for arm in (sgd, *arms.values()):
        arm.step()
    ratios, _ = phase_ratios(arms, sgd, 1 if benchmark.disabled else ROUNDS)
    measured = {name: phases["step"] for name, phases in ratios.items()}
    measured["coarse correction"] = measured["two-level"] - measured["kfac"]
    column = list(WORKLOADS).index(workload)
    lines = []
    for name, targets in TARGETS.items():
        benchmark.extra_info[name] = {"sgd_steps": measured[name], "target": targets[column]}
        lines.append(f"{workload:20} {name:20} {measured[name]:5.2f} SGD steps, target {targets[column]:.2f}")
    if not benchmark.disabled:
        with capsys.disabled():
            print("\n" + "\n".join(lines))
    benchmark.pedantic(arms["exact-ng sampled"].step, rounds=1)
    assert all(value > 0 for phases in ratios.values() for value in phases.values())
