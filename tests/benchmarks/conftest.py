from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def all_processors(request: pytest.FixtureRequest) -> Iterator[None]:
    """Measurements use all processors that the process may use; a suite of side-by-side processes uses one each."""
    before = torch.get_num_threads()
    if "benchmark" in request.fixturenames and not request.getfixturevalue("benchmark").disabled:
        torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    yield
    torch.set_num_threads(before)
