"""Processes for code of others: they start alike, whenever they start."""

from __future__ import annotations

import os
import subprocess
import sys
from multiprocessing.connection import Connection
from pathlib import Path
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


SCRIPT = """
from ngbench.running.children import Child, Ended

try:
    Child(print, fresh=True).receive()
except Ended as error:
    print(error)
"""


def test_a_script_that_does_not_guard_its_calls_is_told_so_in_one_sentence(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert "must guard what it calls by if __name__ == '__main__':" in done.stderr
    assert "Traceback" not in done.stderr
    assert "the process ended with code 1" in done.stdout


def test_a_script_from_standard_input_has_nothing_that_processes_import() -> None:
    done = subprocess.run([sys.executable, "-"], input=SCRIPT, capture_output=True, text=True, check=False)
    # What the process was to do, it did: it printed the end of the connection that it got.
    assert "connection.Connection object" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes start anew here")
def test_all_processes_are_forked_from_one_that_has_imported_torch() -> None:
    (_, first, imported), (_, second, _) = told(), told()
    assert first == second != os.getpid()
    assert imported
