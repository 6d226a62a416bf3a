"""The packages of new plugins, installed apart from this one, as an author would have them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ngbench.plugins.skeleton import write_plugin

NAMES = {"optimizer": "calm-descent", "task": "point-clouds", "approximation": "shrunk-kfac"}
LISTS = {"optimizer": "optimizers", "task": "tasks", "approximation": "approximations"}


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], Path]:
    """The directories of one plugin of each kind, and where they are installed."""
    root = tmp_path_factory.mktemp("plugins")
    written = [root / name for name in NAMES.values()]
    for (kind, name), directory in zip(NAMES.items(), written, strict=True):
        write_plugin(name, kind, directory)  # type: ignore[arg-type]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]
    apart = ["--no-build-isolation", "--target", str(root / "site")]
    subprocess.run([*pip, *apart, *map(str, written)], check=True)
    return written, root / "site"


def run(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(site), "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-m", *arguments], capture_output=True, text=True, env=environment, check=False
    )


def test_they_pass_their_own_tests_with_the_conformance_test(packages: tuple[list[Path], Path]) -> None:
    directories, site = packages
    answer = run(site, "pytest", "-q", "-p", "no:cacheprovider", *(str(path) for path in directories))
    assert answer.returncode == 0, answer.stdout
    assert "6 passed" in answer.stdout


@pytest.mark.parametrize("kind", NAMES)
def test_they_are_listed(packages: tuple[list[Path], Path], kind: str) -> None:
    answer = run(packages[1], "ngbench", "list", LISTS[kind])
    (line,) = [line for line in answer.stdout.splitlines() if line.startswith(f"{NAMES[kind]} ")]
    assert line.split()[:3] == [NAMES[kind], NAMES[kind], "0.1.0"]


def test_they_train(packages: tuple[list[Path], Path]) -> None:
    answer = run(packages[1], "ngbench", "train", "point-clouds", "-o", "calm-descent", "--steps", "4", "--quiet")
    assert answer.returncode == 0, answer.stderr


def test_the_command_says_what_it_wrote_and_what_is_next(ngbench: Callable[..., Any]) -> None:
    outcome = ngbench("new-plugin calm-descent --optimizer --output here/there")
    assert outcome.code == 0
    assert outcome.out.splitlines() == [
        "here/there/pyproject.toml",
        "here/there/README.md",
        "here/there/calm_descent/__init__.py",
        "here/there/tests/test_calm_descent.py",
        "",
        "Next: pip install -e './here/there[test]' && pytest ./here/there && ngbench list optimizers calm-descent",
    ]
    assert "class CalmDescent(torch.optim.Optimizer)" in Path("here/there/calm_descent/__init__.py").read_text()


def test_an_existing_directory_is_left_alone(ngbench: Callable[..., Any]) -> None:
    Path("calm-descent").mkdir()
    outcome = ngbench("new-plugin calm-descent --task")
    assert (outcome.code, outcome.out) == (2, "")
    assert "'calm-descent' exists already: give another --output" in outcome.err
    assert list(Path("calm-descent").iterdir()) == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("calm-descent", "say what it is: --optimizer, --task or --approximation"),
        ("calm-descent --task --approximation", "give one of --optimizer, --task and --approximation"),
        ("Calm --task", "name 'Calm' is not allowed, it must be lower-case words with hyphens"),
        ("calm_descent --task", "name 'calm_descent' is not allowed"),
        ("../calm --task", "name '../calm' is not allowed"),
        ("class --task", "name 'class' is not allowed, it is a word of Python"),
        ("kfac --approximation", "name 'kfac' is taken: ngbench provides the approximation 'kfac'"),
        ("torch --optimizer", "name 'torch' is taken: there is a module 'torch' already"),
    ],
)
def test_names_that_cannot_be_are_refused(ngbench: Callable[..., Any], line: str, message: str) -> None:
    outcome = ngbench(f"new-plugin {line}")
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err
    assert list(Path().iterdir()) == []
