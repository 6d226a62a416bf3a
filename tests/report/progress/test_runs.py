from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from ngbench.records.record import DataRecord, History, OptimizerRecord, RunRecord
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


def shown(*, terminal: bool, quiet: bool = False, budget: dict[str, Any] | None = None) -> str:
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=150, color_system=None)
    parts = {} if budget is None else {"budget": budget}
    with reporter_for(console, quiet=quiet) as reporter:
        reporter.note("device: [cpu]")
        reporter.group([record(**parts)])
        reporter.update(record(**parts))
        reporter.step(record(**parts), 2, 4, 0.75)
        reporter.update(record(1, **parts))
        reporter.update(record(1, status="diverged", message="the loss became nan", **parts))
    return file.getvalue()


def test_lines_where_there_is_no_terminal() -> None:
    assert shown(terminal=False).splitlines() == [
        "device: [cpu]",
        "adam[x] seed 0: epoch 1/4, train 0.5 validation – 1.5 s",
        "adam[x] seed 0: diverged: the loss became nan",
    ]


def test_a_run_that_stopped_early_ends_as_such() -> None:
    file = io.StringIO()
    early = record(2, status="done", budget={"epochs": 4, "early_stopping": 1})
    with reporter_for(Console(file=file, width=150), quiet=False) as reporter:
        reporter.update(early)
    assert file.getvalue().splitlines()[-1] == "adam[x] seed 0: stopped early"


def test_bars_on_a_terminal() -> None:
    written = shown(terminal=True)
    assert "preparing" in written
    assert "epoch 0/4 + 2/4 steps train 0.75" in written
    assert "epoch 1/4" in written
    assert "adam[x] seed 0" in written
    assert "diverged: the loss became nan" in written


@pytest.mark.parametrize("budget", [{"steps": 9}, {"time_limit_seconds": 5.0}])
def test_bars_of_other_budgets(budget: dict[str, Any]) -> None:
    assert "epoch 1" in shown(terminal=True, budget=budget)


def test_nothing_when_quiet() -> None:
    assert shown(terminal=True, quiet=True) == ""
