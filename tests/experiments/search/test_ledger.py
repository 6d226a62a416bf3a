"""Every trial is run once, whatever happens to the processes that run them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ngbench.errors import OutputError, ParameterError, RecordError
from ngbench.experiments.search import ledger as module
from ngbench.experiments.search.ledger import ATTEMPTS, Busy, Ledger, Outcome, TakenTrial
from ngbench.experiments.search.liveness import this_worker
from ngbench.experiments.search.space import Choice
from ngbench.experiments.search.storage import SharedStorage

Open = Callable[..., Ledger]
DONE = Outcome("done", 1.0, None, 2.0, 10)


def take(ledger: Ledger) -> TakenTrial:
    claim = ledger.claim()
    assert isinstance(claim, TakenTrial)
    return claim


def die(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on claims are those of a process that does not exist any more."""
    worker = {**this_worker(), "started": 1.0}
    monkeypatch.setattr(module, "this_worker", lambda: worker)


def test_the_whole_grid_is_claimed_once_and_interleaved(storage_path: Path, open_ledger: Open) -> None:
    ledger = open_ledger(storage_path, "a", "b", trials=6)
    seen = []
    for _ in range(12):
        claim = take(ledger)
        seen.append((claim.arm, claim.number, tuple(claim.point.items())))
        ledger.finish(claim, DONE)
    assert ledger.claim() == Busy(0)
    assert [arm for arm, _, _ in seen] == ["a", "b"] * 6
    assert len({(arm, point) for arm, _, point in seen}) == 12
    assert [number for arm, number, _ in seen if arm == "a"] == list(range(6))


def test_what_another_process_runs_is_not_claimed_and_what_it_finished_neither(
    storage_path: Path, open_ledger: Open
) -> None:
    first, second = open_ledger(storage_path, trials=2), open_ledger(storage_path, trials=2)
    one = take(first)
    other = take(second)
    assert {one.number, other.number} == {0, 1}
    assert first.claim() == Busy(2)
    first.finish(one, DONE)
    assert second.claim() == Busy(1)
    second.finish(other, Outcome("diverged", None, "the loss became nan", 1.0, 5))
    assert second.claim() == first.claim() == Busy(0)
    attempts = second.attempts("a")
    assert [a.outcome.name for a in sorted(attempts, key=lambda a: a.number)] == ["done", "diverged"]
    assert attempts == first.attempts("a")


@pytest.mark.parametrize("name", ["race.journal", "race.db"])
def test_processes_that_race_for_trials_neither_lose_nor_share_one(tmp_path: Path, name: str) -> None:
    script, points = Path(__file__).parent / "race.py", 24
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(script), str(tmp_path / name), str(points)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment}
    processes = [subprocess.Popen(command, **pipes) for _ in range(2)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=600)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert all(outputs)
    claimed = [tuple(map(int, line.split())) for output in outputs for line in output.splitlines()]
    assert sorted(number for number, _ in claimed) == list(range(points))
    assert sorted(point for _, point in claimed) == list(range(points))


