"""Numbers that an optimizer says of its steps, and kinds of steps, in the record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from ngbench.errors import PluginError
from ngbench.records.record import RunRecord
from ngbench.running.config import Budget, RunConfig

Configure = Callable[..., RunConfig]
RunToEnd = Callable[..., RunRecord]


class Talkative(torch.optim.SGD):
    """Reports something at every other step."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        super().__init__(params, lr)
        self.taken = 0
        self.refreshed = False

    def step(self, closure: Any = None) -> Any:
        self.taken += 1
        self.refreshed = self.taken % 2 == 0
        return super().step(closure)

    def diagnostics(self) -> dict[str, float]:
        return {"taken": float(self.taken)} if self.refreshed else {}


def test_kinds_and_diagnostics_come_from_the_optimizer(
    configure: Configure, run_to_end: RunToEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.optim, "Talkative", Talkative, raising=False)
    record = run_to_end(configure(optimizer="torch.optim.Talkative", hyperparameters={}, budget=Budget(epochs=2)))
    assert record.steps.kind == ["plain", "refresh"] * 4
    assert record.diagnostics == {"taken": [(2, 2.0), (4, 4.0), (6, 6.0), (8, 8.0)]}


class Overflowing(Talkative):
    """Says numbers that JSON readers would not take."""

    def diagnostics(self) -> dict[str, Any]:
        return {"tensor": torch.tensor(0.5), "big": 10**400, "beyond": 2**64, "not finite": float("nan"), "none": None}


def test_diagnostics_are_numbers_that_a_record_can_hold(
    configure: Configure, run_to_end: RunToEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.optim, "Overflowing", Overflowing, raising=False)
    record = run_to_end(configure(optimizer="torch.optim.Overflowing", hyperparameters={}, budget=Budget(epochs=1)))
    last = {name: values[-1][1] for name, values in record.diagnostics.items()}
    assert last == {"tensor": 0.5, "big": None, "beyond": float(2**64), "not finite": None, "none": None}


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"x" * 1001: 1.0}, "a name is a text of at most 1000 characters"),
        ({5: 1.0}, "names a number 5; a name is a text"),
        ({"\ud800": 1.0}, "a name is a text"),
        ({"a": "much"}, r"diagnostics\(\) gives a='much', it must be a number or none"),
        ({"a": torch.ones(2)}, r"diagnostics\(\) gives a=tensor"),
    ],
)
def test_diagnostics_that_no_record_can_hold_are_named(
    said: dict[Any, Any],
    message: str,
    configure: Configure,
    run_to_end: RunToEnd,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.optim, "Talkative", Talkative, raising=False)
    monkeypatch.setattr(Talkative, "diagnostics", lambda self: said)
    with pytest.raises(PluginError, match=message):
        run_to_end(configure(optimizer="torch.optim.Talkative", hyperparameters={}, budget=Budget(epochs=1)))
