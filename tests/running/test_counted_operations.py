"""What could not be counted of a run's operations is in its record and below its tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from ngbench.records.environment import describe_environment
from ngbench.records.record import Document, RunRecord
from ngbench.report.summary import summarise
from ngbench.report.views.comparison_tables import breakdown, notes
from ngbench.running.config import Budget, RunConfig
from ngbench.running.supervised_training import SupervisedTraining

Configure = Callable[..., RunConfig]
RunToEnd = Callable[[RunConfig], RunRecord]


class Transforming(torch.optim.SGD):
    """Computes something at each step that has no formula."""

    def step(self, closure: Any = None) -> Any:
        torch.fft.fft(torch.ones(4))
        torch.fft.fft(torch.ones(4))
        return super().step(closure)


def test_operators_without_a_formula_are_recorded_by_name(
    configure: Configure, run_to_end: RunToEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.optim, "Transforming", Transforming, raising=False)
    record = run_to_end(configure(optimizer="torch.optim.Transforming", budget=Budget(epochs=1)))
    assert record.unknown_operators == ["aten._fft_r2c"]
    assert {name: phase.unknown_operators for name, phase in record.phases.items()} == {
        "forward": 0,
        "backward": 0,
        "step": 2,
    }
    (arm,) = summarise(Document(environment=describe_environment(), runs=[record]))
    columns = {column.name: column.cells for column in breakdown(arm)}
    shown = dict(zip(columns["phase"], columns["operations\nper call"], strict=True))
    assert shown["step"] == "≥ 0"
    assert not shown["forward"].startswith("≥")
    assert "sgd: operations at least (≥), without those of aten._fft_r2c, for which there is no formula." in notes(
        [arm]
    )


def test_a_run_whose_operations_cannot_be_counted_says_why(
    configure: Configure, run_to_end: RunToEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise NotImplementedError("no modes\nhere")

    monkeypatch.setattr(SupervisedTraining, "probe", refuse)
    record = run_to_end(configure(budget=Budget(epochs=1)))
    assert record.status == "done"
    assert record.operations_error == "NotImplementedError: no modes here"
    (arm,) = summarise(Document(environment=describe_environment(), runs=[record]))
    assert "sgd: no operations were counted (NotImplementedError: no modes here)." in notes([arm])
