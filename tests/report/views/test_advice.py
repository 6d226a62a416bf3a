from __future__ import annotations

import pytest

from ngbench.records.experiments import BudgetRecord
from ngbench.records.record import RestartRecord
from ngbench.report.views.advice import find_warnings
from ngbench.report.views.conditions import describe_conditions
from ngbench.spelling import as_options


def test_nothing_to_warn_about_says_nothing(make_document, make_run):
    runs = [make_run(label, seed=seed, refresh_every=10) for label in ("sgd", "kfac") for seed in (0, 1)]
    assert find_warnings(make_document(*runs)) == []


def test_a_process_that_computes_something_else_is_told(make_document, make_run):
    same, other = make_run("sgd"), make_run("kfac", refresh_every=10)
    for run, loss in ((same, same.history.train_loss[-1]), (other, 7.0)):
        run.restarts = [RestartRecord(steps=run.steps, phases=run.phases, train_loss=loss)]
    found = [warning for warning in find_warnings(make_document(same, other)) if "process" in warning]
    assert len(found) == 1
    assert found[0].startswith("The training loss of kfac is another one in another process")


def test_a_stand_in_is_named(make_document, make_run):
    (warning,) = find_warnings(make_document(make_run(origin="stand-in")))
    assert warning.startswith("The data are a stand-in for CURVES")
    assert "`data_dir`" in warning


def test_a_diverged_seed_is_named_with_its_reason(comparison):
    (warning,) = find_warnings(comparison)
    assert warning.startswith("kfac diverged with seed 1 (1 of 2): the training loss is not finite. Try")
    assert warning.endswith("leave them out.")


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("out_of_memory", "`batch_size`"),
        ("killed", "`resume`"),
        ("timeout", "`time_limit`"),
        ("interrupted", "`resume`"),
        ("running", "`resume`"),
        ("failed", "failed with seed 0"),
    ],
)
def test_every_ending_says_what_to_do_next(make_document, make_run, status, said):
    run = make_run().model_copy(update={"status": status, "budget": BudgetRecord(epochs=20, time_limit_seconds=9)})
    (warning,) = find_warnings(make_document(run))
    assert said in warning


def test_a_run_is_not_told_to_take_more_time_than_it_was_given_alone(make_document, make_run):
    run = make_run().model_copy(update={"status": "timeout", "budget": BudgetRecord(time_limit_seconds=9)})
    assert find_warnings(make_document(run)) == []


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("device", "cuda:0", "differ in device (cpu, cuda:0)"),
        ("dtype", "float64", "differ in dtype"),
        ("threads", 8, "differ in threads (2, 8)"),
        ("batch_size", 64, "differ in batch size (64, 256)"),
        ("seed", 5, "different seeds"),
    ],
)
def test_unequal_conditions_are_named(make_document, make_run, field, value, said):
    other = make_run("adam").model_copy(update={field: value})
    assert any(said in warning for warning in find_warnings(make_document(make_run(), other)))


def test_different_data_and_environments_are_named(make_document, make_run):
    here = make_document(make_run()).environment
    other = make_run("adam").model_copy(update={"environment": here.model_copy(update={"cores": 64})}, deep=True)
    other.data.digest = "cd" * 32
    found = " ".join(find_warnings(make_document(make_run(), other)))
    assert "different data" in found
    assert "different environments" in found


def test_another_command_or_host_is_no_other_environment(make_document, make_run):
    document = make_document(make_run())
    called = document.environment.model_copy(update={"command": "ngbench train", "called_from": "shell", "host": "b"})
    document.runs.append(make_run("adam").model_copy(update={"environment": called}))
    assert "different environments" not in " ".join(find_warnings(document))


def test_one_seed_per_arm_is_said(make_document, make_run):
    (warning,) = find_warnings(make_document(make_run(), make_run("adam")))
    assert "`seeds=3`" in warning


def test_too_few_rounds_for_an_interval_are_said(make_document, make_run):
    run = make_run(epochs=1)
    run.steps.seconds, run.steps.kind, run.history.step = [0.1], ["plain"], [1]
    (warning,) = find_warnings(make_document(run))
    assert warning == "Too few rounds for an interval: sgd. Run more epochs (`epochs`)."


