from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ngbench.disk.locks import LOCK_FILE, directory_taken

Run = Callable[..., Any]
Read = Callable[[str | Path], dict[str, Any]]


def command(line: str, **environment: str) -> subprocess.Popen[str]:
    """The command line in a process group of its own, with the plugins of this process."""
    return subprocess.Popen(
        [sys.executable, "-m", "ngbench", *line.split()],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize("own", ["train pond -o ends:at=11", "compare pond -o ends:at=11,sgd"])
def test_a_run_that_was_killed_ends_in_the_record_of_one_that_was_not(
    ngbench: Run, read_runs: Read, same_runs: Callable[[Path, Path], bool], own: str
) -> None:
    line = f"{own} --epochs 4 --threads 1"
    assert ngbench(f"{line} --output whole --quiet").code == 0
    # The arm's process kills itself in the middle of its third epoch.
    process = command(f"{line} --output broken", LABORATORY_FLAG=str(Path("flag").absolute()))
    process.communicate()
    assert process.returncode == 1
    path = next(Path("broken").glob("ends*.json"))
    (broken,) = read_runs(path).values()
    assert broken["history"]["epoch"] == [1, 2]
    assert ngbench(f"{line} --output broken --resume --quiet").code == 0
    assert same_runs(Path("whole"), Path("broken"))


def test_a_comparison_whose_main_process_is_killed_leaves_no_process_and_resumes(ngbench: Run, read_runs: Read) -> None:
    line = "compare pond -o sgd,adam --epochs 3000 --threads 1"
    process = command(f"{line} --output out")
    assert process.stderr is not None
    while not ((said := process.stderr.readline()).startswith("adam: epoch") and "validation" in said):
        pass
    process.kill()
    # The arms hold the pipe open for as long as they live.
    process.communicate(timeout=60)
    epochs = len(next(iter(read_runs(Path("out/adam-seed0.json")).values()))["history"]["epoch"])
    assert epochs >= 1
    process = command(f"{line} --output out --resume")
    assert process.stderr is not None
    first = next(line for line in process.stderr if line.startswith("adam: epoch"))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert int(first.split("epoch ")[1].split(" of")[0]) >= epochs


def test_ctrl_c_ends_a_comparison_with_what_was_finished(ngbench: Run, read_runs: Read) -> None:
    line = "compare pond -o interrupts:at=11,sgd --epochs 4 --threads 1 --output out"
    process = command(f"{line} --export-json -", LABORATORY_FLAG=str(Path("flag").absolute()))
    out, err = process.communicate()
    assert process.returncode == 1, err
    runs = read_runs(out)
    assert {key: run["status"] for key, run in runs.items()} == {
        "interrupts:at=11/0": "interrupted",
        "sgd/0": "interrupted",
    }
    assert runs["interrupts:at=11/0"]["history"]["epoch"] == [1, 2]
    assert "Traceback" not in err
    assert ngbench(f"{line} --resume").code == 0
    assert {run["status"] for path in Path("out").glob("*.json") for run in read_runs(path).values()} == {"done"}


def test_a_run_that_is_over_is_not_run_again(ngbench: Run, read_runs: Read) -> None:
    ngbench("train pond -o sgd --output out")
    before = Path("out/sgd-seed0.json").read_bytes()
    done = ngbench("train pond -o sgd --output out --resume --export-json -")
    assert done.code == 0
    assert "epoch 1 of 2" not in done.err
    assert read_runs(done.out)["sgd/0"]["status"] == "done"
    assert Path("out/sgd-seed0.json").read_bytes() == before


def test_resume_begins_what_has_not_begun(ngbench: Run) -> None:
    assert ngbench("train pond -o sgd --output out --resume").code == 0
    done = ngbench("train pond -o sgd --seeds 2 --output out --resume")
    assert done.code == 0
    assert "seed 2 of 2: epoch 2 of 2" in done.err
    assert "seed 1 of 2: epoch" not in done.err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("train pond -o sgd:lr=0.7", "optimizer.hyperparameters.lr is"),
        ("train pond -o sgd --batch-size 5", "batch_size is 10 there and 5 here"),
        ("train pond -o sgd --epochs 9", "budget.epochs is 2 there and 9 here"),
        ("train pond -o sgd --set depth=3", "task_options.depth is 8 there and 3 here"),
        ("train pond -o adam", "the run 'sgd' with seed 0, which is not part of what is asked for"),
    ],
)
def test_another_configuration_is_not_gone_on_with(ngbench: Run, line: str, said: str) -> None:
    ngbench("train pond -o sgd --output out --quiet")
    before = {path: path.read_bytes() for path in Path("out").iterdir()}
    done = ngbench(f"{line} --output out --resume")
    assert done.code == 2
    assert said in done.err
    assert done.err.count("\n") == 1
    assert {path: path.read_bytes() for path in Path("out").iterdir()} == before


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("fails-seed0.json", b'{"runs": [', "the record 'out/fails-seed0.json' is not JSON"),
        ("fails-seed0.json", b'{"runs": []}', "the record 'out/fails-seed0.json' is invalid at schema_version"),
        ("fails-seed0.pt", b"PK but no more", "the checkpoint '"),
        ("fails-seed0.pt", None, "fails-seed0.pt' is missing"),
    ],
)
def test_a_corrupt_record_or_checkpoint_is_named(ngbench: Run, name: str, content: bytes | None, said: str) -> None:
    ngbench("train pond -o fails --output out --quiet")
    path = Path("out") / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    done = ngbench("train pond -o fails --output out --resume")
    assert done.code == 2
    assert done.err.startswith("Error: ")
    assert said in done.err
    assert done.err.count("\n") == 1


def test_a_run_that_failed_is_tried_again_from_its_last_epoch(ngbench: Run, read_runs: Read) -> None:
    ngbench("train pond -o fails:at=6 --output out --quiet")
    done = ngbench("train pond -o fails:at=6 --output out --resume --export-json -")
    (run,) = read_runs(done.out).values()
    # It fails at the same step as before: its count went on from the checkpoint.
    assert (run["status"], run["history"]["epoch"], run["message"]) == (
        "failed",
        [1],
        "RuntimeError: the knob came off",
    )


@pytest.mark.parametrize("line", ["train pond -o sgd", "compare pond -o sgd,adam"])
def test_a_second_process_keeps_out_of_an_output_directory(ngbench: Run, line: str) -> None:
    out = Path("out")
    out.mkdir()
    with directory_taken(out):
        for resume in ("", " --resume"):
            done = ngbench(f"{line} --output out{resume}")
            assert done.code == 2
            assert "another process is writing into the output directory 'out'" in done.err
        assert [path.name for path in out.iterdir()] == [LOCK_FILE]
    # As a killed process leaves it.
    (out / LOCK_FILE).touch()
    assert ngbench(f"{line} --epochs 1 --output out --quiet").code == 0
    assert not (out / LOCK_FILE).exists()
