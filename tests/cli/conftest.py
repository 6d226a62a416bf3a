"""A small task and optimizers that misbehave, installed as a distribution, and the command line on them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ngbench import cli
from tests.cli.quick_commands import quick

__all__ = ["quick"]

LABORATORY = '''
    import os
    import signal

    import torch
    from torch import nn

    from ngbench import Data, DataSource, Gaussian, Task
    from ngbench.errors import DataError

    def pond(*, depth: int = 8, dry: bool = False) -> Task:
        """Forty random examples."""

        def data(directory):
            if dry:
                raise DataError("the pond is dry: fill it with --set dry=false")
            generator = torch.Generator().manual_seed(0)
            inputs = torch.randn(50, 6, generator=generator)
            targets = torch.randn(50, 3, generator=generator)
            source = DataSource("POND", "stand-in", "random numbers", "00")
            return Data(inputs[:40], targets[:40], inputs[40:], targets[40:], source)

        def model():
            return nn.Sequential(nn.Linear(6, depth), nn.Tanh(), nn.Dropout(0.1), nn.Linear(depth, 3))

        return Task(model=model, data=data, likelihood=Gaussian(), batch_size=10, epochs=2)

    class _Counting(torch.optim.SGD):
        """Does something at its step number ``at``, but for the three that count operations."""

        def __init__(self, model, at, action):
            super().__init__(model.parameters(), lr=0.05)
            self.at, self.action, self.taken = at, action, 0

        def step(self, closure=None):
            self.taken += 1
            if self.taken == self.at:
                self.action()
            return super().step(closure)

        def state_dict(self):
            return {**super().state_dict(), "taken": self.taken}

        def load_state_dict(self, state):
            self.taken = state.pop("taken")
            super().load_state_dict(state)

    def fails(model, task, *, at: int = 6) -> torch.optim.Optimizer:
        """Raises."""
        def action():
            raise RuntimeError("the knob came off")
        return _Counting(model, at, action)

    def exhausts(model, task, *, at: int = 6) -> torch.optim.Optimizer:
        """Runs out of memory."""
        def action():
            raise MemoryError
        return _Counting(model, at, action)

    def dies(model, task, *, at: int = 6, number: int = 9) -> torch.optim.Optimizer:
        """Kills its process."""
        return _Counting(model, at, lambda: os.kill(os.getpid(), number))

    def ends(model, task, *, at: int = 6) -> torch.optim.Optimizer:
        """Kills its whole process group, as kill -9 from outside would."""
        flag = os.environ.get("LABORATORY_FLAG", "")
        def action():
            if flag and not os.path.exists(flag):
                open(flag, "w").close()
                os.kill(os.getpid(), signal.SIGKILL)
        return _Counting(model, at, action)

    def interrupts(model, task, *, at: int = 6) -> torch.optim.Optimizer:
        """Presses Ctrl-C, the way a terminal delivers it: in the whole process group."""
        flag = os.environ.get("LABORATORY_FLAG", "")
        def action():
            if flag and not os.path.exists(flag):
                open(flag, "w").close()
                os.killpg(os.getpgid(0), signal.SIGINT)
        return _Counting(model, at, action)

    def chatters(model, task) -> torch.optim.Optimizer:
        """Prints."""
        print("chatter")
        return torch.optim.SGD(model.parameters(), lr=0.05)
'''
OPTIMIZERS = ("fails", "exhausts", "dies", "ends", "interrupts", "chatters")


ARCADE = '''
    import os

    import torch
    from torch import nn

    from ngbench import AdversarialTask, Data, DataSource

    class Shape(nn.Module):
        def forward(self, flat):
            return flat.unflatten(1, (1, 8, 8))

    def rows(*, labelled: bool = True) -> AdversarialTask:
        """Images with one bright row."""

        def data(directory):
            generator = torch.Generator().manual_seed(0)
            labels = torch.arange(40) % 4
            images = torch.rand(40, 1, 8, 8, generator=generator) - 1
            images[torch.arange(40), 0, labels] = 1.0
            source = DataSource("ROWS", "generated", "bright rows", "00")
            targets = labels if labelled else images
            return Data(images[:32], targets[:32], images[32:], targets[32:], source)

        return AdversarialTask(
            generator=lambda: nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 64), nn.Tanh(), Shape()),
            critic=lambda: nn.Sequential(nn.Conv2d(1, 2, 4, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(18, 1)),
            data=data,
            noise=3,
            batch_size=8,
            epochs=2,
            critic_steps=2,
        )

    class Signs(torch.optim.Optimizer):
        """Steps of one size in the direction of the sign of a moving sum; it has never heard of a GAN."""

        def __init__(self, parameters, lr):
            super().__init__(parameters, {"lr": lr})

        @torch.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        state = self.state[parameter]
                        state["sum"] = 0.5 * state.get("sum", torch.zeros_like(parameter)) + parameter.grad
                        parameter.sub_(state["sum"].sign(), alpha=group["lr"])

    def signs(model, task, *, lr: float = 1e-3) -> torch.optim.Optimizer:
        """Sign descent."""
        return Signs(model.parameters(), lr)

    class Mortal(Signs):
        """Kills its process at its tenth step, once."""

        def step(self, closure=None):
            super().step(closure)
            self.param_groups[0]["taken"] = self.param_groups[0].get("taken", 0) + 1
            flag = os.environ["ARCADE_FLAG"]
            if self.param_groups[0]["taken"] == 10 and not os.path.exists(flag):
                open(flag, "w").close()
                os.kill(os.getpid(), 9)

    def mortal(model, task) -> torch.optim.Optimizer:
        """Sign descent that ends early."""
        return Mortal(model.parameters(), 1e-3)
'''


@pytest.fixture
def arcade(distribute: Callable[..., None]) -> None:
    """A task of two players and optimizers that have never heard of any."""
    distribute(
        "dist-arcade",
        {"arcade": ARCADE},
        optimizers={"signs": "arcade:signs", "mortal": "arcade:mortal"},
        tasks={"rows": "arcade:rows"},
    )


@pytest.fixture
def laboratory(distribute: Callable[..., None]) -> None:
    distribute(
        "dist-laboratory",
        {"laboratory_bench": LABORATORY, "laboratory_broken": "raise ImportError('no such reagent')"},
        optimizers={
            **{name: f"laboratory_bench:{name}" for name in OPTIMIZERS},
            "broken": "laboratory_broken:anything",
        },
        tasks={"pond": "laboratory_bench:pond"},
    )


@dataclass(frozen=True)
class Outcome:
    """What a command did: exit code and what it wrote."""

    code: int
    out: str
    err: str


@pytest.fixture
def ngbench(
    laboratory: None, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., Outcome]:
    """Runs a command line, without the program's name, in an empty directory."""
    from ngbench.experiments import conformance, runs

    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("COLUMNS", "200")
    workers_for = runs.workers_for

    def mostly_here(plan: Any, *, own_processes: bool, fresh: bool) -> Any:
        return workers_for(plan, own_processes=own_processes and len(plan.groups[0]) > 1, fresh=fresh)

    # What is alone runs in this process, to save the start of another; other tests show that it does not.
    monkeypatch.setattr(runs, "workers_for", mostly_here)
    monkeypatch.setattr(conformance, "check_plugin_apart", conformance.check_plugin)

    def run(line: str) -> Outcome:
        capfd.readouterr()
        code = cli.main(line.split())
        written = capfd.readouterr()
        return Outcome(code, written.out, written.err)

    return run


