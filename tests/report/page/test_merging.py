from __future__ import annotations

from pathlib import Path

import pytest

from ngbench.report.page.merging import Found, label_arms, without_repeats
from ngbench.report.page.record_files import Source


@pytest.fixture
def find(make_document):
    def find(run, name="runs", file="runs/a.json"):
        return Found(run, Source(Path(file), name, make_document(run)))

    return find


def labels(runs):
    return [found.run.label for found in runs]


def test_a_run_that_is_found_twice_counts_once(find, make_run):
    runs = [find(make_run()), find(make_run(seed=1)), find(make_run(), "export")]
    kept, remarks = without_repeats(runs)
    assert kept == runs[:2]
    assert remarks == ["1 run was given twice and counted once."]


@pytest.mark.parametrize("reverse", [False, True])
def test_of_two_states_of_a_run_the_later_stays(find, make_run, reverse):
    early = make_run(epochs=3).model_copy(update={"status": "interrupted"})
    late = make_run(epochs=5)
    runs = [find(early, file="early.json"), find(late, file="late.json")]
    (kept,), remarks = without_repeats(runs[::-1] if reverse else runs)
    assert kept.run == late
    assert remarks == ["An earlier state of sgd with seed 0 is left out (early.json)."]


def test_a_repetition_is_no_repeat(find, make_run):
    again = make_run()
    again.history.elapsed_seconds = [2 * seconds for seconds in again.history.elapsed_seconds]
    kept, remarks = without_repeats([find(make_run()), find(again)])
    assert (len(kept), remarks) == (2, [])


def test_seeds_of_several_files_are_one_arm(find, make_run):
    runs, remarks = label_arms([find(make_run(seed=0), "one"), find(make_run(seed=1), "two")])
    assert (labels(runs), remarks) == (["sgd", "sgd"], [])


def test_settings_that_differ_extend_the_label(find, make_run):
    other = make_run()
    other.optimizer.hyperparameters = {"lr": 0.1, "momentum": 0.9}
    runs, (remark,) = label_arms([find(make_run()), find(make_run("adam")), find(other, "two")])
    assert labels(runs) == ["sgd (lr=0.3)", "adam", "sgd (lr=0.1)"]
    assert remark == "The label sgd stands for 2 arms, shown as sgd (lr=0.3), sgd (lr=0.1)."


def test_repetitions_are_told_apart_by_where_they_are_and_keep_their_seeds_together(find, make_run):
    runs = [find(make_run(seed=seed), name) for name in ("before", "after") for seed in (0, 1)]
    labelled, _ = label_arms(runs)
    assert labels(labelled) == ["sgd (before)"] * 2 + ["sgd (after)"] * 2


def test_what_nothing_else_tells_apart_has_a_number(find, make_run):
    labelled, _ = label_arms([find(make_run()), find(make_run())])
    assert labels(labelled) == ["sgd (runs #1)", "sgd (runs #2)"]
