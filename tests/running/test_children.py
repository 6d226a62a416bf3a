"""Processes for code of others: they start alike, whenever they start."""

from __future__ import annotations

import os
import sys
from multiprocessing.connection import Connection
from typing import Any

import pytest

from ngbench.running.children import Child


def tell(connection: Connection[Any, Any]) -> None:
    """What the process was given, and who started it."""
    print("seen from there", file=sys.stderr, flush=True)
    connection.send((os.environ.get("NGBENCH_TEST_OF_CHILDREN"), os.getppid(), "torch" in sys.modules))
    connection.recv()


def told() -> Any:
    child = Child(tell)
    answer = child.receive()
    child.close()
    return answer


def test_a_process_has_the_environment_and_the_standard_error_of_its_start(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    told()
    capfd.readouterr()
    monkeypatch.setenv("NGBENCH_TEST_OF_CHILDREN", "later")
    assert told()[0] == "later"
    assert "seen from there" in capfd.readouterr().err


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes start anew here")
def test_all_processes_are_forked_from_one_that_has_imported_torch() -> None:
    (_, first, imported), (_, second, _) = told(), told()
    assert first == second != os.getpid()
    assert imported
