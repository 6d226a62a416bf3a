"""Every state that standard output and standard error can be in, until the end of the interpreter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from gate_documents import build_comparison

from ngbench.records.documents import dump

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs fork and /dev/full")

# Each command line runs in a fork of one process that has run them all before, and ends as a program ends: the
# interpreter flushes its streams once more, and exits with 120 where that is refused.
PROGRAM = """
import contextlib, io, json, os, sys

cases, = json.load(sys.stdin)
from ngbench import cli
for line in {tuple(line): line for *_, line in cases}.values():
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        cli.main(line)

def lead(descriptor, state, file):
    if state == "closed":
        os.close(descriptor)
        return None
    if state == "full":
        target = os.open("/dev/full", os.O_WRONLY)
    elif state == "gone":
        reader, target = os.pipe()
        os.close(reader)
    else:
        target = os.open(file, os.O_WRONLY | os.O_CREAT)
    os.dup2(target, descriptor)
    os.close(target)
    encoding = "ascii" if state == "ascii" else "utf-8"
    return io.TextIOWrapper(open(descriptor, "wb", closefd=False), encoding=encoding)

answers = []
for at, (out, err, line) in enumerate(cases):
    child = os.fork()
    if child == 0:
        # At the end, the interpreter flushes what sys.stdout was and is.
        streams = lead(1, out, f"{at}.out"), lead(2, err, f"{at}.err")
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__ = streams
        sys.exit(cli.main(line))
    answers.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(json.dumps(answers))
"""

STATES = ["open", "closed", "full", "gone", "ascii"]
SAID = {"closed": "it is closed", "full": "No space left on device"}
PRINTING = {"tasks": "list tasks", "schema": "schema"}
VERDICTS = {
    "check x.json --baseline x.json": 0,
    "check worse.json --baseline x.json --fail-if step_time.ratio:5%": 3,
    "check worse.json --baseline x.json --fail-if step_time.ratio:5% --json -": 3,
    "check x.json": 2,
    "report x.json --output page.html": 0,
}


def ends(directory: Path, cases: list[tuple[str, str, str]]) -> list[int]:
    """The exit code of each command line, whose streams are in these states, and write to ``0.out``, ``0.err`` ..."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps([[(out, err, line.split()) for out, err, line in cases]]),
        cwd=directory,
        text=True,
        capture_output=True,
        env={**os.environ, "COLUMNS": "120", "NGBENCH_DATA_DIR": str(directory / "data")},
    )
    assert done.returncode == 0, done.stderr
    codes: list[int] = json.loads(done.stdout)
    return codes


@pytest.fixture
def records(tmp_path: Path) -> Path:
    (tmp_path / "x.json").write_text(dump(build_comparison()))
    (tmp_path / "worse.json").write_text(dump(build_comparison(mood=1, slower={"precondition": 1.4})))
    return tmp_path


def test_what_is_printed_is_printed_or_its_loss_is_said(records: Path) -> None:
    cases = [(out, "open", line) for out in STATES for line in PRINTING.values()]
    for at, (case, code) in enumerate(zip(cases, ends(records, cases), strict=True)):
        out, _, _ = case
        said = (records / f"{at}.err").read_text()
        if out in SAID:
            assert (code, said) == (2, f"Error: cannot write to standard output: {SAID[out]}\n"), case
        else:
            assert (code, said) == (0, ""), case
        if out in ("open", "ascii"):
            assert (records / f"{at}.out").read_text(), case


def test_a_verdict_stands_whatever_becomes_of_the_streams(records: Path) -> None:
    cases = [(out, err, line) for out in STATES for err in STATES for line in VERDICTS if out == err]
    codes = ends(records, cases)
    for case, code in zip(cases, codes, strict=True):
        assert code == VERDICTS[case[2]], case
    assert "<html" in (records / "page.html").read_text()


def test_an_export_to_standard_output_that_is_lost_is_said(records: Path) -> None:
    line = "check x.json --baseline x.json --json -"
    cases = [(out, "open", line) for out in ("closed", "full", "gone", "ascii")]
    assert ends(records, cases) == [2, 2, 0, 0]
    for at, state in enumerate(("closed", "full")):
        errors = [one for one in (records / f"{at}.err").read_text().splitlines() if one.startswith("Error: ")]
        assert errors == [f"Error: cannot write to standard output: {SAID[state]}"]
    written: Any = json.loads((records / "3.out").read_text())
    assert written


def test_a_file_that_is_opened_later_does_not_become_standard_output(records: Path) -> None:
    assert ends(records, [("closed", "closed", "check x.json --baseline x.json --json verdict.json")]) == [0]
    assert json.loads((records / "verdict.json").read_text())
