from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ngbench.cli import main

Distribute = Callable[..., None]

WALK = '''
    from typing import Annotated
    from ngbench import Range

    def walk(model, task, *, lr: Annotated[float, Range(above=0)] = 0.5, path: str | None = None):
        """A walk that goes downhill.

        Args:
            lr: length of a stride.
        """
'''

POND = '''
    from ngbench import Gaussian, Task

    def pond(*, depth: int = 3) -> Task:
        """A pond."""
        return Task(None, None, Gaussian(), batch_size=depth, epochs=9, batch_sizes=(5, 6),
                    hyperparameters={"walk": {"lr": 0.125}})

    def bog() -> Task:
        """A bog."""
        raise KeyError("sunk")
'''


@pytest.fixture
def wild(distribute: Distribute) -> None:
    """A distribution with an optimizer, a task, and one of each that fail."""
    distribute(
        "dist-wild",
        {"walkers": WALK, "stumblers": '"""Stumble."""\nraise OSError("no boots")', "ponds": POND},
        optimizers={"walk": "walkers:walk", "stumble": "stumblers:stumble"},
        tasks={"pond": "ponds:pond", "bog": "ponds:bog"},
    )


def listed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["list", *arguments]) == 0
    return capsys.readouterr().out


def listed_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in json.loads(listed(capsys, *arguments, "--json"))}


@pytest.mark.usefixtures("wild")
def test_a_line_shows_name_summary_and_distribution(capsys: pytest.CaptureFixture[str]) -> None:
    lines = listed(capsys, "optimizers").splitlines()
    assert re.split(r" {2,}", lines[0].strip()) == ["name", "from", "what it is"]
    (line,) = [line for line in lines if line.startswith("walk ")]
    assert re.split(r" {2,}", line.strip()) == ["walk", "dist-wild 1.5", "A walk that goes downhill."]
    assert any(line.startswith("sgd ") for line in lines)
    assert any(line.startswith("pond ") for line in listed(capsys, "tasks").splitlines())


@pytest.mark.usefixtures("wild")
def test_listing_imports_no_plugin(capsys: pytest.CaptureFixture[str]) -> None:
    listed(capsys, "optimizers")
    assert not {"walkers", "stumblers", "ponds"} & set(sys.modules)


@pytest.mark.usefixtures("wild")
def test_only_what_is_shown_in_full_is_imported(capsys: pytest.CaptureFixture[str]) -> None:
    shown = listed(capsys, "tasks", "pond")
    assert "walkers" not in sys.modules
    lines = [re.split(r" {2,}", line.strip()) for line in shown.splitlines()]
    assert lines[0] == ["pond (dist-wild 1.5)"]
    for line in ("A pond.", "batch size: 3", "batch sizes with published values: 5, 6", "epochs: 9"):
        assert [line] in lines
    assert ["depth", "3", "an integer"] in lines
    assert ["walk", "lr=0.125"] in lines


@pytest.mark.usefixtures("wild")
def test_an_optimizer_in_full_shows_what_is_allowed_and_what_is_published(
    capsys: pytest.CaptureFixture[str],
) -> None:
    walk = listed_json(capsys, "optimizers", "walk")["walk"]
    assert walk["parameters"] == [
        {
            "name": "lr",
            "allowed": "a number > 0",
            "default": 0.5,
            "required": False,
            "description": "length of a stride.",
        },
        {"name": "path", "allowed": "none or a text", "default": None, "required": False, "description": ""},
    ]
    assert walk["published"] == {"pond": {"lr": 0.125}}
    assert "KeyError: 'sunk'" in walk["unreadable_tasks"]["bog"]
    shown = listed(capsys, "optimizers", "walk")
    lines = [re.split(r" {2,}", line.strip()) for line in shown.splitlines()]
    assert ["lr", "0.5", "length of a stride. (a number > 0)"] in lines
    assert ["pond", "lr=0.125"] in lines


