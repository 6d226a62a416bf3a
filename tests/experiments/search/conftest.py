"""Searches without anything to train: spaces, and the ledgers of their trials."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ngbench.experiments.search.ledger import Attempt, Ledger, Outcome, SearchedArm
from ngbench.experiments.search.samplers import proposer
from ngbench.experiments.search.space import Choice, Space
from ngbench.experiments.search.storage import SharedStorage

GRID: Space = {"lr": Choice((0.1, 0.01, 0.001)), "clip": Choice((None, 1.0))}


@pytest.fixture(params=["trials.journal", "trials.db"])
def storage_path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / str(request.param)


@pytest.fixture
def open_ledger() -> Callable[..., Ledger]:
    """A ledger of arms on the grid of six points; keywords replace what its search is made of."""

    def open_ledger(path: Path, *labels: str, trials: int = 6, space: Space = GRID, **common: Any) -> Ledger:
        arms = [
            SearchedArm(label, proposer("grid", space, 0, "minimize"), trials, {"points": len(space)})
            for label in labels or ("a",)
        ]
        return Ledger(SharedStorage(path), arms, {"task": "toy", "budget": {"epochs": 2}, **common}, "minimize")

    return open_ledger


@pytest.fixture
def attempt() -> Callable[..., Attempt]:
    """An attempt that counts: its number, its point, its value or the name of another outcome."""

    def attempt(number: int, point: dict[str, Any], result: float | str) -> Attempt:
        value = None if isinstance(result, str) else result
        name: Any = result if isinstance(result, str) else "done"
        return Attempt(number, point, Outcome(name, value, None, 1.0, 10), True, number)

    return attempt
