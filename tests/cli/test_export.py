from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def runs(ngbench):
    """Two directories of records of one task, one of which holds a run that took no step."""
    for arm in ("sgd", "kfac:curvature_interval=2,inverse_interval=2"):
        name = arm.partition(":")[0]
        assert ngbench(f"train pond -o {name}@{arm} --epochs 2 --output {name} -q").code == 0
    (file,) = Path("sgd").glob("*.json")
    content = json.loads(file.read_text())
    (run,) = content["runs"]
    nothing = {"epoch": [], "step": [], "train_loss": [], "validation_loss": [], "elapsed_seconds": [], "metrics": {}}
    run |= {"label": "late", "status": "failed", "history": nothing, "steps": {"seconds": [], "kind": []}, "phases": {}}
    Path("sgd", "late-seed0.json").write_text(json.dumps(content))
    return ngbench


def test_what_is_exported_is_what_pytest_benchmark_compares(runs):
    done = runs("export sgd kfac --pytest-benchmark now.json")
    assert (done.code, done.out) == (0, "")
    assert done.err == "Warning: late, seed 0, of pond depth=8 dry=False took no step and is left out.\n"
    exported = json.loads(Path("now.json").read_text())
    by_name = {benchmark["name"]: benchmark for benchmark in exported["benchmarks"]}
    assert by_name["step_time[kfac]"]["extra_info"]["ratio"]["value"] > 1
    Path("before.json").write_text(Path("now.json").read_text())
    compare = [sys.executable, "-m", "pytest_benchmark", "compare", "now.json", "before.json"]
    table = subprocess.run(compare, capture_output=True, text=True, check=True).stdout
    assert "benchmark 'pond depth=8 dry=False step_time': 4 tests" in table
    assert "benchmark 'pond depth=8 dry=False phase.refresh': 2 tests" in table
    assert "step_time[sgd] (now)" in table
    assert "Failed to load" not in table


def test_it_can_go_to_stdout_with_another_reference(runs):
    done = runs("export sgd kfac --pytest-benchmark - --reference kfac")
    assert done.code == 0
    by_name = {benchmark["name"]: benchmark for benchmark in json.loads(done.out)["benchmarks"]}
    assert by_name["step_time[sgd]"]["extra_info"]["ratio"]["value"] < 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("sgd nothing", "there is no record 'nothing'"),
        ("sgd --reference adam", "unknown reference arm 'adam' (known: late, sgd)"),
        ("sgd/late-seed0.json", "there is no step in the records of 'sgd/late-seed0.json'"),
    ],
)
def test_what_cannot_be_exported_is_named(runs, arguments, sentence):
    done = runs(f"export {arguments} --pytest-benchmark now.json")
    assert done.code == 2
    assert sentence in done.err
    assert not Path("now.json").exists()


def test_torch_is_not_loaded(runs):
    program = (
        "import sys; from ngbench.cli import main; "
        "code = main(['export', 'sgd', '--pytest-benchmark', 'now.json']); sys.exit(code or 'torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
