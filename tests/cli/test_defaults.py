"""Defaults of options from a project's file, and the one task that a command takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
Read = Callable[[str | Path], dict[str, Any]]


def write(text: str, name: str = "ngbench.toml") -> None:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_the_command_line_wins_over_its_table_and_that_over_all_commands(
    ngbench: Run, read_runs: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(
        "[tool.ngbench]\nseed = 3\nthreads = 1\nepochs = 9\nno-output = true\n"
        '[tool.ngbench.train]\nset = ["depth=2"]\noptimizer = "sgd:lr=0.05"\nepochs = 8\n'
        "[tool.ngbench.compare]\nseed = 5\n",
        "pyproject.toml",
    )
    write("[project]\nname = 'x'\n", "below/pyproject.toml")
    monkeypatch.chdir("below")
    done = ngbench("train pond --epochs 1 --export-json -")
    (run,) = read_runs(done.out).values()
    assert (run["seed"], run["threads"], run["budget"]["epochs"]) == (3, 1, 1)
    assert (run["task_options"]["depth"], run["optimizer"]["hyperparameters"]["lr"]) == (2, 0.05)
    said = done.err.splitlines()[0]
    assert said.startswith(f"defaults of {Path.cwd().parent / 'pyproject.toml'}: ")
    assert set(said.partition(": ")[2].split(", ")) == {
        "seed 3",
        "threads 1",
        "no-output",
        "set depth=2",
        "optimizer sgd:lr=0.05",
    }
    assert not Path("ngbench-results").exists()
    assert "defaults of" not in ngbench("train pond --epochs 1 --quiet").err


def test_a_file_can_be_named_and_left_alone(ngbench: Run, read_runs: Read) -> None:
    write("epochs = 0\n")
    write("seed = 7\n", "other/mine.toml")
    line = "train pond -o sgd --epochs 1 --no-output --export-json -"
    (run,) = read_runs(ngbench(f"{line} --config other/mine.toml").out).values()
    assert run["seed"] == 7
    done = ngbench(f"{line} --no-config")
    assert (done.code, "defaults of" in done.err) == (0, False)
    assert ngbench(line).code == 2
    assert ngbench("train --help").code == 0
    assert "exclude each other" in ngbench(f"{line} --no-config --config other/mine.toml").err


def test_relative_paths_are_meant_from_the_file_and_output_on_the_command_line_from_here(
    ngbench: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    write('no-output = true\nfigures = "drawn"\n')
    Path("below").mkdir()
    monkeypatch.chdir("below")
    assert ngbench("train pond -o sgd --epochs 1 --output kept").code == 0
    assert Path("kept/sgd-seed0.json").exists()
    assert list(Path("../drawn").glob("*.png"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("epoch = 3", "unknown key of 'ngbench.toml' 'epoch'; did you mean 'epochs'?"),
        ("[train]\nepoch = 3", "unknown key of [train] in 'ngbench.toml' 'epoch'; did you mean 'epochs'?"),
        ("[trian]\nepochs = 3", "'trian'; did you mean 'train'?"),
        ("train = 3", "[train] in 'ngbench.toml' must be a table"),
        ("epochs = 0", "'ngbench.toml': epochs=0 is not allowed, it must be an integer >= 1"),
        ("epochs = [1]", "'ngbench.toml': epochs must be one text or number, not [1]"),
        ("epochs = true", "'ngbench.toml': epochs must be one text or number, not True"),
        ("quiet = 'yes'", "'ngbench.toml': quiet must be true or false, not 'yes'"),
        ("set = 'a=1'", "'ngbench.toml': set must be a list of texts, not 'a=1'"),
        ("epochs = ", "'ngbench.toml' is not TOML"),
    ],
)
def test_what_a_file_cannot_say_is_one_sentence(ngbench: Run, text: str, said: str) -> None:
    write(text)
    done = ngbench("train pond -o sgd")
    assert done.code == 2
    assert said.replace("'ngbench.toml'", repr(str(Path.cwd() / "ngbench.toml"))) in done.err
    assert done.err.count("\n") == 1


def test_what_other_commands_take_is_no_mistake(ngbench: Run) -> None:
    write('fail-if = ["step_time:5%"]\nplayers = ["adam"]\n[gan]\ncritic-steps = 2\n')
    assert ngbench("list tasks").code == 0
    assert ngbench("train pond -o sgd --epochs 1 --no-output --quiet").code == 0


@pytest.mark.parametrize("command", ["train", "compare", "gan", "tune", "fisher-error"])
def test_a_second_task_is_told_what_to_do(ngbench: Run, command: str) -> None:
    done = ngbench(f"{command} pond lake --steps 1")
    assert done.code == 2
    assert f"{command} takes one task, and 'lake' is one more than 'pond'" in done.err
    assert "ngbench report DIR DIR" in done.err
