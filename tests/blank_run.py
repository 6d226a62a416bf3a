"""A record of a run that has done nothing yet, for tests that care for a few of its parts."""

from __future__ import annotations

from typing import Any

from ngbench.records.experiments import BudgetRecord
from ngbench.records.record import DataRecord, History, MemoryRecord, OptimizerRecord, RunRecord, StepsRecord

__all__ = ["blank_run"]


def blank_run(**parts: Any) -> RunRecord:
    """The record with those parts; a budget may be a mapping."""
    values: dict[str, Any] = {
        "label": "arm",
        "task": "task",
        "task_options": {},
        "data": DataRecord(
            name="D", origin="original", description="", digest="", train_examples=1, validation_examples=1
        ),
        "optimizer": OptimizerRecord(name="sgd", hyperparameters={}),
        "seed": 0,
        "device": "cpu",
        "dtype": "float32",
        "batch_size": 1,
        "threads": None,
        "budget": BudgetRecord(),
        "status": "running",
        "parameters": None,
        "history": History(),
        "steps": StepsRecord(),
        "phases": {},
        "memory": MemoryRecord(),
        "started_at": None,
    }
    return RunRecord(**{**values, **parts})
