"""A small task and optimizers that misbehave, installed as a distribution, and the command line on them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ngbench import cli

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

    def waits(model, task) -> torch.optim.Optimizer:
        """Needs a closure."""
        return torch.optim.LBFGS(model.parameters())
'''
OPTIMIZERS = ("fails", "exhausts", "dies", "ends", "interrupts", "chatters", "waits")


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
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("COLUMNS", "200")

    def run(line: str) -> Outcome:
        capfd.readouterr()
        code = cli.main(line.split())
        written = capfd.readouterr()
        return Outcome(code, written.out, written.err)

    return run


@pytest.fixture
def tune(ngbench: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """As ``ngbench``, where a search trains in this process, to save the start of another."""
    from ngbench.cli import tune_execution
    from ngbench.training.executors import InProcess, TaskHost
    from ngbench.tuning.search import run_search

    def here(plan: Any, ledger: Any, **settings: Any) -> Any:
        return run_search(plan, ledger, make_executor=lambda: InProcess(TaskHost(plan.problem)), **settings)

    monkeypatch.setattr(tune_execution, "run_search", here)
    return ngbench


@pytest.fixture
def read_runs() -> Callable[[str | Path], dict[str, Any]]:
    """The runs of a JSON text or file, by label and seed."""

    def read(source: str | Path) -> dict[str, Any]:
        text = source.read_text() if isinstance(source, Path) else source
        return {f"{run['label']}/{run['seed']}": run for run in json.loads(text)["runs"]}

    return read
