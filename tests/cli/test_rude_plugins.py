"""Plugins that end their process, write where they should not, or leave things behind: through the whole program."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the program is watched where processes can fork")

RUDE = '''
    import atexit
    import multiprocessing
    import os
    import sys
    import threading
    import time

    import torch

    class _Counting(torch.optim.SGD):
        def __init__(self, model, action):
            super().__init__(model.parameters(), lr=0.05)
            self.action, self.taken = action, 0

        def step(self, closure=None):
            self.taken += 1
            if self.taken == 6:
                self.action()
            return super().step(closure)

    def exits(model, task) -> torch.optim.Optimizer:
        """Ends its process without a word."""
        return _Counting(model, lambda: os._exit(0))

    def leaves(model, task) -> torch.optim.Optimizer:
        """Says that all went well."""
        return _Counting(model, lambda: sys.exit(0))

    def builds(model, task) -> torch.optim.Optimizer:
        """Ends its process where it is built."""
        sys.exit(0)

    def litters(model, task) -> torch.optim.Optimizer:
        """Writes where it likes and leaves a thread behind."""
        os.write(1, b"LITTER")
        os.system("echo LITTER")
        atexit.register(os.write, 1, b"LITTER")
        atexit.register(print, "LITTER")
        threading.Thread(target=time.sleep, args=(600,)).start()
        return torch.optim.SGD(model.parameters(), lr=0.05)

    def gone(block, previous):
        """Ends its process where it is the run's own."""
        if multiprocessing.parent_process() is not None:
            os._exit(0)
        from ngbench.curvature.kronecker.approximations import kfac
        return kfac(block, previous)
'''


@pytest.fixture
def rude(distribute: Callable[..., None]) -> None:
    distribute(
        "dist-rude",
        {"rude_bench": RUDE, "rude_import": "import os\nos.write(1, b'LITTER')\nos._exit(0)\n"},
        optimizers={
            **{name: f"rude_bench:{name}" for name in ("exits", "leaves", "builds", "litters")},
            "vanishes": "rude_import:anything",
        },
        approximations={"gone": "rude_bench:gone"},
    )


def ended(process: Any) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=300)
    assert "Traceback" not in err
    return process.returncode, out, err


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("train pond -o vanishes", 1, "Error: the process ended with code 0 in the middle of its work"),
        ("list optimizers vanishes", 1, "Error: the process ended with code 0 in the middle of its work"),
        ("train pond -o builds", 2, "Error: optimizer 'builds' (from dist-rude) failed: SystemExit: 0"),
    ],
)
@pytest.mark.usefixtures("rude")
def test_an_end_before_any_run_is_said(program: Any, line: str, code: int, said: str) -> None:
    done, out, err = ended(program(line))
    assert (done, out) == (code, ""), err
    assert said in err


@pytest.mark.parametrize(("name", "message"), [("exits", "the process ended with code 0"), ("leaves", "SystemExit: 0")])
@pytest.mark.usefixtures("rude")
def test_an_end_in_a_step_of_train_is_a_failed_run(program: Any, name: str, message: str) -> None:
    code, out, err = ended(program(f"train pond -o {name} --output out --export-json -"))
    (run,) = json.loads(out)["runs"]
    assert (code, run["status"], run["message"], run["history"]["epoch"]) == (1, "failed", message, [1]), err
    assert json.loads(Path(f"out/{name}-seed0.json").read_text())["runs"][0]["status"] == "failed"


@pytest.mark.usefixtures("rude")
def test_an_end_in_an_arm_of_compare_and_gan_is_that_arms(program: Any) -> None:
    code, out, _ = ended(program("compare pond -o exits,leaves,sgd --export-json -"))
    statuses = {run["label"]: run["status"] for run in json.loads(out)["runs"]}
    assert (code, statuses) == (1, {"exits": "failed", "leaves": "failed", "sgd": "done"})
    code, out, _ = ended(program("gan rows -p exits+adam,adam --fid-samples 20 --export-json -"))
    statuses = {run["label"]: run["status"] for run in json.loads(out)["runs"]}
    assert (code, statuses) == (1, {"exits+adam": "failed", "adam": "done"})


@pytest.mark.usefixtures("rude")
def test_an_end_in_fisher_error_and_check_plugin_is_reported(program: Any) -> None:
    code, out, err = ended(program("fisher-error pond -a gone --layer 1 --steps 3 --export-json -"))
    (run,) = json.loads(out)["runs"]
    assert (code, run["status"], run["message"]) == (1, "failed", "the process ended with code 0"), err
    assert "The run failed: the process ended with code 0." in err
    code, out, err = ended(program("check-plugin exits --optimizer --export-json -"))
    assert code == 1, err
    rows = json.loads(out)["conformance"]["plugins"][0]["checks"]
    failed = [row for row in rows if "the process ended with code 0; it must" in row["message"]]
    assert len(failed) == 1


@pytest.mark.usefixtures("rude")
def test_what_a_plugin_leaves_behind_neither_spoils_a_result_nor_keeps_the_program(program: Any) -> None:
    code, out, err = ended(program("train pond -o litters --export-json -"))
    assert code == 0, err
    assert json.loads(out)["runs"][0]["status"] == "done"
    assert "LITTER" in err


def test_signals_reach_the_work_and_kills_take_it_along(program: Any) -> None:
    line = "train pond -o sgd --epochs 100000 --output"
    for number, code in ((signal.SIGINT, 1), (signal.SIGTERM, -signal.SIGTERM), (signal.SIGKILL, -signal.SIGKILL)):
        process = program(f"{line} {number.name}")
        while not list(Path().glob(f"{number.name}/*.pt")):
            assert process.poll() is None
            time.sleep(0.05)
        os.kill(process.pid, number)
        # All that it started hold the pipe open for as long as they live.
        assert ended(process)[0] == code
