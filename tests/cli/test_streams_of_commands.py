"""Every command in every state of standard output and standard error: results are kept, and the exit code is right."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ngbench import cli
from tests.cli.quick_commands import COMMANDS, HOSTILE

Run = Callable[..., Any]

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists() or not hasattr(os, "fork"), reason="needs /dev/full")

PRINTING = {
    "list tasks": "list tasks",
    "list optimizers": "list optimizers kfac --full",
    "list approximations": "list approximations",
    "list studies": "list studies figure-3.2",
    "schema": "schema",
    "env": "env",
    "help": "--help",
    "help of a command": "train --help",
    "version": "--version",
}
WRITING = {
    "report": ("report x.json --output page.html", ["page.html"]),
    "export": ("export x.json --pytest-benchmark steps.json", ["steps.json"]),
    "new-plugin": ("new-plugin my-task --task --output made", ["made/pyproject.toml"]),
}
ENCODINGS = {"open": "utf-8", "ascii": "ascii", "latin-1": "latin-1"}
LOST = ("closed", "full")
STATES = [(state, state) for state in (*ENCODINGS, *LOST, "gone")]
STATES += [("full", "open"), ("open", "closed")]


def led(descriptor: int, state: str, file: str) -> Any:
    """The stream over the descriptor, which is brought into that state."""
    if state == "closed":
        os.close(descriptor)
        return None
    if state == "full":
        target = os.open("/dev/full", os.O_WRONLY)
    elif state == "gone":
        reader, target = os.pipe()
        os.close(reader)
    else:
        target = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(target, descriptor)
    os.close(target)
    return io.TextIOWrapper(open(descriptor, "wb", closefd=False), encoding=ENCODINGS.get(state, "utf-8"))


def ended(line: str, out: str, err: str) -> tuple[int, str, str]:
    """The exit code of the command in a fork of this process whose streams are in these states, and what they hold."""
    for file in ("out.txt", "err.txt"):
        Path(file).write_bytes(b"")
    with warnings.catch_warnings():
        # Other threads of this process are at rest, and the child needs none of them.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        code = 121
        try:
            signal.alarm(60)
            sys.stdout, sys.stderr = led(1, out, "out.txt"), led(2, err, "err.txt")
            code = cli.main(line.split())
            # As the interpreter does in the end.
            for stream in (sys.stdout, sys.stderr):
                if stream is not None:
                    stream.flush()
        except OSError:
            code = 120
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    written = [Path(file).read_bytes() for file in ("out.txt", "err.txt")]
    return code, *(part.decode(ENCODINGS.get(state, "utf-8")) for part, state in zip(written, (out, err), strict=True))


@pytest.mark.parametrize("name", [*COMMANDS, *WRITING])
def test_results_are_kept_and_the_exit_code_stands(quick: Run, name: str) -> None:
    if name in COMMANDS:
        command = COMMANDS[name]
        line, code = command.again, command.code
        files = [Path(file) for file in command.steps.values() if file is not None]
        quick(command.line)
    else:
        (line, paths), code = WRITING[name], 0
        files = [Path(path) for path in paths]
    # All that it imports is there before the forks.
    quick(line)
    shown = ""
    for out, err in STATES:
        for file in files:
            file.unlink(missing_ok=True)
        shutil.rmtree("made", ignore_errors=True)
        ended_with, printed, said = ended(line, out, err)
        case = (out, err, printed, said)
        assert ended_with == code, case
        assert all(file.exists() for file in files), case
        assert "unexpected" not in printed + said, case
        assert "Traceback" not in printed + said, case
        if out in ENCODINGS:
            shown = shown or printed
            assert len(printed.splitlines()) == len(shown.splitlines()) > 0 or name == "export", case
            if HOSTILE in shown:
                assert HOSTILE.encode(ENCODINGS[out], "replace").decode(ENCODINGS[out]) in printed
        if out in LOST and err == "open" and shown:
            assert "Error: cannot write to standard output: " in said, case


@pytest.mark.parametrize("name", PRINTING)
def test_what_is_only_printed_is_printed_or_its_loss_is_said(quick: Run, name: str) -> None:
    quick(PRINTING[name])
    shown = ""
    for out, err in STATES:
        code, printed, said = ended(PRINTING[name], out, err)
        case = (out, err, printed, said)
        assert code == (2 if out in LOST else 0), case
        if out in ENCODINGS:
            shown = shown or printed
            assert shown
            # The boxes of help are drawn with other characters where there are none.
            if "help" not in name:
                assert printed == shown.encode(ENCODINGS[out], "replace").decode(ENCODINGS[out])
        if err == "open":
            assert said.count("\n") == (1 if out in LOST else 0), case


@pytest.mark.parametrize("name", ["train", "tune", "check", "check-plugin"])
def test_an_export_to_standard_output_is_whole_or_its_loss_is_said(quick: Run, name: str) -> None:
    command = COMMANDS[name]
    line = command.line.replace("json a.json", "json -")
    assert line != command.line
    quick(command.line)
    again = line + (" --resume" if command.resumes else "")
    for out in (*ENCODINGS, *LOST, "gone"):
        code, printed, said = ended(again, out, "open")
        case = (out, printed, said)
        assert code == (2 if out in LOST else command.code), case
        assert "Traceback" not in said, case
        assert said.count("Error: cannot write to standard output: ") == (out in LOST), case
        if out in ENCODINGS:
            assert json.loads(printed)


def test_a_run_is_made_kept_and_shown_whatever_the_streams_are(quick: Run) -> None:
    line = f"train pond -o {HOSTILE}@sgd --steps 2 --threads 1 --set depth=4 --output"
    quick(f"{line} first")
    for at, state in enumerate((*ENCODINGS, *LOST, "gone")):
        code, printed, said = ended(f"{line} out{at}", state, state)
        case = (state, printed, said)
        assert code == 0, case
        (record,) = Path(f"out{at}").glob("*.json")
        assert json.loads(record.read_text())["runs"][0]["status"] == "done"
        if state in ENCODINGS:
            label = HOSTILE.encode(ENCODINGS[state], "replace").decode(ENCODINGS[state])
            assert label in printed
            assert f"{label}: step 2 of 2, train" in said, case
            assert "final" in printed
