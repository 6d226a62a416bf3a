"""Commands that are killed at random moments, again and again, and gone on with: they end as if nothing had been."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from ngbench.records.documents import load_document

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="sends SIGKILL")]

STUDY = """
study: mine
title: Ponds
source: our own
question: Which is quicker?
measure: compare
panels:
  - {name: shallow, title: POND, task: pond, set: {depth: 2}, batch_sizes: [10, 20]}
arms:
  - {name: SGD, optimizer: sgd, hyperparameters: {lr: 1e-4}}
  - {name: KFAC, optimizer: kfac}
scales:
  smoke: {minutes: 0.1, epochs: 40, seeds: 2}
  laptop: {minutes: 0.1, epochs: 40, seeds: 2}
  full: {minutes: 0, skip: the pond is too small}
figure:
  rows: [[{panel: shallow, batch_size: 10}]]
claims:
  - {name: faster, says: KFAC is faster, measurement: training_loss, left: KFAC, relation: below, right: SGD,
     scales: [smoke, laptop, full]}
"""
COMMANDS = {
    "train": "train pond -o kfac --epochs 150 --seeds 2",
    "compare": "compare pond -o sgd,kfac,adam --epochs 80 --seeds 2",
    "gan": "gan rows -p signs+kfac,adam --epochs 40 --fid-samples 20",
    "tune": "tune pond -o sgd,kfac --search lr=0.01,0.02,0.05 --epochs 40",
    "reproduce": "reproduce mine.yaml --scale smoke --device cpu",
}
KILLS = 4
"""Of each command."""


def kill(process: subprocess.Popen[str], whom: str, chance: random.Random) -> str:
    """Send SIGKILL to the program, to its whole group, or to one of the processes that it has started."""
    with suppress(psutil.NoSuchProcess, ProcessLookupError):
        if whom == "group":
            os.killpg(process.pid, signal.SIGKILL)
        elif whom == "program":
            process.kill()
        else:
            below = psutil.Process(process.pid).children(recursive=True)
            if not below:
                process.kill()
                return "program, which had started nothing"
            one = chance.choice(below)
            one.kill()
            return f"process {below.index(one) + 1} of the {len(below)} below"
    return whom


@pytest.mark.parametrize("command", COMMANDS)
def test_twenty_kills_lose_nothing(
    program: Callable[..., Any], same_runs: Callable[[Path, Path], bool], command: str
) -> None:
    chance = random.Random(f"kills of {command}")
    Path("mine.yaml").write_text(STUDY)
    line = f"{COMMANDS[command]} --threads 1 --quiet"
    resume = "" if command == "tune" else " --resume"
    started = time.monotonic()
    whole = program(f"{line} --output whole")
    _, err = whole.communicate()
    assert whole.returncode == 0, err
    seconds = time.monotonic() - started
    killed, begun = 0, 0
    while killed < KILLS:
        begun += 1
        assert begun < 10 * KILLS, "it ends before it is killed"
        process = program(f"{line} --output out{resume}")
        moment = chance.uniform(0.1, 0.8) * seconds
        with suppress(subprocess.TimeoutExpired):
            # It went on from where it was, and is over: begin anew, to kill at a moment of its own.
            process.communicate(timeout=moment)
            os.rename("out", f"over-{begun}")
            assert same_runs(Path("whole"), Path(f"over-{begun}"))
            continue
        whom = kill(process, chance.choice(["program", "group", "below"]), chance)
        _, err = process.communicate(timeout=600)
        killed += 1
        assert "Traceback" not in err
        records = sorted(Path("out").rglob("*.json"))
        print(
            f"{command}: kill {killed} after {moment:.1f} s of {seconds:.1f} s: {whom}; exit code "
            f"{process.returncode}, {len(records)} records, all valid"
        )
        for path in records:
            load_document(path, sealed=True)
    process = program(f"{line} --output out{resume}")
    _, err = process.communicate(timeout=900)
    assert process.returncode == 0, err
    assert same_runs(Path("whole"), Path("out"))
    assert not list(Path("out").rglob("*.part"))
    epochs = sum(
        len(json.loads(path.read_text())["runs"][0]["history"]["epoch"]) for path in Path("out").rglob("*-seed*.json")
    )
    print(f"{command}: {epochs} epochs, each as in the run that nobody killed")
