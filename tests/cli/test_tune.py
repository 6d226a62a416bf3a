"""``ngbench tune``: what it searches, says, writes and refuses. Trials run in this process, to save time."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

Run = Callable[..., Any]
GRID = "tune pond -o sgd --search lr=0.01,0.1,1e30 --search momentum=0,0.9 --epochs 1 --threads 1"


LAKE = '''
    from dataclasses import replace
    from laboratory_bench import pond
    from ngbench import Task

    def lake() -> Task:
        """The pond, with a published grid."""
        grid = {"adam": {"lr": [0.1, 0.01], "beta1": [0.9, 0.5]}}
        return replace(pond(), grid=grid, metrics={"size": lambda outputs, targets: outputs.abs().mean()})
'''


@pytest.fixture
def lake(distribute: Callable[..., None]) -> None:
    distribute("dist-lake", {"lake_bench": LAKE}, tasks={"lake": "lake_bench:lake"})


def document(done: Any) -> dict[str, Any]:
    assert done.code == 0, done.err
    return json.loads(done.out)  # type: ignore[no-any-return]


def test_the_page_of_a_search_shows_the_search_and_not_its_trials_as_arms(tune: Run) -> None:
    assert tune(f"{GRID} --output out").code == 0
    for _ in range(2):
        assert tune("report out --output page.md").code == 0
        page = Path("page.md").read_text()
        assert "## search: pond" in page
        assert "sgd: best is trial" in page
        assert "| sgd-trial-" not in page
        # A search that is gone on with, here with nothing to do, keeps its file.
        assert tune(f"{GRID} --output out").code == 0
    kept = json.loads(Path("out/search.json").read_text())
    assert kept["runs"] == []
    assert kept["search"]["arms"]["sgd"]["planned"] == 6


def test_a_grid_is_searched_once_and_every_outcome_is_a_result(tune: Run) -> None:
    done = tune(f"{GRID} --output out")
    assert done.code == 0
    assert "sgd: 6 trials over lr=0.01,0.1,1e+30 momentum=0,0.9" in done.err
    assert done.err.count("diverged, the training loss became") == 2
    found = yaml.safe_load(Path("out/hyperparameters.yaml").read_text())
    assert {key: found[key] for key in ("task", "metric", "direction", "budget", "seeds", "sampler", "batch_size")} == {
        "task": "pond",
        "metric": "training_loss",
        "direction": "minimize",
        "budget": {"epochs": 1},
        "seeds": [0],
        "sampler": "grid",
        "batch_size": 10,
    }
    arm = found["arms"]["sgd"]
    assert (arm["trials"], arm["diverged"], arm["searched"]) == (6, 2, ["lr", "momentum"])
    # Each trial left a record like any run's, and the best is the lowest of them.
    records = [json.loads(path.read_text())["runs"][0] for path in sorted(Path("out").glob("sgd-trial-*-seed0.json"))]
    assert [record["trial"] for record in records] == [{"arm": "sgd", "trial": number} for number in range(6)]
    losses = {record["history"]["train_loss"][-1]: record for record in records if record["status"] == "done"}
    assert len(losses) == 4
    best = losses[min(losses)]
    assert arm["score"] == min(losses)
    assert arm["trial"] == best["trial"]["trial"]
    assert arm["hyperparameters"] == best["optimizer"]["hyperparameters"]
    assert arm["cost"]["steps"] == sum(len(record["steps"]["seconds"]) for record in records)
    # The table says it too.
    line = next(line for line in done.out.splitlines() if line.startswith("sgd  "))
    assert line.split()[:3] == ["sgd", "6", f"{min(losses):.3f}"]
    assert f"best is trial {arm['trial'] + 1} (record " in done.out
    assert tune("report out --output page.html").code == 0


def test_the_same_command_goes_on_and_does_what_is_left(tune: Run) -> None:
    first = document(tune(f"{GRID} --trials 2 --storage s.db --export-json -"))
    second = tune(f"{GRID} --storage s.db --export-json -")
    assert [f"trial {number + 1} of 6" in second.err for number in range(6)] == [False, False, True, True, True, True]
    trials = document(second)["search"]["arms"]["sgd"]["trials"]
    assert trials[:2] == first["search"]["arms"]["sgd"]["trials"]
    third = tune(f"{GRID} --storage s.db --export-json -")
    assert "sgd trial" not in third.err
    assert document(third)["search"]["arms"]["sgd"]["trials"] == trials


def test_arms_get_equal_budgets_and_fixed_settings_are_not_searched(tune: Run) -> None:
    line = "tune pond -o sgd:momentum=0.5,adam --search lr=1e-3..1:log --trials 3 --sampler random --steps 2"
    done = tune(f"{line} --threads 1 --seeds 2 --export-json - --export-markdown search.md")
    assert "0.001..1:log" in Path("search.md").read_text()
    found = document(done)
    arms = found["search"]["arms"]
    assert {label: len(arm["trials"]) for label, arm in arms.items()} == {"sgd:momentum=0.5": 3, "adam": 3}
    # The same draws for both, and two seeds of two steps each.
    assert [t["settings"] for t in arms["adam"]["trials"]] == [
        t["settings"] for t in arms["sgd:momentum=0.5"]["trials"]
    ]
    assert {t["steps"] for arm in arms.values() for t in arm["trials"]} == {4}
    runs = [run for run in found["runs"] if run["optimizer"]["name"] == "sgd"]
    assert {run["optimizer"]["hyperparameters"]["momentum"] for run in runs} == {0.5}
    assert sorted({run["seed"] for run in runs}) == [0, 1]
    # What the records hold is what the trials say.
    value = arms["adam"]["trials"][1]["value"]
    losses = [run["history"]["train_loss"][-1] for run in found["runs"] if run["label"] == "adam-trial-001"]
    assert value == pytest.approx(sum(losses) / 2)


def test_the_grid_of_the_task_is_the_default_and_the_best_settings_are_read_by_train(
    lake: None, tune: Run, read_runs: Callable[..., Any]
) -> None:
    done = tune("tune lake -o adam:eps=1e-6 --epochs 1 --threads 1 --no-output --write-hyperparameters h.yaml --seed 3")
    assert done.code == 0, done.err
    assert "adam:eps=1e-6: 4 trials over lr=0.01,0.1 beta1=0.5,0.9" in done.err
    assert "nothing is kept of the trials" in done.err
    found = yaml.safe_load(Path("h.yaml").read_text())
    best = found["arms"]["adam:eps=1e-6"]
    assert best["hyperparameters"]["eps"] == 1e-6
    again = tune("train lake -o adam --hyperparameters h.yaml --epochs 1 --threads 1 --seed 3 --export-json -")
    assert again.code == 0, again.err
    (run,) = read_runs(again.out).values()
    assert run["optimizer"]["hyperparameters"] == best["hyperparameters"]
    assert run["history"]["train_loss"] == [best["score"]]


def test_what_is_fixed_is_left_out_of_the_published_grid_and_a_search_replaces_it(lake: None, tune: Run) -> None:
    done = tune(
        "tune lake -o adam:lr=0.1,wide@adam --search wide:lr=0.1,0.2,0.3 --steps 1 --threads 1 --metric metric.size"
    )
    assert done.code == 0, done.err
    assert "adam:lr=0.1: 2 trials over beta1=0.5,0.9" in done.err
    assert "wide: 3 trials over lr=0.1,0.2,0.3" in done.err
    assert "search for the highest size" in done.err
    assert "Warning: the arms have different numbers of trials (adam:lr=0.1 2, wide 3)" in " ".join(done.out.split())


def test_time_to_target_is_searched_and_an_unreached_target_is_no_value(tune: Run) -> None:
    line = "tune pond -o sgd --search lr=1e-9,0.05 --epochs 4 --threads 1 --export-json -"
    worse, better = sorted((t["value"] for t in document(tune(line))["search"]["arms"]["sgd"]["trials"]), reverse=True)
    reached = f"--metric epochs_to_target --target-loss {(worse + better) / 2}"
    arm = document(tune(f"{line} {reached}"))["search"]["arms"]["sgd"]
    assert arm["outcomes"] == {"done": 1, "target_not_reached": 1}
    assert arm["hyperparameters"]["lr"] == 0.05
    assert arm["score"] in (1, 2, 3, 4)


def test_an_arm_without_a_sound_trial_is_said_and_the_others_are_written(tune: Run) -> None:
    done = tune("tune pond -o sgd,adam --search sgd:lr=1e30,1e31 --search adam:lr=0.01 --epochs 1 --output out")
    assert done.code == 1
    assert done.err.splitlines()[-1].startswith("Error: no trial has a value for sgd (2 diverged): search other values")
    assert list(yaml.safe_load(Path("out/hyperparameters.yaml").read_text())["arms"]) == ["adam"]


def test_a_plugin_that_fails_is_a_result_with_its_message(tune: Run) -> None:
    done = tune("tune pond -o fails --search at=2,100 --epochs 1 --threads 1")
    assert done.code == 0
    assert "Warning: fails: a trial failed, such as" in done.out
    assert "the knob came off" in done.out


def test_the_trials_are_drawn_and_can_be_had_from_the_records(tune: Run) -> None:
    assert tune(f"{GRID} --output out --figures made.svg").code == 0
    (made,) = Path().glob("made-*.svg")
    drawn = tune("report out --figures later.svg")
    assert drawn.out == f"{made.name.replace('made', 'later')}\n"
    assert Path(drawn.out.strip()).read_bytes() == made.read_bytes()
    rows = list(csv.DictReader(io.StringIO(tune("export out --table trials --csv -").out)))
    assert [row["trial"] for row in rows] == [str(number) for number in range(len(rows))]
    assert all(float(row["value"]) for row in rows if row["outcome"] == "done")


def test_markdown_holds_the_tables(tune: Run) -> None:
    done = tune(f"{GRID} --export-markdown -")
    assert done.code == 0
    assert done.out.startswith("## Hyper-parameters for pond depth=8 dry=False\n")
    assert "| sgd" in done.out
    assert "| momentum" in done.out


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("tune pond -o sgd", "task pond has no grid for sgd: say what to search with --search or --space"),
        ("tune pond -o sgd --search lr=1,2 --sampler gird", "unknown sampler 'gird'; did you mean 'grid'"),
        ("tune pond -o sgd --search lr=0.1..1 --sampler grid", "'grid' cannot search the range lr=0.1..1"),
        ("tune pond -o sgd --search lr=0.1..1", "sampler 'tpe' needs --trials"),
        ("tune pond -o sgd:lr=1 --search lr=1,2", "lr is given as 1.0 and searched as well"),
        ("tune pond -o sgd --search lr=1,2 --metric acuracy", "unknown quantity 'acuracy'"),
        ("tune pond -o sgd --search lr=1,2 --metric seconds_to_target", "needs --target-loss"),
        ("tune pond -o sgd --search lr=1,2 --storage s.txt", "none of the known suffixes"),
        ("tune pond -o sgd --search lr=1,2 --trials 0", "trials=0 is not allowed"),
        ("tune pond -o sgd --search lr=1,2 --workers 0", "workers=0 is not allowed"),
        ("tune pond -o sgd --search lr=1,2 --space no.yaml", "cannot read 'no.yaml'"),
        ("tune pond -o sgd --search lr=1,2 --output full", "holds 'other.txt', which is not of this search"),
        ("tune pond -o sgd --search lr=1,2 --export-json - --export-markdown -", "only one export can go to stdout"),
        (
            "tune gan-mnist -o sgd --search lr=1,2",
            "trains two players against each other, whose hyper-parameters no search",
        ),
        ("tune gan-mnist -o kfac", "ngbench gan compares values of your own (--players)"),
        ("tune pnod -o sgd --search lr=1,2", "unknown task 'pnod'"),
    ],
)
def test_bad_input_is_one_sentence(tune: Run, line: str, said: str) -> None:
    Path("full").mkdir()
    Path("full/other.txt").touch()
    done = tune(line)
    assert done.code == 2, done.err
    assert said in done.err
    assert done.err.count("\n") == 1
    assert not Path("s.txt").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("--epochs 3", "budget.epochs is 1 there and 3 here"),
        ("--set depth=3", "task_options.depth is 8 there and 3 here"),
        ("--search lr=0.01,0.2,1e30", "sgd.space.lr is [0.01, 0.1, 1e+30] there and [0.01, 0.2, 1e+30] here"),
        ("--sampler random --trials 6", 'sampler is "grid" there and "random" here'),
        ("--seeds 2", "seeds is [0] there and [0, 1] here"),
    ],
)
def test_the_storage_of_another_search_is_refused(tune: Run, change: str, said: str) -> None:
    assert tune(f"{GRID} --trials 1 --storage s.journal").code == 0
    before = Path("s.journal").read_bytes()
    changed = GRID.replace("--search lr=0.01,0.1,1e30", "") if "lr=" in change else GRID
    changed = changed.replace("--epochs 1", "") if "epochs" in change else changed
    done = tune(f"{changed} {change} --storage s.journal")
    assert done.code == 2
    assert said in done.err
    assert done.err.count("\n") == 1
    assert Path("s.journal").read_bytes() == before
