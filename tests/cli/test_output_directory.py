"""Where results go that no directory was named for, and what is said of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ngbench.cli.keeping import closing
from ngbench.records.command_line import called_as
from ngbench.records.results import RESULTS, new_directory

Run = Callable[..., Any]
PAUSES = """
from pathlib import Path
import torch

class Pauses(torch.optim.SGD):
    def __init__(self, params, lr=0.01):
        super().__init__(params, lr)
        self.taken = 0

    def step(self, closure=None):
        self.taken += 1
        if self.taken == 6 and not Path("paused").exists():
            Path("paused").touch()
            raise KeyboardInterrupt
        return super().step(closure)
"""


def made() -> list[Path]:
    return sorted(Path(RESULTS).iterdir()) if Path(RESULTS).exists() else []


def test_results_are_kept_in_a_directory_that_is_named_before_and_after(ngbench: Run) -> None:
    done = ngbench("train pond -o sgd --epochs 1")
    (directory,) = made()
    assert re.fullmatch(r"\d{8}-\d{6}-train-pond", directory.name)
    assert {path.name for path in directory.iterdir()} == {"sgd-seed0.json", "sgd-seed0.pt"}
    assert done.err.startswith(f"results go to {directory}\n")
    assert f"ngbench train pond -o sgd --epochs 1 --resume --output {directory}\n" in done.err
    assert done.out.endswith(f"\nResults: ngbench report {directory}\n")


def test_the_command_that_is_offered_after_an_interruption_ends_the_run(ngbench: Run) -> None:
    Path("mine.py").write_text(PAUSES)
    done = ngbench("train pond -o mine.py:Pauses --epochs 2 --quiet")
    assert done.code == 1
    (directory,) = made()
    command = done.out.splitlines()[-1].removeprefix("To go on: ngbench ")
    assert command == f"train pond -o mine.py:Pauses --epochs 2 --quiet --resume --output {directory}"
    assert ngbench(command).code == 0
    assert made() == [directory]


def test_a_search_goes_on_where_it_began_unless_it_has_a_storage(tune: Run) -> None:
    search = "tune pond -o sgd --search lr=0.01,0.1 --epochs 1"
    done = tune(search)
    (directory,) = made()
    assert (directory / "hyperparameters.yaml").exists()
    assert f"after an interruption: ngbench {search} --output {directory}\n" in done.err
    assert f"Results: ngbench report {directory}\n" in done.out
    assert tune(f"{search} --storage trials.db").code == 0
    assert tune(f"{search} --no-output").code == 0
    assert made() == [directory]


def test_nothing_is_left_of_what_was_refused_and_of_what_is_kept_nowhere(ngbench: Run) -> None:
    assert ngbench("train pond -o nothing").code == 2
    done = ngbench("train pond -o sgd --epochs 1 --no-output")
    assert done.code == 0
    assert "results go to" not in done.err
    assert "Results:" not in done.out
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("train pond -o sgd --output x --no-output", "--output and --no-output exclude each other"),
        ("tune pond -o sgd --search lr=1 --output x --no-output", "--output and --no-output exclude each other"),
        ("train pond -o sgd --resume", "--resume needs --output"),
        ("reproduce figure-3.1 --resume", "--resume needs --output"),
    ],
)
def test_contradictions_are_refused(ngbench: Run, line: str, said: str) -> None:
    done = ngbench(line)
    assert (done.code, list(Path.cwd().iterdir())) == (2, [])
    assert said in done.err


@pytest.mark.parametrize(
    ("command", "otherwise"),
    [
        ("train pond -o sgd", "--output DIR keeps them elsewhere, --no-output nowhere"),
        ("tune pond -o sgd --search lr=1", "--output DIR keeps them elsewhere, --no-output nowhere"),
        ("reproduce figure-3.1 --scale smoke", "--output DIR keeps them elsewhere"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused_before_anything_runs(
    ngbench: Run, command: str, otherwise: str
) -> None:
    Path(RESULTS).touch()
    done = ngbench(command)
    assert done.code == 2
    said = f"cannot make a directory for the results in {RESULTS!r}: {RESULTS!r} is not a directory; {otherwise}"
    assert done.err == f"Error: {said}\n"


def test_commands_of_one_second_have_directories_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with new_directory("train-x", "") as one, new_directory("train-x", "") as other, new_directory("../x y", "") as odd:
        assert one != other
        assert odd.parent == one.parent == Path(RESULTS)
        (one / "record").touch()
    assert made() == [one]


def test_what_goes_on_is_given_to_a_shell_as_it_is_meant() -> None:
    with called_as(["ngbench", "train", "a b", "-o", "sgd", "--", "--resume"]):
        *_, command = closing(Path("c d"), unfinished=True)
        assert command == "To go on: ngbench train 'a b' -o sgd --resume --output 'c d' -- --resume"
    with called_as(["ngbench", "train", "a", "--output=c d", "--resume"]):
        *_, command = closing(Path("c d"), unfinished=True)
        assert command == "To go on: ngbench train a '--output=c d' --resume"
