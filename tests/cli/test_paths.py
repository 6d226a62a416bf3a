"""What reads the options, and bad paths in all that take one, as a user whom permissions stop."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.models import ArgumentInfo

from ngbench import cli
from ngbench.disk.files import given_destination, given_path

NOBODY = 65534


@dataclass(frozen=True)
class Parameter:
    """A parameter of a command: how it is given, and the function that reads its text."""

    command: str
    option: str | None
    metavar: str | None
    type: Any
    parser: Any


def parameters() -> Iterator[Parameter]:
    for name, command in cli.COMMANDS.items():
        function = getattr(importlib.import_module(f"ngbench.cli.{command.module}"), command.function)
        for parameter, hint in typing.get_type_hints(function, include_extras=True).items():
            for info in getattr(hint, "__metadata__", ()):
                declared = [one for one in (info.default, *(info.param_decls or ())) if str(one).startswith("--")]
                option = None if isinstance(info, ArgumentInfo) else (*declared, f"--{parameter}".replace("_", "-"))[0]
                yield Parameter(name, option, info.metavar, typing.get_args(hint)[0], info.parser)


PATHS = [parameter for parameter in parameters() if parameter.parser in (given_path, given_destination)]


def test_no_option_takes_a_path_in_another_way() -> None:
    named = [
        parameter
        for parameter in parameters()
        if parameter.metavar in ("FILE", "DIR", "PATH...", "CURRENT", "BASELINE") or "Path" in str(parameter.type)
    ]
    assert named == PATHS
    assert len(PATHS) > 40


def test_one_option_has_one_parser_and_every_number_has_one() -> None:
    parsers: dict[str, set[Any]] = {}
    for parameter in parameters():
        types = {parameter.type, *typing.get_args(parameter.type)}
        if types & {int, float}:
            assert parameter.parser is not None, parameter
        if parameter.option is not None and parameter.parser is not None:
            parsers.setdefault(parameter.option, set()).add(parameter.parser)
    assert {option for option, found in parsers.items() if len(found) > 1} == set()
    assert len(parsers) > 30


NUMBERS = {
    "train curves-autoencoder -o sgd --steps": ["٣", "３", "1_0", "²"],
    "train curves-autoencoder -o sgd --time-limit": ["٣s", "1h３m"],
    "train curves-autoencoder -o sgd --target-loss": ["٠.٥", "nan", "inf", "1_0"],
    "train curves-autoencoder -o sgd --device": ["cuda:٠"],
    "train curves-autoencoder -o": ["sgd:lr=٠.١", "sgd:lr=1_0"],
    "fisher-error curves-autoencoder --every": ["٣"],
    "fisher-error curves-autoencoder --layer": ["٣"],
    "check x.json --baseline x.json --fail-if": ["step_time.ratio:５%", "peak_memory:٦٤MiB"],
    "check x.json --baseline x.json --absolute-floor": ["٥us"],
    "check x.json --baseline x.json --target-loss": ["nan", "inf", "٣"],
    "report x.json --output page.html --target-loss": ["nan", "inf", "٣"],
    "doctor --threshold": ["５%"],
    "tune curves-autoencoder -o sgd --search": ["lr=٠.١", "lr=٠.١..1"],
}


@pytest.mark.parametrize("line", NUMBERS)
def test_numbers_are_of_ascii_digits_and_finite(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.json").write_text("{}")
    for text in NUMBERS[line]:
        assert cli.main([*line.split(), text]) == 2
        said = capsys.readouterr().err
        assert text.rpartition(":")[2].rpartition("=")[2] in said, (text, said)
        assert "schema_version" not in said, (text, said)


# It imports all that it needs before it gives up its rights: Python itself may lie where only root can read.
PROGRAM = """
import contextlib, io, json, os, sys

lines, as_nobody = json.load(sys.stdin)
from ngbench import cli
for name in cli.COMMANDS:
    cli.load_command(name)
import numpy, torch, torch._dynamo, optuna, yaml, tabulate
from ngbench.report.renderers.html import _environment
_environment().get_template("page.html").render
import ngbench.cli.execution, ngbench.experiments.gate, ngbench.experiments.studies.reproduction
import ngbench.experiments.search.search, ngbench.report.renderers.html, ngbench.report.renderers.markdown
import ngbench.report.page.contents, ngbench.report.exports.pytest_benchmark, ngbench.data.presence
import ngbench.report.views.comparison, ngbench.report.views.gan
for warm in (["list", "tasks"], ["env"], ["list", "optimizers"], ["check-plugin", "none", "--task"]):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        cli.main(warm)
if as_nobody:
    os.setgroups([])
    os.setgid(as_nobody)
    os.setuid(as_nobody)
answers = []
for environment, line in lines:
    os.environ.update(environment)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main(line)
    for name in environment:
        del os.environ[name]
    answers.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(answers))
