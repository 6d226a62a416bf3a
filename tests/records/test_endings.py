from __future__ import annotations

from typing import Any

import pytest

from ngbench.records.endings import EarlyStop, describe_ending, early_stop
from ngbench.records.record import DataRecord, History, OptimizerRecord, RunRecord
from tests.blank_run import blank_run


def run(epochs: int, budget: dict[str, Any], **parts: Any) -> RunRecord:
    """Epochs of ten steps."""
    return blank_run(
        label="adam",
        task="small",
        data=DataRecord(
            name="S", origin="generated", description="", digest="0", train_examples=5, validation_examples=1
        ),
        optimizer=OptimizerRecord(name="adam", hyperparameters={}),
        seed=0,
        device="cpu",
        dtype="float32",
        batch_size=4,
        budget=budget,
        history=History(epoch=list(range(1, epochs + 1)), step=[10 * k for k in range(1, epochs + 1)]),
        **{"status": "done", **parts},
    )


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        ({"epochs": 9}, EarlyStop(3, 9, "epochs", 2, "training loss")),
        ({"epochs": 9, "steps": 85}, EarlyStop(3, 9, "epochs", 2, "training loss")),
        ({"steps": 85}, EarlyStop(30, 85, "steps", 2, "training loss")),
        ({"time_limit_seconds": 60.0}, EarlyStop(3, None, "epochs", 2, "training loss")),
    ],
)
def test_what_was_left_undone_is_told_in_the_budget_s_own_unit(budget: dict[str, Any], expected: EarlyStop) -> None:
    ended = run(3, {**budget, "early_stopping": 2})
    assert early_stop(ended) == expected
    assert describe_ending(ended) == "stopped early"


@pytest.mark.parametrize(
    "budget", [{"epochs": 3}, {"steps": 30}, {"epochs": 9, "steps": 30}, {"epochs": 3, "steps": 99}]
)
def test_a_run_that_reached_a_limit_did_not_stop_early(budget: dict[str, Any]) -> None:
    ended = run(3, {**budget, "early_stopping": 2})
    assert (early_stop(ended), describe_ending(ended)) == (None, "done")


@pytest.mark.parametrize(
    "status", ["running", "diverged", "interrupted", "timeout", "out_of_memory", "killed", "failed"]
)
def test_what_ended_for_another_reason_keeps_its_status(status: str) -> None:
    ended = run(3, {"epochs": 9, "early_stopping": 2}, status=status)
    assert (early_stop(ended), describe_ending(ended)) == (None, status.replace("_", " "))


@pytest.mark.parametrize("budget", [{}, {"epochs": 9}])
def test_no_patience_is_none(budget: dict[str, Any]) -> None:
    assert early_stop(run(3, budget)) is None


def test_a_record_without_epochs_did_not_stop_early() -> None:
    assert early_stop(run(0, {"epochs": 9, "early_stopping": 2})) is None
