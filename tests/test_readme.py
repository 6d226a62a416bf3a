"""What the README says runs."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import ngbench
from ngbench import cli
from ngbench.plugins import registry
from ngbench.plugins.parameters import parameters_of

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def _blocks(language: str) -> list[str]:
    return [text for found, text in BLOCKS if found == language]


def _python(part: str) -> str:
    (found,) = [text for text in _blocks("python") if part in text]
    return found


def test_the_loop_trains():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    batches = [(torch.randn(8, 4), torch.randint(3, (8,))) for _ in range(2)] * 10
    names = {"model": model, "batches": batches}
    before = [parameter.detach().clone() for parameter in model.parameters()]
    exec(_python("NaturalGradient("), names)
    assert all(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_the_plugin_is_one(distribute):
    distribute("mine", modules={"my_package": _python("my_optimizer")}, optimizers={"mine": "my_package:my_optimizer"})
    plugin = registry.optimizer("mine")
    assert plugin.summary == "One line that `ngbench list optimizers` shows."
    assert [parameter.name for parameter in plugin.parameters] == ["lr"]
    built = registry.build_optimizer(plugin, nn.Linear(2, 2), None, {"lr": "0.5"})
    assert isinstance(built, torch.optim.Rprop)


def test_the_example_in_python_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = _python("ngbench.compare(").replace("epochs=5, seeds=2", "steps=4, task_options={'examples': 300}")
    (tmp_path / "example.py").write_text(text)
    done = subprocess.run([sys.executable, "example.py"], capture_output=True, text=True, check=True)
    assert "has the lowest training loss" in done.stdout
    assert (tmp_path / "loss.png").exists()
    assert len(ngbench.load("runs.json").runs) == 3


@pytest.mark.parametrize("line", [line for text in _blocks("sh") for line in text.splitlines() if "ngbench" in line])
def test_commands_and_their_options_exist(line):
    for words in (shlex.split(part) for part in line.split("&&") if re.search(r"(^|/)ngbench ", part.strip())):
        parameters = cli.load_command(words[1]).params
        known = {flag for parameter in parameters for flag in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= known


def test_named_optimizers_have_the_hyperparameters_that_are_shown():
    assert {"curvature_interval", "inverse_interval"} <= {p.name for p in registry.optimizer("kfac").parameters}
    assert "coarse_space" in {p.name for p in parameters_of(registry.optimizer("two-level").build, skip=2)}


def test_the_script_of_continuous_integration_runs_the_test_command():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    extraction = re.search(r"command=(\$\(awk .*?README\.md\))", script, re.DOTALL)
    assert extraction is not None
    found = subprocess.run(
        ["bash", "-c", f'printf "%s" "{extraction[1]}"'],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == _blocks("sh")[1].strip()
    assert "pytest" in found.stdout