@pytest.fixture
def tune(ngbench: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """As ``ngbench``, where a search trains in this process, to save the start of another."""
    from ngbench.experiments.search import search as searches
    from ngbench.running.workers import LocalWorker, RunStarter

    made = searches.search

    def here(request: Any, **settings: Any) -> Any:
        return made(request, **{"make_worker": lambda plan: LocalWorker(RunStarter(plan.problem)), **settings})

    monkeypatch.setattr(searches, "search", here)
    return ngbench


@pytest.fixture
def program(laboratory: None, arcade: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    """Starts the program, with the plugins of this process, in an empty directory and in a process group of its own."""
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "there")
    monkeypatch.setenv("NGBENCH_DATA_DIR", str(tmp_path / "data"))

    def start(line: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "ngbench", *line.split()],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    return start


def without_times(run: dict[str, Any]) -> dict[str, Any]:
    """Everything that must be equal in two runs of the same configuration."""
    run = json.loads(json.dumps(run))
    del run["started_at"], run["history"]["elapsed_seconds"], run["steps"]["seconds"], run["steps"]["interrupted"]
    for name in ("peak_bytes", "baseline_bytes"):
        del run["memory"][name]
    for phase in run["phases"].values():
        for cost in (phase, *phase["by_kind"].values()):
            cost.pop("seconds_total")
            for name in ("seconds_by_round", "undisturbed_seconds_by_round", "undisturbed_calls_by_round"):
                cost.pop(name, None)
    return run


@pytest.fixture
def same_runs() -> Callable[[Path, Path], bool]:
    """Whether two directories hold the records of the same runs, but for what the clock says."""

    def read(directory: Path) -> dict[str, dict[str, Any]]:
        files = sorted(path for path in directory.rglob("*-seed[0-9]*.json"))
        return {
            str(path.relative_to(directory)): without_times(json.loads(path.read_text())["runs"][0]) for path in files
        }

    def same(one: Path, other: Path) -> bool:
        left, right = read(one), read(other)
        assert left
        assert left.keys() == right.keys()
        for name in left:
            assert left[name] == right[name], name
        return True

    return same


@pytest.fixture
def read_runs() -> Callable[[str | Path], dict[str, Any]]:
    """The runs of a JSON text or file, by label and seed."""

    def read(source: str | Path) -> dict[str, Any]:
        text = source.read_text() if isinstance(source, Path) else source
        return {f"{run['label']}/{run['seed']}": run for run in json.loads(text)["runs"]}

    return read