"""


def answers_without_rights(directory: Path, lines: list[tuple[dict[str, str], list[str]]]) -> list[list[Any]]:
    """Exit code, stdout and stderr of each command line, in the directory, as a user who may not read ``locked``."""
    root = os.geteuid() == 0
    for parent in (directory, *directory.parents):
        # What pytest makes is for its own user; nobody has to get as far as here.
        if root and parent.is_relative_to(Path("/tmp")) and parent != Path("/tmp"):
            parent.chmod(0o711)
    if root:
        directory.chmod(0o777)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps([lines, NOBODY if root else 0]),
        cwd=directory,
        text=True,
        capture_output=True,
        env={**os.environ, "COLUMNS": "200", "HOME": str(directory)},
    )
    if "PermissionError" in done.stderr and "os.set" in done.stderr:
        pytest.skip("this user may not become another one")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def obstacles(tmp_path: Path) -> Iterator[Path]:
    """A directory with what a path can run into."""
    here = tmp_path / "here"
    here.mkdir()
    (here / "locked").mkdir()
    (here / "locked" / "there.json").write_text("{}")
    (here / "file").touch()
    (here / "left").symlink_to("right")
    (here / "right").symlink_to("left")
    (here / "unlisted").mkdir()
    (here / "records" / "locked").mkdir(parents=True)
    (here / "unreadable.json").write_text("{}")
    modes = {"locked": 0o000, "records/locked": 0o000, "unlisted": 0o311, "unreadable.json": 0o000}
    for name, mode in modes.items():
        (here / name).chmod(mode)
    yield here
    for name in modes:
        (here / name).chmod(0o700)


BAD = {
    "locked/there.json": "Permission denied",
    "locked/none/x.md": "Permission denied",
    "x" * 300 + ".html": "File name too long",
    "left": "its links lead in a circle",
    "left/x.json": "its links lead in a circle",
    "file/below.yaml": "'file' is not a directory",
    "": "an empty path is not allowed",
}


def test_every_option_refuses_every_bad_path_in_one_sentence(obstacles: Path) -> None:
    lines, said = [], []
    for parameter in PATHS:
        for bad, reason in BAD.items():
            lines.append(({}, [parameter.command, *([parameter.option] if parameter.option else []), bad]))
            said.append((bad, reason))
    for line, answer, (bad, reason) in zip(lines, answers_without_rights(obstacles, lines), said, strict=True):
        code, out, err = answer
        assert (code, out, err.count("\n")) == (2, "", 1), (line, answer)
        assert err.startswith("Error: "), (line, err)
        assert reason in err, (line, err)
        assert bad in err, (line, err)


IMAGES = "train resnet50-imagenet -o sgd --set data=official"
DEEPER: dict[str, tuple[dict[str, str], str, str]] = {
    "a locked directory among records": ({}, "report records --output page.html", "cannot list 'records/locked'"),
    "a directory that may not be listed": ({}, "report unlisted --output page.html", "cannot list 'unlisted'"),
    "the same as a baseline": ({}, "check unlisted --baseline records", "cannot list 'unlisted'"),
    "the same to export": ({}, "export unlisted --pytest-benchmark out.json", "cannot list 'unlisted'"),
    "the same with data": ({}, "env --data-dir unlisted", "unlisted': Permission denied"),
    "the same to write to": ({}, "train curves-autoencoder -o sgd --output unlisted", "no permission to write in"),
    "a file that may not be read": ({}, "check unreadable.json --baseline records", "cannot read the record"),
    "the same as settings": ({}, "train curves-autoencoder -o sgd --hyperparameters unreadable.json", "cannot read"),
    "the same as a space": ({}, "tune curves-autoencoder -o sgd --space unreadable.json", "cannot read"),
    "data of the environment": ({"NGBENCH_DATA_DIR": "locked/data"}, "env", "cannot use 'locked/data'"),
    "data of the environment in a circle": ({"NGBENCH_DATA_DIR": "left"}, "env", "its links lead in a circle"),
    "a study that may not be read": ({}, "reproduce locked/mine.yaml", "cannot use 'locked/mine.yaml'"),
    "a study with a long name": ({}, "reproduce " + "x" * 300 + ".yaml", "File name too long"),
    "a study in a circle": ({}, "reproduce left/mine.yaml", "its links lead in a circle"),
    "a folder of images": ({}, f"{IMAGES} --set folder={{here}}/locked/x", "/locked/x': Permission denied"),
    "a folder of images in a circle": ({}, f"{IMAGES} --set folder={{here}}/left", "its links lead in a circle"),
    "a locked folder of images": ({}, f"{IMAGES} --set folder={{here}}/locked", "Permission denied"),
    "a plugin with a long name": ({}, "new-plugin " + "x" * 300 + " --task", "File name too long"),
    "a plugin in a locked directory": ({}, "new-plugin mine --task --output locked/mine", "cannot use 'locked/mine'"),
}


def test_what_a_command_meets_deeper_down_is_one_sentence_too(obstacles: Path) -> None:
    lines = [(environment, line.format(here=obstacles).split()) for environment, line, _ in DEEPER.values()]
    for case, answer in zip(DEEPER, answers_without_rights(obstacles, lines), strict=True):
        code, out, err = answer
        assert (code, out) == (2, ""), (case, answer)
        assert all(said.startswith("Error: ") for said in err.splitlines()), (case, err)
        assert DEEPER[case][2] in err, (case, err)
