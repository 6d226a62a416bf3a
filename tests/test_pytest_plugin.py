"""The fixture ``ngbench_step``, in suites of its own and in processes of their own: torch cannot be imported twice."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

POND = '''
    import torch
    from torch import nn
    from ngbench import Data, DataSource, Gaussian, Task

    def pond(*, depth: int = 8) -> Task:
        """Forty random examples."""
        def data(directory):
            examples = torch.randn(50, 6, generator=torch.Generator().manual_seed(0))
            source = DataSource("POND", "stand-in", "random numbers", "00")
            return Data(examples[:40], examples[:40, :3], examples[40:], examples[40:, :3], source)
        return Task(
            model=lambda: nn.Sequential(nn.Linear(6, depth), nn.Tanh(), nn.Linear(depth, 3)),
            data=data, likelihood=Gaussian(), batch_size=10, epochs=2,
        )
'''
PHASES = ["forward", "backward", "curvature_backward", "accumulate", "refresh", "precondition", "update"]
SUITE = """
    import json
    import os

    ARM = "kfac@kfac:curvature_interval=2,inverse_interval=2"

    def test_cost(ngbench_step):
        costs = ngbench_step(ARM, task="pond", rounds=6, steps=2)
        seen = {
            "ratio": costs.ratio.value,
            "low": costs.ratio.low,
            "exceeds": [costs.ratio.exceeds(0.0), costs.ratio.exceeds(1e6)],
            "phases": list(costs.phases),
            "flops": costs.phases["precondition"].flops,
            "samples": list(costs.step.samples),
            "steps": [len(run.steps.seconds) for run in (costs.record, costs.reference)],
        }
        with open("seen.json", "w") as file:
            json.dump(seen, file)
"""
REFUSED = {
    "unknown": ("'nope', task='pond'", "unknown optimizer 'nope'"),
    "no_rounds": ("'adam', task='pond', rounds=0", "rounds=0 is not allowed, it must be at least 1"),
    "two": ("'adam,rmsprop', task='pond'", "optimizer='adam,rmsprop' is not allowed, it must be one optimizer"),
    "diverges": ("'sgd:lr=1e30', task='pond'", "the run of sgd:lr=1e30 ended as diverged: "),
    "option": ("'adam', task='pond', options={'width': 3}", "'width'"),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Where a task is installed, and a suite lies."""
    root = tmp_path_factory.mktemp("suite")
    (root / "pond_bench.py").write_text(dedent(POND))
    (root / "pond-1.0.dist-info").mkdir()
    (root / "pond-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: pond\nVersion: 1.0\n")
    (root / "pond-1.0.dist-info" / "entry_points.txt").write_text("[ngbench.tasks]\npond = pond_bench:pond\n")
    tests = [f"def test_{name}(ngbench_step):\n    ngbench_step({call})\n" for name, (call, _) in REFUSED.items()]
    (root / "test_measured.py").write_text(dedent(SUITE))
    (root / "test_refused.py").write_text("\n".join(tests))
    return root


def run(site: Path, *arguments: str) -> str:
    """What pytest prints."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    # In a process of pytest-xdist pytest-benchmark measures nothing, and the inner suite is none of its.
    outer = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    environment = outer | {"PYTHONPATH": str(site), "COLUMNS": "100"}
    return subprocess.run(command, cwd=site, env=environment, capture_output=True, text=True, check=False).stdout


def test_step_phases_and_reference_are_in_tables_and_json_and_errors_are_sentences(site):
    shown = run(site, "--benchmark-json=saved.json", "--benchmark-columns=min,mean")
    assert f"{len(REFUSED)} failed, 1 passed" in shown
    for name, (_, sentence) in REFUSED.items():
        (written,) = re.findall(rf"^_+ test_{name} _+\n(.*)\n[_=]", shown, re.MULTILINE)
        assert sentence in written

    tables = {"step_time": 2, "step_time.plain": 1, "phase.forward": 2, "phase.refresh": 1}
    assert all(f"benchmark 'pond depth=8 {part}': {count} tests" in shown for part, count in tables.items())
    assert "test_cost:phase.forward[sgd] " in shown

    seen = json.loads((site / "seen.json").read_text())
    assert 0 < seen["low"] < seen["ratio"]
    assert seen["exceeds"] == [True, False]
    assert seen["phases"] == PHASES

    saved = {one["fullname"]: one for one in json.loads((site / "saved.json").read_text())["benchmarks"]}
    (own,) = [one for one in saved.values() if one["name"] == "test_cost"]
    assert own["stats"]["data"] == seen["samples"]
    # Six rounds of two steps, less what was interrupted.
    assert own["stats"]["rounds"] == len(seen["samples"]) <= 6
    assert own["stats"]["iterations"] <= 2
    assert own["extra_info"]["ratio"]["value"] == seen["ratio"]
    assert f"{own['fullname']}:step_time[sgd]" in saved
    refresh = saved[f"{own['fullname']}:phase.refresh[kfac]"]
    assert 1 <= len(refresh["stats"]["data"]) <= 6
    assert refresh["extra_info"]["flops"] > 0


def test_without_benchmarks_each_arm_takes_two_steps_and_nothing_exceeds(site):
    shown = run(site, "--benchmark-disable", "test_measured.py")
    assert "1 passed" in shown
    assert "step_time" not in shown
    seen = json.loads((site / "seen.json").read_text())
    assert (seen["steps"], seen["phases"]) == ([2, 2], PHASES)
    assert seen["ratio"] > 0
    assert seen["flops"] > 0
    assert (seen["low"], seen["exceeds"]) == (None, [False, False])


def test_it_is_said_that_pytest_benchmark_is_missing(site):
    shown = run(site, "-p", "no:benchmark", "test_measured.py")
    assert "1 error" in shown
    (written,) = re.findall(r"^_+ ERROR at setup of test_cost _+\n(.*)\n=", shown, re.MULTILINE)
    assert written.startswith("the fixture ngbench_step needs pytest-benchmark: pip install 'ngbench[pytest]'")


def test_a_suite_that_does_not_use_it_does_not_load_torch(tmp_path):
    (tmp_path / "test_nothing.py").write_text("def test_nothing():\n    pass\n")
    program = (
        "import sys, pytest; code = pytest.main(['-q', '-p', 'no:cacheprovider']); "
        "assert 'ngbench.pytest_plugin' in sys.modules; sys.exit(code or 'torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