@pytest.mark.usefixtures("wild")
def test_a_broken_plugin_is_a_named_row_in_full_view(capsys: pytest.CaptureFixture[str]) -> None:
    rows = listed_json(capsys, "optimizers", "--full")
    assert rows["stumble"]["problem"] == ("optimizer 'stumble' (from dist-wild) cannot be imported: OSError: no boots")
    assert rows["sgd"]["problem"] is None
    for arguments, problem in ((["optimizers", "stumble"], "optimizer 'stumble'"), (["tasks", "bog"], "task 'bog'")):
        assert main(["list", *arguments]) == 2
        assert f"PROBLEM: {problem}" in capsys.readouterr().out


def test_a_class_is_shown_by_its_dotted_name(capsys: pytest.CaptureFixture[str]) -> None:
    shown = listed(capsys, "optimizers", "torch.optim.Rprop")
    assert shown.startswith("torch.optim.Rprop\n")
    assert "etas" in shown
    assert "0.5/1.2" in shown
    assert "others" not in shown
    assert "others_lr" in listed(capsys, "optimizers", "torch.optim.Muon")


def test_alone_it_says_how_many_there_are_of_each_kind(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [re.split(r" {2,}", line.strip()) for line in listed(capsys).splitlines()]
    assert ["approximations", "5", "ngbench list approximations"] in lines
    assert {line[0] for line in lines} >= {"tasks", "optimizers", "studies", "data"}


@pytest.mark.parametrize("width", [60, 80, 120, 200])
@pytest.mark.parametrize(
    "arguments", [[], ["tasks"], ["studies"], ["optimizers", "kfac"], ["tasks", "curves-autoencoder"]]
)
def test_lists_fit_the_terminal_and_break_between_words(
    arguments: list[str], width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = listed(capsys, *arguments)
    monkeypatch.setenv("COLUMNS", str(width))
    lines = listed(capsys, *arguments).splitlines()
    assert max(map(len, lines)) <= width
    # Hyphens part words too: the networks' sizes are written with them.
    assert set(re.split(r"[\s-]+", wide)) - set(re.split(r"[\s-]+", "\n".join(lines))) <= {""}


def test_data_sets_say_what_a_run_would_use(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NGBENCH_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    rows = listed_json(capsys, "data")
    assert rows["CURVES"]["used"] == "generated"
    assert rows["Fashion-MNIST"]["used"] == "missing"
    shown = listed(capsys, "data", "FACES")
    assert "newfaces_rot_single.mat" in shown
    assert f"they belong into: {tmp_path / 'FACES'}" in shown
    assert main(["list", "data", "MNITS"]) == 2
    assert "did you mean 'MNIST'?" in capsys.readouterr().err


def test_a_task_in_full_has_the_number_of_its_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    assert "parameters of the model: 842 k" in listed(capsys, "tasks", "curves-autoencoder")
    assert listed_json(capsys, "tasks", "gan-mnist")["gan-mnist"]["model_parameters"] > 10**6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["optimizers", "adan"], "unknown optimizer 'adan'; did you mean 'adam'?"),
        (["tasks", "lake"], "unknown task 'lake'"),
    ],
)
def test_an_unknown_name_is_refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_approximations_are_listed_and_shown_in_full(ngbench: Callable[..., Any]) -> None:
    _, *lines = ngbench("list approximations").out.strip().splitlines()
    assert [line.split()[0] for line in lines] == ["deflation", "kfac", "kfac-corrected", "kpsvd", "lanczos"]
    (described,) = json.loads(ngbench("list approximations kpsvd --json").out)
    parameters = {parameter["name"]: parameter for parameter in described["parameters"]}
    assert list(parameters) == ["precision", "max_iterations", "route", "positions"]
    assert all(parameter["description"] for parameter in parameters.values())
    assert "unknown approximation 'kpsve'; did you mean 'kpsvd'?" in ngbench("list approximations kpsve").err


@pytest.mark.parametrize("kind", ["tasks", "optimizers", "approximations"])
def test_no_marks_of_docstrings_are_printed(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", kind]) == 0
    assert main(["list", kind, *{"approximations": ["--full"], "optimizers": ["kfac", "two-level"]}.get(kind, [])]) == 0
    assert not re.search(r"`|:\w+:", capsys.readouterr().out)
