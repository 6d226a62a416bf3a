"""What starting the program costs, against the smallest Typer program with two commands."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TWO_COMMANDS = '''
import typer

app = typer.Typer()


@app.command()
def one(size: int = 1) -> None:
    """One."""


@app.command()
def two(size: int = 1) -> None:
    """Two."""


app()
'''
CONSOLE_SCRIPT = "import sys; from ngbench.cli import main; sys.exit(main())"
REPEATS = 12


def modules_imported_by(*arguments: str) -> set[str]:
    answer = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments], capture_output=True, text=True, check=True
    )
    return packages_in(answer.stderr)


def packages_in(imports: str) -> set[str]:
    """The packages of which the interpreter says that it imported something."""
    lines = [line for line in imports.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


def test_importing_the_package_loads_no_heavy_library() -> None:
    heavy = {"torch", "numpy", "scipy", "pydantic", "rich", "typer", "matplotlib"}
    assert not heavy & modules_imported_by("-c", "import ngbench")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["list"],
        ["list", "optimizers"],
        ["list", "tasks"],
        ["list", "approximations"],
        ["train", "--help"],
        ["compare", "--help"],
        ["check-plugin", "--help"],
        ["new-plugin", "--help"],
    ],
)
def test_torch_is_not_loaded_to_show_help_or_lists(arguments: list[str]) -> None:
    assert "torch" not in modules_imported_by("-c", CONSOLE_SCRIPT, *arguments)


OF_ONE_COMMAND = {"optuna", "sqlalchemy", "alembic", "skimage", "matplotlib", "PIL", "pandas", "jinja2"}
"""What a search, two stand-ins, figures, folders of images and the page of a report need."""


@pytest.mark.parametrize(
    "line",
    [
        "list tasks",
        "train pond -o sgd --steps 1 --output out",
        "compare pond -o sgd,adam --steps 1 --output out --export-json a.json --export-markdown a.md",
    ],
)
def test_what_one_command_needs_is_loaded_by_no_other(line: str, program: Callable[..., Any]) -> None:
    process = program(line, PYTHONPROFILEIMPORTTIME="1")
    _, imports = process.communicate()
    assert process.returncode == 0
    loaded = packages_in(imports)
    assert "typer" in loaded
    assert not OF_ONE_COMMAND & loaded


@pytest.mark.skipif(not hasattr(os, "wait4"), reason="needs the CPU time of a child process")
@pytest.mark.parametrize(("arguments", "most"), [(["--help"], 1.4), (["list", "optimizers"], 2.0)])
def test_starting_costs_little_more_than_a_typer_program(arguments: list[str], most: float, tmp_path: Path) -> None:
    program = tmp_path / "two.py"
    program.write_text(TWO_COMMANDS)
    ours, baseline = [], []
    for _ in range(REPEATS):  # in turns, so that a busy machine hits both; the least is the undisturbed one
        baseline.append(cpu_seconds([str(program), "--help"]))
        ours.append(cpu_seconds(["-c", CONSOLE_SCRIPT, *arguments]))
    assert min(ours) <= most * min(baseline)


def cpu_seconds(arguments: list[str]) -> float:
    """User and system time of a run of the interpreter."""
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_utime + usage.ru_stime
