"""Searches that several processes share, of which some are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

Run = Callable[..., Any]

pytestmark = pytest.mark.skipif(os.name == "nt", reason="sends SIGKILL")

TORTOISE = '''
    import os
    import time
    import torch

    def tortoise(model, task, *, lr: float = 0.1, momentum: float = 0.0) -> torch.optim.Optimizer:
        """Waits for as long as the environment says, but not in the steps that count operations."""
        class Waiting(torch.optim.SGD):
            taken = 0
            def step(self, closure=None):
                self.taken += 1
                if self.taken == 4:
                    time.sleep(float(os.environ.get("TORTOISE_WAITS", "0")))
                return super().step(closure)
        return Waiting(model.parameters(), lr=lr, momentum=momentum)
'''
LINE = "tune pond -o tortoise --search lr=0.01,0.02,0.05 --search momentum=0,0.5 --epochs 1 --threads 1"


def start(line: str, **environment: str) -> subprocess.Popen[str]:
    """The command line in a process of its own, with the plugins of this process."""
    return subprocess.Popen(
        [sys.executable, "-m", "ngbench", *line.split()],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def begun(process: subprocess.Popen[str], directory: Path) -> None:
    """Wait until a trial of the process has a record."""
    while not list(directory.glob("*-trial-*.json")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


@pytest.fixture
def tortoise(distribute: Callable[..., None], ngbench: Run) -> None:
    distribute("dist-tortoise", {"tortoise_bench": TORTOISE}, optimizers={"tortoise": "tortoise_bench:tortoise"})


def killed(storage: str) -> None:
    """Leave a storage in which a process was killed in the middle of its first trial."""
    process = start(f"{LINE} --storage {storage} --output killed", TORTOISE_WAITS="600")
    begun(process, Path("killed"))
    process.kill()
    process.communicate(timeout=600)


def check_whole(arm: dict[str, Any]) -> None:
    """Every point was tried once, but for the one whose process was killed."""
    points = [(t["settings"]["lr"], t["settings"]["momentum"]) for t in arm["trials"]]
    assert sorted(points) == [(lr, momentum) for lr in (0.01, 0.02, 0.05) for momentum in (0, 0.5)]
    assert (arm["outcomes"], arm["repeated"], arm["steps"]) == ({"done": 6}, 1, 6 * 4)


def test_two_searches_started_by_hand_share_what_a_killed_one_left(tortoise: None) -> None:
    killed("s.db")
    command = f"{LINE} --workers 2 --storage s.db --output out"
    both = [start(f"{command} --export-json {name}.json", TORTOISE_WAITS="0.3") for name in "ab"]
    for process in both:
        _, err = process.communicate(timeout=600)
        assert process.returncode == 0, err
    first, second = (json.loads(Path(f"{name}.json").read_text())["search"]["arms"]["tortoise"] for name in "ab")
    assert first == second
    check_whole(first)
    assert len(list(Path("out").glob("tortoise-trial-*.json"))) == 6


def test_a_search_goes_on_with_the_journal_of_a_killed_one(tortoise: None, tune: Run) -> None:
    killed("s.journal")
    done = tune(f"{LINE} --storage s.journal --export-json -")
    assert done.code == 0, done.err
    check_whole(json.loads(done.out)["search"]["arms"]["tortoise"])


def test_a_trial_whose_process_is_killed_is_tried_once_more(
    ngbench: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LABORATORY_FLAG", str(tmp_path / "flag"))
    done = ngbench("tune pond -o ends --search at=6 --epochs 2 --threads 1 --output out --export-json -")
    assert done.code == 0, done.err
    assert "killed, the process was killed (signal 9" in done.err
    assert "to be run again" in done.err
    arm = json.loads(done.out)["search"]["arms"]["ends"]
    assert (arm["outcomes"], arm["repeated"]) == ({"done": 1}, 1)
    (record,) = json.loads(Path("out/ends-trial-000-seed0.json").read_text())["runs"]
    assert record["status"] == "done"


def test_ctrl_c_ends_a_search_with_what_was_finished_and_the_next_does_the_rest(tortoise: None, tune: Run) -> None:
    process = start(f"{LINE} --output out", TORTOISE_WAITS="600")
    begun(process, Path("out"))
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 1, err
    assert "Traceback" not in err
    assert "0 of 6 trials are over; the same command does the others" in " ".join(out.split())
    (record,) = json.loads(next(Path("out").glob("*-trial-*.json")).read_text())["runs"]
    assert record["status"] == "interrupted"
    done = tune(f"{LINE} --output out --export-json -")
    assert done.code == 0, done.err
    check_whole(json.loads(done.out)["search"]["arms"]["tortoise"])


def test_a_search_goes_on_with_a_journal_whose_last_line_was_cut(tune: Run, caplog: pytest.LogCaptureFixture) -> None:
    line = "tune pond -o sgd --search lr=0.01,0.1 --epochs 1 --threads 1 --storage s.journal"
    # In a process that is gone when the next one looks for it.
    process = start(f"{line} --trials 1")
    process.communicate(timeout=600)
    assert process.returncode == 0
    content = Path("s.journal").read_bytes()
    Path("s.journal").write_bytes(content[:-25])
    again = tune(f"{line} --trials 1")
    assert again.code == 0, again.err
    assert "the last line of s.journal is cut off" in caplog.text
    done = tune(f"{line} --export-json -")
    assert done.code == 0, done.err
    arm = json.loads(done.out)["search"]["arms"]["sgd"]
    assert (len(arm["trials"]), arm["outcomes"]) == (2, {"done": 2})


def test_a_search_that_waits_for_a_stopped_process_says_so_and_heeds_the_user(laboratory: None, tmp_path: Path) -> None:
    path = tmp_path / "s.journal"
    with FileLock(f"{path}.claim"):
        process = start(f"tune pond -o sgd --search lr=0.1 --epochs 1 --storage {path}")
        assert process.stderr is not None
        said = process.stderr.readline()
        while said and "waiting for another process that holds the lock" not in said:
            said = process.stderr.readline()
        assert "s.journal.claim" in said
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err.strip()) == (1, "Interrupted.")


def test_more_workers_than_trials_are_not_started(tune: Run) -> None:
    done = tune("tune pond -o sgd --search lr=0.1 --epochs 1 --workers 200")
    assert done.code == 0, done.err
    assert "1 of the 200 workers are used, one for each trial" in done.err
    refused = tune("tune pond -o sgd --search lr=0.1 --epochs 1 --workers 1000000")
    assert refused.code == 2
    assert "1000000" in refused.err
    assert "<= 256" in refused.err
