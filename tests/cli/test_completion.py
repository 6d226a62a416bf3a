from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from ngbench.cli import COMMANDS, main


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ngbench train curves", {"curves-autoencoder"}),
        ("ngbench compare x -o sgd,kfac", {"sgd,kfac", "sgd,kfac-corrected"}),
        ("ngbench gan x -p sgd,adam+kfac", {"sgd,adam+kfac", "sgd,adam+kfac-corrected"}),
        ("ngbench tune x -o exa", {"exact-ng"}),
        ("ngbench fisher-error x -a kps", {"kpsvd"}),
        ("ngbench reproduce table", {"table-3.1"}),
        ("ngbench list optimizers block", {"block-diagonal-ng"}),
        ("ngbench check-plugin lanc", {"lanczos"}),
        ("ngbench compare x --columns step_time,opt", {"step_time,optimizer_state"}),
        ("ngbench train x --device cp", {"cpu"}),
        ("ngbench tune x --metric best_v", {"best_validation_loss"}),
        ("ngbench tune x --sampler r", {"random"}),
        ("ngbench check x --fail-if phase.*.f", {"phase.*.flops:"}),
        ("ngbench fisher-error x --trained-with a", {"adam"}),
    ],
)
def test_names_are_completed_without_torch(line: str, expected: set[str]) -> None:
    code = "import sys; from ngbench.cli import main; code = main(); assert 'torch' not in sys.modules; sys.exit(code)"
    variables = {"_NGBENCH_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert set(done.stdout.split()) == expected


@pytest.mark.parametrize("command", COMMANDS)
def test_a_help_is_whole_at_80_columns(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main([command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "…" not in shown
    assert not re.search(r"<(bool|str|Path|int|float)>", shown)
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize("arguments", [["-h"], ["compare", "-h"]])
def test_a_short_option_asks_for_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    short = capsys.readouterr().out
    assert main([*arguments[:-1], "--help"]) == 0
    assert short == capsys.readouterr().out
