from __future__ import annotations

import hashlib
import json
import shlex
from pathlib import Path
from textwrap import dedent

import pytest

from ngbench.cli import main

TASK = '''
    import torch
    from ngbench import Data, Gaussian, Task

    def line(*, examples: int = 40):
        """Points on a line."""
        x = torch.linspace(-1, 1, examples).reshape(-1, 1)
        return Task(lambda: torch.nn.Linear(1, 1), lambda directory: Data.from_tensors(x, 2 * x), Gaussian(), 8, 1)
'''
OPTIMIZER = '''
    import torch

    class Slow(torch.optim.SGD):
        """SGD with a small learning rate."""

        def __init__(self, params, lr: float = 0.001):
            super().__init__(params, lr=lr)
'''
COMMAND = ["compare", "line_task.py:line", "-o", "slow_one.py:Slow,sgd:lr=0.1", "--steps", "3", "--output", "out"]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("line_task.py").write_text(dedent(TASK))
    Path("slow_one.py").write_text(dedent(OPTIMIZER))
    return tmp_path


def test_a_comparison_of_files_says_which_and_keeps_their_digests(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(COMMAND) == 0
    said = capsys.readouterr().err
    assert "task 'line_task.py:line' is that of line_task.py" in said
    assert "optimizer 'slow_one.py:Slow' is that of slow_one.py" in said
    (slow,), (sgd,) = (
        [json.loads(path.read_text()) for path in Path("out").glob(name)] for name in ("slow*.json", "sgd*.json")
    )
    digests = {path: hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in ("line_task.py", "slow_one.py")}
    (run,) = slow["runs"]
    untracked = {"commit": None, "dirty": None, "reason": "no git repository is known to track it"}
    assert run["task_file"] == {"path": "line_task.py", "digest": digests["line_task.py"], **untracked}
    assert run["optimizer"]["file"] == {"path": "slow_one.py", "digest": digests["slow_one.py"], **untracked}
    assert slow["environment"]["command"] == shlex.join(["ngbench", *COMMAND])
    assert sgd["runs"][0]["optimizer"]["file"] is None
    assert run["optimizer"]["origins"] == {"lr": "default"}
    assert sgd["runs"][0]["optimizer"]["origins"]["lr"] == "given"


def test_what_another_file_began_is_not_gone_on_with(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(COMMAND) == 0
    Path("slow_one.py").write_text(dedent(OPTIMIZER).replace("small", "smaller"))
    assert main([*COMMAND, "--resume"]) == 2
    error = capsys.readouterr().err
    assert "is another run than the one to be resumed" in error
    assert "optimizer.file.digest" in error
