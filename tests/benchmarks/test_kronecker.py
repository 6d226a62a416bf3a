"""What each phase of the Kronecker curvatures costs, in SGD steps of the same run.

``pytest tests/benchmarks/test_kronecker.py --benchmark-enable`` measures and prints the ratios beside their targets and
floors, and saves them with ``--benchmark-json``; without a benchmark run each arm takes one step, so that nothing here
is broken unnoticed. A floor is an item's floating-point operations over the rate of a matrix product, measured in the
same run. The curvature is estimated and inverted at every step.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from workloads import SMALL, TASK, WORKLOADS, Arm, matrix_product_rate, phase_ratios

from ngbench.optimizers import kronecker

ROUNDS = 7
OPTIONS = {"lr": 1e-6, "curvature_interval": 1, "inverse_interval": 1, "damping": 1e-2}


def _arm(plugin: Callable[..., torch.optim.Optimizer]) -> Callable[[nn.Module], torch.optim.Optimizer]:
    return lambda model: plugin(model, TASK, **OPTIONS)


ARMS = {
    name: _arm(getattr(kronecker, name.replace("-", "_")))
    for name in ("kfac", "kpsvd", "deflation", "lanczos", "kfac-corrected")
}

# SGD steps that an item may take on the two workloads: phases of an arm, less those of another one.
ITEMS = {
    "KFAC factors": ({"kfac": ("curvature_backward", "accumulate")}, {}, (0.75, 0.70)),
    "KFAC inverses": ({"kfac": ("refresh",)}, {}, (1.5, 2.5)),
    "KFAC precondition": ({"kfac": ("precondition",)}, {}, (0.85, 0.85)),
    "KFAC, everything every step": ({"kfac": ("step",)}, {}, (4.0, 5.0)),
    "KPSVD factors": ({"kpsvd": ("curvature_backward", "accumulate")}, {}, (1.0, 1.2)),
    "Deflation factors": ({"deflation": ("curvature_backward", "accumulate")}, {}, (1.5, 2.0)),
    "Lanczos factors": ({"lanczos": ("curvature_backward", "accumulate")}, {}, (1.5, 2.0)),
    "KFAC-corrected, on top of KFAC": ({"kfac-corrected": ("accumulate",)}, {"kfac": ("accumulate",)}, (1.0, 1.5)),
    "two-term set-up": ({"deflation": ("refresh",)}, {}, (10.0, 14.0)),
    "two-term precondition": ({"deflation": ("precondition",)}, {}, (2.2, 2.2)),
}


def _total(values: dict[str, dict[str, float]], plus: dict[str, tuple[str, ...]], minus: dict[str, tuple[str, ...]]):
    def add(parts: dict[str, tuple[str, ...]]) -> float:
        return sum(values[arm][phase] for arm, phases in parts.items() for phase in phases)

    return add(plus) - add(minus)


@pytest.mark.parametrize("workload", WORKLOADS)
def test_phases_in_units_of_an_sgd_step(benchmark, workload, capsys):
    given = SMALL if benchmark.disabled else WORKLOADS[workload]
    sgd = Arm(given, lambda model: torch.optim.SGD(model.parameters(), lr=1e-6, momentum=0.9))
    arms = {name: Arm(given, make) for name, make in ARMS.items()}
    for arm in (sgd, *arms.values()):
        arm.step()
    ratios, unit = phase_ratios(arms, sgd, 1 if benchmark.disabled else ROUNDS)
    operations = {name: arm.operations() for name, arm in arms.items()}
    rate = matrix_product_rate()
    column = list(WORKLOADS).index(workload)
    lines = [f"{workload}: an SGD step takes {unit:.4f} s, a matrix product {rate / 1e9:.0f} GFLOP/s"]
    measured = {}
    for item, (plus, minus, targets) in ITEMS.items():
        measured[item] = _total(ratios, plus, minus)
        floor = _total(operations, plus, minus) / rate / unit
        benchmark.extra_info[item] = {"sgd_steps": measured[item], "target": targets[column], "floor": floor}
        lines.append(f"{item:32} {measured[item]:6.2f} SGD steps, target {targets[column]:5.2f}, floor {floor:5.2f}")
    for name, arm in arms.items():
        iterations = {key: value for key, value in arm.diagnostics().items() if key.startswith("iterations/")}
        benchmark.extra_info[f"{name} iterations"] = iterations
        lines.append(f"{name:32} iterations {[int(value) for value in iterations.values()]}")
    if not benchmark.disabled:
        with capsys.disabled():
            print("\n" + "\n".join(lines))
    benchmark.extra_info["sgd_steps"] = measured
    benchmark.pedantic(arms["kpsvd"].step, rounds=1)
    assert all(value > 0 for phases in ratios.values() for value in phases.values())
