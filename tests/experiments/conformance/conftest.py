"""A way to check a plugin that is only a few lines of source."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ngbench.experiments.conformance import check_plugin
from ngbench.records.experiments import PluginRecord

GROUPS = {"optimizer": "optimizers", "task": "tasks", "approximation": "approximations"}

Examine = Callable[..., PluginRecord]


@pytest.fixture
def examine(distribute: Callable[..., None]) -> Examine:
    """Installs a module that has a function ``planted``, and checks it as a plugin of that name."""

    def check(kind: str, source: str, given: dict[str, Any] | None = None) -> PluginRecord:
        distribute("dist-planted", {"planted_bench": source}, **{GROUPS[kind]: {"planted": "planted_bench:planted"}})
        return check_plugin("planted", kind, given)  # type: ignore[arg-type]

    return check
