"""A package of somebody else, built and installed apart from this one, as a user would have it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

PROJECT = """
    [build-system]
    requires = ["setuptools"]
    build-backend = "setuptools.build_meta"

    [project]
    name = "downhill-walks"
    version = "2.5"

    [project.entry-points."ngbench.optimizers"]
    sign-descent = "downhill.optimizer:sign_descent"

    [project.entry-points."ngbench.tasks"]
    line-fit = "downhill.task:line_fit"

    [tool.setuptools]
    packages = ["downhill"]
"""

OPTIMIZER = '''
    from __future__ import annotations

    import os
    from typing import TYPE_CHECKING, Annotated

    import torch

    from ngbench import Range

    if TYPE_CHECKING:
        from torch import nn

        from ngbench import Task

    if "BREAK_DOWNHILL" in os.environ:
        raise RuntimeError("no licence for this machine")


    class SignDescent(torch.optim.Optimizer):
        """Steps of equal length along the signs of the gradient."""

        def __init__(self, params, lr):
            super().__init__(params, {"lr": lr})

        @torch.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        parameter.sub_(parameter.grad.sign(), alpha=group["lr"])


    def sign_descent(
        model: nn.Module, task: Task, *, lr: Annotated[float, Range(above=0)] = 0.01
    ) -> torch.optim.Optimizer:
        """Descent along the signs of the gradient."""
        return SignDescent(model.parameters(), lr)
'''

TASK = '''
    from typing import Annotated

    import torch
    from torch import nn

    from ngbench import Data, DataSource, Gaussian, Range, Task


    def line_fit(*, examples: Annotated[int, Range(minimum=8)] = 64) -> Task:
        """A line through points without noise."""

        def data(directory):
            inputs = torch.linspace(-1, 1, examples)[:, None]
            source = DataSource("LINE", "generated", "points on a line", "0" * 64)
            return Data(inputs, 3 * inputs, inputs, 3 * inputs, source)

        return Task(
            model=lambda: nn.Linear(1, 1),
            data=data,
            likelihood=Gaussian(),
            batch_size=16,
            epochs=3,
            hyperparameters={"sign-descent": {"lr": 0.125}},
        )
'''


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory into which the package was installed."""
    root = tmp_path_factory.mktemp("third-party")
    source, target = root / "source", root / "site"
    (source / "downhill").mkdir(parents=True)
    (source / "pyproject.toml").write_text(dedent(PROJECT))
    (source / "downhill" / "__init__.py").touch()
    (source / "downhill" / "optimizer.py").write_text(dedent(OPTIMIZER))
    (source / "downhill" / "task.py").write_text(dedent(TASK))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    apart = ["--no-index", "--no-deps", "--no-build-isolation", "--target", str(target)]
    subprocess.run([*pip, *apart, str(source)], check=True)
    return target


def ngbench(site: Path, *arguments: str, broken: bool = False) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(site), "COLUMNS": "200"} | ({"BREAK_DOWNHILL": "1"} if broken else {})
    command = [sys.executable, "-m", "ngbench", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=site, check=False)


COMPARE = ("compare", "line-fit", "--epochs", "2", "--set", "examples=32", "--device", "cpu", "--export-json", "-")


def test_its_plugins_are_listed_with_its_name(site: Path) -> None:
    optimizers = ngbench(site, "list", "optimizers").stdout.splitlines()
    tasks = ngbench(site, "list", "tasks").stdout.splitlines()
    (optimizer,) = [line.split() for line in optimizers if line.startswith("sign-descent ")]
    (task,) = [line.split() for line in tasks if line.startswith("line-fit ")]
    assert " ".join(optimizer) == "sign-descent downhill-walks 2.5 Descent along the signs of the gradient."
    assert " ".join(task) == "line-fit downhill-walks 2.5 A line through points without noise."


def test_its_optimizer_and_task_run_in_a_comparison(site: Path) -> None:
    answer = ngbench(site, *COMPARE, "-o", "sign-descent,sgd")
    assert answer.returncode == 0, answer.stderr
    runs = {run["label"]: run for run in json.loads(answer.stdout)["runs"]}
    assert [run["status"] for run in runs.values()] == ["done", "done"]
    assert {run["task"] for run in runs.values()} == {"line-fit"}
    assert runs["sign-descent"]["optimizer"]["hyperparameters"] == {"lr": 0.125}
    assert runs["sign-descent"]["optimizer"]["distribution"] == "downhill-walks"
    assert runs["sign-descent"]["data"]["train_examples"] == 32
    losses = runs["sign-descent"]["history"]["train_loss"]
    assert losses[-1] < losses[0]


def test_its_failure_at_import_is_one_sentence_about_it(site: Path) -> None:
    reason = (
        "optimizer 'sign-descent' (from downhill-walks) cannot be imported: RuntimeError: no licence for this machine"
    )
    answer = ngbench(site, *COMPARE, "-o", "sign-descent,sgd", broken=True)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr.splitlines()[-1] == f"Error: {reason}"
    assert "Traceback" not in answer.stderr
    shown = ngbench(site, "list", "optimizers", "--full", broken=True)
    assert shown.returncode == 0
    assert f"PROBLEM: {reason}" in shown.stdout


def test_its_failure_at_import_breaks_nothing_else(site: Path) -> None:
    listed = ngbench(site, "list", "optimizers", broken=True)
    assert (listed.returncode, listed.stdout) == (0, ngbench(site, "list", "optimizers").stdout)
    answer = ngbench(site, *COMPARE, "-o", "adam,sgd", broken=True)
    assert answer.returncode == 0, answer.stderr
    assert [run["status"] for run in json.loads(answer.stdout)["runs"]] == ["done", "done"]
