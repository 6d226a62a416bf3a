from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ngbench.records.record import Document

Run = Callable[..., Any]
Read = Callable[[str | Path], dict[str, Any]]


def test_a_run_prints_its_report_on_stdout_and_its_progress_on_stderr(ngbench: Run) -> None:
    done = ngbench("train pond --optimizer sgd:lr=0.05 --epochs 2 --device cpu --threads 1")
    assert done.code == 0
    assert "device: cpu, 1 thread\n" in done.err
    assert "data: POND (stand-in), random numbers" in done.err
    assert "sgd:lr=0.05: epoch 2 of 2, train " in done.err
    assert done.err.count("epoch 1 of 2, train") == 1
    assert "final train loss" in done.out
    assert "backward" in done.out
    assert [path.name for path in Path.cwd().iterdir()] == ["ngbench-results"]


def test_auto_says_which_device_it_takes(ngbench: Run) -> None:
    assert "device: cpu (no CUDA device found), " in ngbench("train pond -o sgd").err


def test_an_export_to_stdout_is_alone_there(ngbench: Run) -> None:
    done = ngbench("train pond -o chatters --export-json -")
    document = Document.model_validate_json(done.out)
    assert [run.status for run in document.runs] == ["done"]
    assert "final train loss" in done.err
    assert "chatter" in done.err


def test_quiet_leaves_the_results(ngbench: Run) -> None:
    done = ngbench("train pond -o sgd --quiet")
    assert done.err == ""
    assert "final train loss" in done.out


def test_the_record_holds_what_ran(ngbench: Run, read_runs: Read) -> None:
    done = ngbench(
        "train pond -o torch.optim.Adam:lr=0.01,betas=0.8/0.9 --set depth=5 --epochs 2 --batch-size 16 --seed 3 "
        "--seeds 2 --dtype float64 --target-loss 0.5 --early-stopping 9 --threads 1 --export-json -"
    )
    runs = read_runs(done.out)
    assert list(runs) == ["torch.optim.Adam:lr=0.01,betas=0.8/0.9/3", "torch.optim.Adam:lr=0.01,betas=0.8/0.9/4"]
    run = next(iter(runs.values()))
    assert run["task_options"] == {"depth": 5, "dry": False}
    assert run["optimizer"]["hyperparameters"]["lr"] == 0.01
    assert run["optimizer"]["hyperparameters"]["betas"] == [0.8, 0.9]
    assert run["optimizer"]["hyperparameters"]["eps"] == 1e-8
    assert (run["batch_size"], run["dtype"], run["threads"]) == (16, "float64", 1)
    assert (run["budget"], run["target_loss"]) == ({"epochs": 2, "early_stopping": 9}, 0.5)
    assert run["history"]["step"] == [3, 6]
    assert run["parameters"] == 6 * 5 + 5 + 5 * 3 + 3
    assert run["data"]["origin"] == "stand-in"
    first, second = (run["history"]["train_loss"] for run in runs.values())
    assert first != second


def test_the_tasks_defaults_are_its_batch_size_and_its_epochs(ngbench: Run, read_runs: Read) -> None:
    (run,) = read_runs(ngbench("train pond -o sgd --export-json -").out).values()
    assert (run["batch_size"], run["budget"]) == (10, {"epochs": 2})
    (run,) = read_runs(ngbench("train pond -o sgd --steps 11 --export-json -").out).values()
    assert (run["history"]["step"], run["budget"]) == ([4, 8, 11], {"steps": 11})


def test_a_time_limit_ends_a_run_without_a_failure(ngbench: Run, read_runs: Read) -> None:
    done = ngbench("train pond -o sgd --time-limit 0.02s --export-json -")
    (run,) = read_runs(done.out).values()
    assert (done.code, run["status"], run["budget"]) == (0, "timeout", {"time_limit_seconds": 0.02})


def test_early_stopping_is_told(ngbench: Run) -> None:
    done = ngbench("train pond -o sgd:lr=1e-30 --epochs 50 --early-stopping 2 --export-markdown out.md --threads 1")
    assert done.code == 0
    assert ": stopped early\n" in done.err
    assert "| stopped early" in Path("out.md").read_text()
    assert "of 50 epochs: 2 epochs without a new lowest training loss." in " ".join(done.out.split())


def test_all_files_that_are_asked_for_are_written(ngbench: Run) -> None:
    done = ngbench(
        "train pond -o sgd --output out --export-json all.json --export-csv all.csv --export-markdown all.md "
        "--figures plots"
    )
    assert done.code == 0
    written = sorted(str(path.relative_to(Path.cwd())) for path in Path.cwd().rglob("*") if path.is_file())
    assert "out/sgd-seed0.json" in written
    assert "out/sgd-seed0.pt" in written
    assert {"all.json", "all.csv", "all.md", "plots/loss_by_epoch.png", "plots/loss_by_time.png"} <= set(written)
    assert not [name for name in written if name.endswith(".part")]


def test_a_diverged_run_ends_with_one(ngbench: Run, read_runs: Read) -> None:
    done = ngbench("train pond -o sgd:lr=1e30 --export-json -")
    (run,) = read_runs(done.out).values()
    assert (done.code, run["status"], run["history"]["train_loss"]) == (1, "diverged", [None])
    assert "in epoch 1" in run["message"]


@pytest.mark.parametrize(
    ("optimizer", "status", "message"),
    [("fails", "failed", "RuntimeError: the knob came off"), ("exhausts", "out_of_memory", "MemoryError")],
)
def test_a_run_that_fails_keeps_its_epochs(
    ngbench: Run, read_runs: Read, optimizer: str, status: str, message: str
) -> None:
    done = ngbench(f"train pond -o {optimizer} --export-json -")
    (run,) = read_runs(done.out).values()
    assert (done.code, run["status"], run["message"]) == (1, status, message)
    assert run["history"]["epoch"] == [1]
    assert len(run["steps"]["seconds"]) == 4
    assert "Traceback" not in done.err
    assert "came off" in run["traceback"] or status == "out_of_memory"


def test_ctrl_c_reports_what_was_finished(
    ngbench: Run, read_runs: Read, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LABORATORY_FLAG", str(tmp_path / "flag"))
    # The terminal's process group is this one: only this process is in the way of the signal.
    monkeypatch.setattr(os, "killpg", lambda group, number: signal.raise_signal(number))
    done = ngbench("train pond -o interrupts --seeds 2 --export-json all.json --output out --figures plots")
    assert done.code == 1
    runs = read_runs(Path("all.json"))
    assert {key: run["status"] for key, run in runs.items()} == {"interrupts/0": "interrupted"}
    assert runs["interrupts/0"]["history"]["epoch"] == [1]
    assert read_runs(Path("out/interrupts-seed0.json"))["interrupts/0"]["status"] == "interrupted"
    assert Path("plots/loss_by_epoch.png").exists()
    assert "final train loss" in done.out
