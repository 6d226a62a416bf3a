"""A message names an argument as its reader gave it: on the command line as an option, in Python as a keyword."""

from __future__ import annotations

import ast
import doctest
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import ngbench
from ngbench import cli, spelling

PACKAGE = Path(ngbench.__file__).parent
OPTION = re.compile(r"(?<![\w-])--[a-z]")
READ_ON_THE_COMMAND_LINE = {
    "data/digits.py": "options of npm",
    "experiments/sides.py": "the command line alone compares with another side; options of git and pip",
    "experiments/doctor/examination.py": "options are declared there, and a whole command is advised",
    "experiments/doctor/machine.py": "an option of cpupower",
    "experiments/search/given_spaces.py": "reads what the option has",
    "experiments/search/request.py": "help of options",
    "experiments/search/results.py": "a comment in a file",
    "records/commits.py": "options of git",
    "records/documents.py": "a description of files",
    "report/renderers/terminal.py": "what a terminal shows",
    "report/views/advice.py": "a whole command is advised",
    "running/request.py": "help of options",
    "spelling.py": "the options that are not called as their keyword is",
}
"""Files outside the command line whose texts name options, and why they may."""


def texts(tree: ast.AST) -> Iterator[str]:
    """The strings of a module that are no documentation."""
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            yield node.value


def test_its_examples_hold() -> None:
    assert doctest.testmod(spelling).failed == 0


def test_what_both_callers_read_names_no_option() -> None:
    files = [path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] != "cli"]
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in files
        if any(OPTION.search(text) for text in texts(ast.parse(path.read_text(encoding="utf-8"))))
    }
    assert found <= set(READ_ON_THE_COMMAND_LINE)


@pytest.mark.parametrize(
    ("arguments", "line", "in_python", "as_option"),
    [
        ({"resume": True}, "--resume", "`resume` needs `output`", "--resume needs --output"),
        ({"batch_size": 0}, "--batch-size 0", "batch_size=0 is not allowed", "batch-size=0 is not allowed"),
        ({"time_limit": "soon"}, "--time-limit soon", "time_limit=soon is not", "time-limit=soon is not"),
        (
            {"batch_size": 999, "task_options": {"examples": 40}},
            "--batch-size 999 --set examples=40",
            "batch_size=999",
            "batch-size=999",
        ),
    ],
)
def test_the_same_mistake_is_told_to_each_caller_in_its_own_words(
    arguments: dict[str, object], line: str, in_python: str, as_option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        with pytest.raises(ngbench.UsageError) as error:
            ngbench.train("curves-autoencoder", "sgd", **arguments)  # type: ignore[arg-type]
        assert str(error.value).startswith(in_python)
        assert cli.main(["train", "curves-autoencoder", "-o", "sgd", "--no-output", *line.split()]) == 2
        assert as_option in capsys.readouterr().err


def test_warnings_of_a_summary_are_in_the_words_of_its_reader(capsys: pytest.CaptureFixture[str]) -> None:
    own = {"task_options": {"examples": 40}, "batch_size": 20, "threads": 1, "own_processes": False}
    found = ngbench.compare("curves-autoencoder", "sgd,adam", steps=2, **own)  # type: ignore[arg-type]
    assert "--" not in found.summary()
    assert "Run more (`seeds=3`)." in found.summary()
    line = (
        "compare curves-autoencoder -o sgd,adam --steps 2 --set examples=40 --batch-size 20 --threads 1 --no-output -q"
    )
    assert cli.main(line.split()) == 0
    assert "Run more (--seeds 3)." in " ".join(capsys.readouterr().out.split())
