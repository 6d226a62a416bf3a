"""What a command writes and prints are steps of their own: one that fails costs no other, and is one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ngbench.errors import OUR_ERROR, OutputError
from ngbench.report.progress import runs as progress
from tests.cli.quick_commands import COMMANDS, HOSTILE

Run = Callable[..., Any]


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no message")


PLANTED = [(Unspeakable(), "unexpected Unspeakable", OUR_ERROR), (OutputError("no\nroom"), "no room", 2)]


def raising(error: Exception) -> Callable[..., None]:
    def fail(*given: Any, **options: Any) -> None:
        raise error

    return fail


@pytest.mark.parametrize("name", COMMANDS)
def test_a_step_that_fails_costs_no_other(quick: Run, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    command = COMMANDS[name]
    done = quick(command.line)
    files = [Path(file) for file in command.steps.values() if file is not None]
    assert done.code == command.code, done.err
    assert all(file.exists() for file in files)
    if HOSTILE in command.line:
        assert HOSTILE in done.out
    for step, own in command.steps.items():
        for error, message, code in PLANTED:
            for file in files:
                file.unlink(missing_ok=True)
            with monkeypatch.context() as planted:
                planted.setattr(command.owner(step), step, raising(error))
                done = quick(command.again)
            assert done.code == (3 if command.code == 3 else code), (step, done.err)
            said = [line for line in done.err.splitlines() if message in line]
            assert said, (step, done.err)
            assert all(line.startswith("Error: ") for line in said), said
            assert "Traceback" not in done.err
            for file in files:
                assert file.exists() == (str(file) != own), (step, file, done.err)


@pytest.mark.parametrize("name", ["train", "fisher-error"])
def test_progress_that_cannot_be_shown_is_given_up(quick: Run, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for planted in ("note", "update"):
        monkeypatch.setattr(progress._Lines, planted, raising(Unspeakable()))
    done = quick(COMMANDS[name].line.replace("--quiet", ""))
    assert done.code == 0, done.err
    assert done.err.count("progress is no longer shown: unexpected Unspeakable") == 1
    assert Path("a.json").exists()
    assert HOSTILE in done.out
