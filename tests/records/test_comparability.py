from __future__ import annotations

import pytest
from gate_documents import build_document, build_run

from ngbench.errors import UnknownNameError
from ngbench.records.comparability import machine_of, match_arms
from ngbench.records.record import OptimizerRecord


def problems(baseline, current, **options):
    return [str(problem) for problem in match_arms(baseline, current, **options)[1]]


def one_problem(run):
    (found,) = problems(build_document(build_run("kfac")), build_document(run))
    return found


def test_equal_runs_are_comparable():
    pairs, found, notes = match_arms(build_document(build_run("kfac")), build_document(build_run("kfac", mood=1)))
    assert [pair.label for pair in pairs] == ["kfac"]
    assert (found, notes) == ([], [])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"task": "mnist-autoencoder"},
            'kfac: task is "curves-autoencoder" in the baseline and "mnist-autoencoder" now',
        ),
        ({"task_options": {"examples": 10}}, "task_options.examples is absent in the baseline and 10 now"),
        ({"batch_size": 32}, "batch_size is 16 in the baseline and 32 now"),
        ({"dtype": "float64"}, 'dtype is "float32" in the baseline and "float64" now'),
        ({"device": "cuda:0"}, 'device is "cpu" in the baseline and "cuda" now'),
        ({"threads": 4}, "threads is 2 in the baseline and 4 now"),
        ({"budget": {"epochs": 3}}, "budget.epochs is 12 in the baseline and 3 now"),
        ({"target_loss": 0.1}, "target_loss is null in the baseline and 0.1 now"),
        (
            {"optimizer": OptimizerRecord(name="kfac", hyperparameters={"lr": 0.2})},
            "optimizer.hyperparameters.lr is 0.1 in the baseline and 0.2 now",
        ),
        (
            {"optimizer": OptimizerRecord(name="kfac", hyperparameters={"lr": 0.1, "pi": True})},
            "optimizer.hyperparameters.pi is absent in the baseline and true now",
        ),
        ({"status": "running"}, "the current run with seed 0 is not finished (running)"),
        ({"status": "interrupted"}, "the current run with seed 0 is not finished (interrupted)"),
    ],
)
def test_what_differs_is_named(changes, message):
    assert message in one_problem(build_run("kfac", **changes))


def test_other_data_are_named():
    run = build_run("kfac")
    assert 'data.digest is "ab" in the baseline and "cd" now' in one_problem(
        run.model_copy(update={"data": run.data.model_copy(update={"digest": "cd"})})
    )


def test_another_task_is_the_only_thing_said_of_it():
    assert "batch_size" not in one_problem(build_run("kfac", task="other", batch_size=32))


def test_the_number_of_a_cuda_device_does_not_matter():
    documents = [build_document(build_run("kfac", device=f"cuda:{at}")) for at in (0, 1)]
    assert problems(*documents) == []


def test_tuples_and_lists_are_the_same():
    runs = [
        build_run("adam", optimizer=OptimizerRecord(name="adam", hyperparameters={"betas": betas}))
        for betas in ((0.9, 0.999), [0.9, 0.999])
    ]
    assert problems(*map(build_document, runs)) == []


def test_a_vanished_arm_is_a_problem_and_a_new_one_a_remark():
    before, now = (
        build_document(build_run("sgd"), build_run("kfac")),
        build_document(build_run("sgd"), build_run("adam")),
    )
    pairs, found, notes = match_arms(before, now)
    assert [pair.label for pair in pairs] == ["sgd"]
    assert [str(problem) for problem in found] == ["kfac: the arm has vanished, the baseline has it"]
    assert notes == ["adam is new: the baseline does not have it, so nothing says whether it got worse."]


def test_a_vanished_seed_is_a_problem_and_a_new_one_is_left_out():
    one, two = build_document(build_run("kfac")), build_document(build_run("kfac"), build_run("kfac", seed=1))
    assert problems(two, one) == ["kfac: seed 1 vanished, the baseline has it"]
    pairs, found, notes = match_arms(one, two)
    assert (len(pairs[0].current), found) == (1, [])
    assert notes == ["kfac: seed 1 left out, the baseline does not have it."]


def test_arms_that_are_not_asked_for_are_not_looked_at():
    before = build_document(build_run("sgd"), build_run("kfac"))
    now = build_document(build_run("sgd"), build_run("adam", batch_size=1))
    pairs, found, notes = match_arms(before, now, labels=["sgd"])
    assert ([pair.label for pair in pairs], found, notes) == (["sgd"], [], [])


def test_the_reference_is_the_baselines_first_arm_or_the_one_named():
    before = build_document(build_run("sgd"), build_run("adam"), build_run("kfac"))
    now = build_document(build_run("kfac"), build_run("sgd"), build_run("adam"))
    pairs, _, _ = match_arms(before, now)
    assert [pair.is_reference for pair in pairs] == [True, False, False]
    assert pairs[2].reference[1][0].label == "sgd"
    pairs, _, _ = match_arms(before, now, reference="adam", labels=["kfac"])
    assert pairs[0].reference[0][0].label == "adam"


def test_a_reference_that_changed_gives_no_unit():
    before, now = (
        build_document(build_run("sgd"), build_run("kfac")),
        build_document(build_run("sgd", batch_size=32), build_run("kfac")),
    )
    pairs, _, _ = match_arms(before, now)
    assert [(pair.label, pair.reference, pair.is_reference) for pair in pairs] == [("kfac", None, False)]


@pytest.mark.parametrize(("options", "word"), [({"labels": ["ksac"]}, "arm"), ({"reference": "ksac"}, "reference arm")])
def test_an_arm_that_is_nowhere_is_an_unknown_name(options, word):
    document = build_document(build_run("kfac"))
    with pytest.raises(UnknownNameError, match=f"unknown {word} 'ksac'; did you mean 'kfac'"):
        match_arms(document, document, **options)


def test_the_machine_is_the_processor_and_the_device_that_has_a_name():
    run = build_run("kfac", device="cuda", device_name="H100")
    assert machine_of(build_document(run, processor="Xeon"), [run]) == "H100 with Xeon"
    merged = build_run("kfac", environment=build_document().environment.model_copy(update={"processor": "EPYC"}))
    assert machine_of(build_document(merged, processor="Xeon"), [merged]) == "EPYC"
