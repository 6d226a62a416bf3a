"""What the curvature of convolutions costs on one thread, in SGD steps of the same run and in KFAC factors.

``pytest tests/benchmarks/test_convolution.py --benchmark-enable`` measures processor time and prints the ratios;
without a benchmark run each arm takes one step.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import torch
from torch import nn
from workloads import CLASSES, CONVOLUTIONS, FEW_CONVOLUTIONS, Arm, matrix_product_rate, phase_ratios

from ngbench.optimizers import kronecker
from ngbench.optimizers.exact import exact_ng

ROUNDS = 7
OPTIONS = {"lr": 1e-6, "curvature_interval": 1, "inverse_interval": 1, "damping": 1e-1}
FACTORS = ("curvature_backward", "accumulate")
TARGET = 1.3
ARMS: dict[str, Callable[[nn.Module], torch.optim.Optimizer]] = {
    "kfac": lambda model: kronecker.kfac(model, CLASSES, **OPTIONS),
    "kpsvd": lambda model: kronecker.kpsvd(model, CLASSES, **OPTIONS),
    "deflation": lambda model: kronecker.deflation(model, CLASSES, **OPTIONS),
    "exact-ng": lambda model: exact_ng(model, CLASSES, lr=1e-6, damping=1e-1),
}


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_factors_of_convolutions_in_units_of_an_sgd_step(benchmark, capsys):
    given = FEW_CONVOLUTIONS if benchmark.disabled else CONVOLUTIONS
    sgd = Arm(given, lambda model: torch.optim.SGD(model.parameters(), lr=1e-6, momentum=0.9), time.process_time)
    arms = {name: Arm(given, make, time.process_time) for name, make in ARMS.items()}
    for arm in (sgd, *arms.values()):
        arm.step()
    ratios, unit = phase_ratios(arms, sgd, 1 if benchmark.disabled else ROUNDS)
    rate = matrix_product_rate()
    factors = {name: sum(phases.get(phase, 0.0) for phase in FACTORS) for name, phases in ratios.items()}
    operations = arms["kfac"].operations()
    floor = sum(operations[phase] for phase in FACTORS) / rate / unit
    lines = [
        f"KFAC factors {factors['kfac']:.2f} SGD steps, target {TARGET}, floor {floor:.2f}",
        f"KPSVD factors over all position pairs: {factors['kpsvd'] / factors['kfac']:.2f} of KFAC's, "
        f"{factors['kpsvd']:.2f} SGD steps, iterations {_iterations(arms['kpsvd'])}",
        f"Deflation factors over all position pairs: {factors['deflation'] / factors['kfac']:.2f} of KFAC's, "
        f"iterations {_iterations(arms['deflation'])}",
        f"exact NG: {ratios['exact-ng']['step'] / ratios['kfac']['step']:.2f} of KFAC's refresh step",
    ]
    benchmark.extra_info["sgd_steps"] = factors
    benchmark.extra_info["steps"] = {name: phases["step"] for name, phases in ratios.items()}
    if not benchmark.disabled:
        with capsys.disabled():
            print("\n" + "\n".join(lines))
    benchmark.pedantic(arms["kfac"].step, rounds=1)
    assert all(value > 0 for value in factors.values() if value)


def _iterations(arm: Arm) -> list[int]:
    return [int(value) for key, value in arm.diagnostics().items() if key.startswith("iterations/")]
