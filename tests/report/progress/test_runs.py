from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from ngbench.records.record import AdversarialRecord, DataRecord, History, OptimizerRecord, RunRecord
from ngbench.report.progress.pace import Pace
from ngbench.report.progress.runs import reporter_for
from tests.blank_run import blank_run


def record(epochs: int = 0, **parts: Any) -> RunRecord:
    history = History(
        epoch=list(range(1, epochs + 1)),
        step=[4 * k for k in range(1, epochs + 1)],
        train_loss=[0.5] * epochs,
        validation_loss=[None] * epochs,
        elapsed_seconds=[1.5 * k for k in range(1, epochs + 1)],
    )
    values: dict[str, Any] = {
        "label": "adam[x]",
        "task": "small",
        "data": DataRecord(
            name="S", origin="generated", description="", digest="0", train_examples=5, validation_examples=1
        ),
        "optimizer": OptimizerRecord(name="adam", hyperparameters={}),
        "seed": 0,
        "device": "cpu",
        "dtype": "float32",
        "batch_size": 4,
        "budget": {"epochs": 4},
        "history": history,
    }
    return blank_run(**{**values, **parts})


def shown(*, terminal: bool, quiet: bool = False, budget: dict[str, Any] | None = None, width: int = 150) -> str:
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=width, color_system=None)
    parts = {} if budget is None else {"budget": budget}
    with reporter_for(console, quiet=quiet) as reporter:
        reporter.stage("loading [data]")
        reporter.note("device: [cpu]")
        reporter.group([record(**parts)], 2, 3)
        reporter.update(record(**parts))
        reporter.step(record(**parts), 2, 4, 0.75, 0.9)
        reporter.update(record(1, **parts))
        reporter.update(record(1, status="diverged", message="the loss became nan", **parts))
    return file.getvalue()


def test_lines_where_there_is_no_terminal() -> None:
    assert shown(terminal=False).splitlines() == [
        "device: [cpu]",
        "seed 2 of 3: adam[x]: setting up: data, model, operations of a step",
        "adam[x], seed 2 of 3: epoch 1 of 4, step 2 of 4, train 0.7500; 0 s",
        "adam[x], seed 2 of 3: epoch 1 of 4, train 0.5000, validation —; 0 s",
        "adam[x], seed 2 of 3: epoch 1 of 4, train 0.5000, validation —: diverged: the loss became nan",
    ]


def lines_of(arms: int, seeds: int, budget: dict[str, Any], epochs: int, steps: int = 10) -> list[str]:
    """What is written of runs each of whose steps is told of."""
    file = io.StringIO()
    with reporter_for(Console(file=file, width=150), quiet=False) as reporter:
        for seed in range(seeds):
            runs = [record(label=f"arm{arm}", seed=seed, budget=budget) for arm in range(arms)]
            reporter.group(runs, seed + 1, seeds)
            for epoch in range(epochs):
                for run in runs:
                    for step in range(1, steps):
                        reporter.step(run, step, steps, 0.5, 1.5 * (epoch + step / steps))
                    run.history = record(epoch + 1).history
                    run.status = "done" if epoch + 1 == epochs else "running"
                    reporter.update(run)
    return file.getvalue().splitlines()


@pytest.mark.parametrize(
    ("budget", "epochs", "steps", "place"),
    [
        ({"epochs": 60}, 60, 4, "epoch 30 of 60"),
        ({"epochs": 1}, 1, 100, "epoch 1 of 1, step 50 of 100"),
        ({"time_limit_seconds": 90.0}, 60, 4, "epoch 30, 45 s of 1 min 30 s"),
    ],
)
def test_there_are_at_most_some_twenty_lines_each_with_how_much_there_is(
    budget: dict[str, Any], epochs: int, steps: int, place: str
) -> None:
    first, *lines = lines_of(1, 1, budget, epochs, steps)
    assert "setting up" in first
    assert 15 <= len(lines) <= 22
    assert [line for line in lines if " of " not in line] == []
    assert [line for line in lines if place in line] != []
    assert lines[-1].endswith(": done")


def test_many_runs_write_few_lines_each_and_say_which_seed_they_are_at() -> None:
    lines = lines_of(3, 3, {"epochs": 40}, 40)
    assert len(lines) <= 9 * 6 + 3
    assert lines[0] == "seed 1 of 3: 3 arms, which take turns: setting up: data, model, operations of a step"
    assert lines[-1].startswith("arm2, seed 3 of 3: epoch 40 of 40")


def test_a_run_that_stopped_early_ends_as_such() -> None:
    file = io.StringIO()
    early = record(2, status="done", budget={"epochs": 4, "early_stopping": 1})
    with reporter_for(Console(file=file, width=150), quiet=False) as reporter:
        reporter.update(early)
    assert file.getvalue().splitlines()[-1] == "adam[x]: epoch 2 of 4, train 0.5000, validation —: stopped early"


def test_players_are_told_of_in_words() -> None:
    file = io.StringIO()
    run = record(1, budget={"epochs": 1})
    run.history.metrics |= {"critic_loss": [-1.25], "gradient_penalty": [0.01], "classifier_fid": [12.5]}
    fid = {"metric": "classifier_fid", "network": "n", "digest": "0", "features": 2, "every": 1, "samples": 2}
    run.adversarial = AdversarialRecord.model_validate(
        {"players": {}, "critic_steps": 5, "penalty": 10.0, "fid": {**fid, "real_samples": 2}}
    )
    with reporter_for(Console(file=file, width=150), quiet=False) as reporter:
        reporter.update(run)
    (line,) = file.getvalue().splitlines()
    assert "generator 0.5000, critic -1.250, penalty 0.01000, classifier-FID 12.50" in line
    assert "_" not in line


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_bars_on_a_terminal(width: int) -> None:
    written = shown(terminal=True, width=width)
    assert "loading [data] …" in written
    assert "setting up" in written
    assert "adam[x]" in written
    assert "seed 2 of 3" in written
    if width >= 80:
        assert "epoch 1 of 4, step 2 of 4 train 0.7500" in written
        assert "epoch 1 of 4 " in written
    assert "diverged: the loss became nan" in written


@pytest.mark.parametrize(
    ("budget", "place"),
    [({"steps": 9}, "step 2 of 9"), ({"time_limit_seconds": 5.0}, "epoch 1, step 2 of 4, 1 s of 5.00 s")],
)
def test_bars_of_other_budgets(budget: dict[str, Any], place: str) -> None:
    assert place in shown(terminal=True, budget=budget)


def test_nothing_when_quiet() -> None:
    assert shown(terminal=True, quiet=True) == ""


def test_a_pace_says_how_long_it_took_and_what_is_left_from_where_it_began_to_grow() -> None:
    times = iter([0.0, 30.0, 40.0, 60.0, 100.0])
    pace = Pace(lambda: next(times))
    told = [pace.told(part) for part in (0.25, 0.25, 0.25 + 0.125, 0.25 + 0.375, 1.0)]
    assert told == ["0 s", "30 s", "40 s, about 50 s left", "1 min 00 s, about 30 s left", "1 min 40 s"]