def test_the_trial_of_a_killed_process_is_run_again_with_its_point(
    storage_path: Path, open_ledger: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = open_ledger(storage_path, trials=2)
    with monkeypatch.context() as patch:
        die(patch)
        dead = take(ledger)
    again = take(open_ledger(storage_path, trials=2))
    assert (again.number, again.point, again.before) == (dead.number, dead.point, ("killed",))
    assert again.identifier != dead.identifier
    # The process was only believed to be dead: what it says now comes too late.
    assert not ledger.finish(dead, DONE)
    assert ledger.finish(again, DONE)
    assert [a.counts for a in ledger.attempts("a")] == [False, True]


@pytest.mark.parametrize("signed", [True, False])
def test_a_worker_on_another_machine_keeps_its_trial_while_it_gives_signs(
    tmp_path: Path, open_ledger: Open, monkeypatch: pytest.MonkeyPatch, signed: bool
) -> None:
    ledger = open_ledger(tmp_path / "trials.journal", trials=1)
    with monkeypatch.context() as patch:
        worker = {**this_worker(), "host": "elsewhere"}
        patch.setattr(module, "this_worker", lambda: worker)
        patch.setattr(time, "time", lambda: 1000.0)
        claim = take(ledger)
    if signed:
        ledger.sign(claim)
        assert ledger.claim() == Busy(1)
    else:
        assert take(ledger).before == ("killed",)


def test_a_trial_that_kills_every_process_is_given_up(
    storage_path: Path, open_ledger: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = open_ledger(storage_path, trials=1)
    with monkeypatch.context() as patch:
        die(patch)
        for _ in range(ATTEMPTS):
            take(ledger)
    assert ledger.claim() == Busy(0)
    assert [a.outcome.name for a in ledger.attempts("a")] == ["killed"] * (ATTEMPTS - 1) + ["lost"]


@pytest.mark.parametrize(
    ("names", "counted"),
    [
        (["interrupted"] * 7 + ["done"], [False] * 7 + [True]),
        (["out_of_memory", "out_of_memory"], [False, True]),
        (["killed"] * ATTEMPTS, [False] * (ATTEMPTS - 1) + [True]),
        (["diverged"], [True]),
        (["failed"], [True]),
        (["target_not_reached"], [True]),
    ],
)
def test_which_outcomes_are_tried_again(
    tmp_path: Path, open_ledger: Open, names: list[str], counted: list[bool]
) -> None:
    ledger = open_ledger(tmp_path / "trials.journal", trials=1)
    said = [
        ledger.finish(take(ledger), Outcome(name, 1.0 if name == "done" else None))  # type: ignore[arg-type]
        for name in names
    ]
    assert said == counted
    assert ledger.claim() == Busy(0)


def test_more_trials_go_on_where_fewer_ended(storage_path: Path, open_ledger: Open) -> None:
    ledger = open_ledger(storage_path, trials=2)
    points = []
    for _ in range(2):
        claim = take(ledger)
        points.append(claim.point)
        ledger.finish(claim, DONE)
    more = open_ledger(storage_path, trials=3)
    claim = take(more)
    assert claim.number == 2
    assert claim.point not in points


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"task": "other"}, r'of another search: task is "toy" there and "other" here'),
        ({"budget": {"epochs": 3}}, "budget.epochs is 2 there and 3 here"),
    ],
)
def test_the_storage_of_another_search_is_refused(
    storage_path: Path, open_ledger: Open, change: dict[str, object], said: str
) -> None:
    open_ledger(storage_path)
    with pytest.raises(RecordError, match=said):
        open_ledger(storage_path, **change)


def test_an_arm_with_another_space_is_refused_and_another_arm_is_not(storage_path: Path, open_ledger: Open) -> None:
    open_ledger(storage_path)
    with pytest.raises(RecordError, match=r"a\.points is 2 there and 1 here"):
        open_ledger(storage_path, space={"lr": Choice((0.1,))}, trials=1)
    assert take(open_ledger(storage_path, "b")).arm == "b"


def test_a_study_of_another_program_is_left_alone(tmp_path: Path, open_ledger: Open) -> None:
    import optuna

    path = tmp_path / "trials.db"
    study = optuna.create_study(storage=f"sqlite:///{path}", study_name="mine")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    with pytest.raises(RecordError, match="holds the study 'mine', which ngbench tune did not make"):
        open_ledger(path)


def test_files_that_are_no_storage(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"none of the known suffixes \(.db, .sqlite"):
        SharedStorage(tmp_path / "trials.csv")
    with pytest.raises(OutputError, match="there is no directory"):
        SharedStorage(tmp_path / "nowhere" / "trials.db")
    (tmp_path / "trials.db").write_text("hello, I am no database at all")
    with pytest.raises(RecordError, match="is no SQLite database"):
        SharedStorage(tmp_path / "trials.db")
    (tmp_path / "trials.journal").write_text("{}\nnot json\n{}\n")
    with pytest.raises(RecordError, match="is corrupt"):
        SharedStorage(tmp_path / "trials.journal")