def test_an_uncertain_ratio_is_said(make_document, make_run):
    run = make_run("adam")
    run.steps.seconds = [seconds * (1 + 9 * (at >= 315)) for at, seconds in enumerate(run.steps.seconds)]
    assert any("uncertain by more than 20 %: adam" in w for w in find_warnings(make_document(make_run(), run)))


def test_few_refreshes_are_said(make_document, make_run):
    (_, warning) = find_warnings(make_document(make_run("kfac", refresh_every=1000)))
    assert warning.startswith("Refresh steps in one round alone, so their time has no interval: kfac.")


@pytest.mark.parametrize(("names", "more"), [(("1.weight", "1.bias"), ""), (tuple(map(str, range(9))), " and 3 more")])
def test_parameters_without_curvature_are_named(make_document, make_run, names, more):
    diagnostics = {f"without_curvature/{name}": [[1, 1.0]] for name in names}
    runs = [
        make_run("kfac", seed=seed, refresh_every=10).model_copy(update={"diagnostics": diagnostics}) for seed in (0, 1)
    ]
    (warning,) = find_warnings(make_document(*runs))
    assert warning.startswith(
        f"Parameters of kfac went without curvature, along their plain gradient: {names[0]}, {names[1]}"
    )
    assert more in warning


def test_a_busy_machine_is_said(make_document, make_run):
    run = make_run()
    run.steps.interrupted = list(range(400))
    (warning,) = find_warnings(make_document(run))
    assert warning.startswith("sgd was measured on a busy machine: 400 of 630 steps were interrupted")


def arm_of(make_run, label, **origins):
    run = make_run(label).model_copy(deep=True)
    run.optimizer.origins = origins
    return run


@pytest.mark.parametrize(
    ("origins", "said"),
    [
        (("published", "published"), None),
        (("searched", "searched"), None),
        (("given", "given"), None),
        (("default", "default"), "All arms run on their optimizers' defaults"),
        (("published", "default"), "sgd on published ones and adam on defaults"),
        (("searched", "given"), "sgd on searched ones and adam on given ones"),
    ],
)
def test_values_of_different_origin_are_named_with_the_search_that_makes_them_equal(
    make_document, make_run, origins, said
):
    runs = [
        arm_of(make_run, label, lr=origin, momentum="default")
        for label, origin in zip(("sgd", "adam"), origins, strict=True)
    ]
    document = make_document(*runs)
    with as_options():
        found = [warning for warning in find_warnings(document) if "ngbench tune" in warning]
        environment = document.environment.model_copy(update={"called_from": "Python"})
        called = document.model_copy(update={"environment": environment})
        assert not any("ngbench tune" in warning for warning in find_warnings(called))
    in_python = [warning for warning in find_warnings(document) if "ngbench.tune" in warning]
    assert bool(found) is bool(in_python)
    assert bool(found) is (said is not None)
    if said is not None:
        assert said in found[0]
        command = "ngbench tune curves-autoencoder -o sgd,adam --search lr=1e-4..1:log --trials 8"
        assert found[0].endswith(f"Search all equally: {command}")


def test_arms_with_schedules_of_their_own_are_named(make_document, make_run):
    runs = [make_run(label).model_copy(deep=True) for label in ("sgd", "adam")]
    for run in runs:
        run.conditions = {"schedule": "cosine", "warmup": "5epochs"}
    assert not [one for one in find_warnings(make_document(*runs)) if "differ in" in one]
    runs[1].optimizer.hyperparameters = {**runs[1].optimizer.hyperparameters, "schedule": "power:0.5"}
    (said,) = [one for one in find_warnings(make_document(*runs)) if "differ in" in one]
    assert said.startswith("The arms differ in schedule (sgd cosine and adam power:0.5), so what tells them apart")
    assert "schedule cosine · warmup 5epochs" in describe_conditions(make_document(*runs))


@pytest.mark.parametrize(("every", "warned"), [(10, False), (200, True)])
def test_a_curvature_that_was_seldom_estimated_is_said_so(make_document, make_run, every, warned):
    found = [one for one in find_warnings(make_document(make_run("kfac", refresh_every=every))) if "refreshed" in one]
    assert found == (["kfac refreshed its curvature in 4 of 630 steps. " + HINT] if warned else [])


HINT = "Run more epochs (`epochs`), or set a smaller curvature_interval and inverse_interval."
