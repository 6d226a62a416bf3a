from __future__ import annotations

import doctest

import pytest

from ngbench.errors import UnknownNameError
from ngbench.records import quantities
from ngbench.records.quantities import QUANTITIES, ArmRun, Point, interpolate, quantity_of
from tests.blank_run import blank_run


def _run(**fields):
    content = {
        "label": "KFAC",
        "optimizer": {"name": "kfac", "hyperparameters": {}},
        "batch_size": 4,
        "status": "done",
        "history": {
            "epoch": [1, 2],
            "step": [4, 8],
            "train_loss": [0.5, 0.25],
            "validation_loss": [0.6, None],
            "elapsed_seconds": [2.0, 5.0],
            "metrics": {"accuracy": [0.1, 0.2]},
            "training_metrics": {"accuracy": [0.3, None]},
        },
        "steps": {"seconds": [0.5] * 4 + [0.75] * 4, "kind": ["refresh", "plain"] * 4},
    }
    return ArmRun(blank_run(**{**content, **fields}))


def test_curves_of_the_history_know_step_epoch_and_time():
    assert quantity_of("training_loss").points(_run()) == [Point(4, 1, 2.0, 0.5), Point(8, 2, 5.0, 0.25)]
    assert [point.value for point in quantity_of("validation_loss").points(_run())] == [0.6, None]
    assert [point.value for point in quantity_of("metric.accuracy").points(_run())] == [0.1, 0.2]
    assert [point.value for point in quantity_of("elapsed_seconds").points(_run())] == [2.0, 5.0]
    assert quantity_of("training_metric.accuracy").points(_run()) == [Point(4, 1, 2.0, 0.3), Point(8, 2, 5.0, None)]
    assert quantity_of("metric.f1").points(_run()) == quantity_of("training_metric.f1").points(_run()) == []


def test_diagnostics_are_placed_within_epochs():
    points = quantity_of("energy_gap").points(_run(diagnostics={"energy_gap": [[2, -1.0], [6, -2.0], [8, None]]}))
    assert points == [Point(2, 0.5, 1.0, -1.0), Point(6, 1.5, 3.5, -2.0)]


def test_iterations_add_up_within_layers_and_are_averaged_over_them():
    diagnostics = {
        "iterations/0/term_1": [[1, 6]],
        "iterations/0/term_2": [[1, 8]],
        "iterations/2/term_1": [[1, 4]],
        "iterations/2/term_2": [[1, 2]],
    }
    (point,) = quantity_of("iterations").points(_run(diagnostics=diagnostics))
    assert point.value == 10.0


def test_the_score_of_a_gan_is_found_whatever_its_network_is_called():
    fid = {
        "metric": "classifier_fid",
        "network": "n",
        "digest": "",
        "features": 8,
        "every": 1,
        "samples": 2,
        "real_samples": 2,
    }
    adversarial = {"players": {}, "critic_steps": 5, "penalty": 10, "fid": fid}
    history = {
        "epoch": [1],
        "step": [4],
        "train_loss": [0.5],
        "validation_loss": [None],
        "elapsed_seconds": [1.0],
        "metrics": {"classifier_fid": [30.0], "critic_loss": [-2.0]},
    }
    run = _run(adversarial=adversarial, history=history)
    assert [point.value for point in quantity_of("fid").points(run)] == [30.0]
    assert [point.value for point in quantity_of("critic_loss").points(run)] == [-2.0]


def test_fisher_errors_are_those_of_the_approximation():
    errors = {
        "layer": 5,
        "layer_name": None,
        "fisher": "sampled",
        "steps": [1, 11],
        "approximations": {
            "KFAC": {"error_1": [0.4, 0.5], "error_2": [0.1, None]},
            "KPSVD": {"error_1": [0.2, 0.3], "error_2": [0.1, 0.1]},
        },
    }
    record = _run(fisher_errors=[errors], step_losses=[3.0, 2.0, 1.0]).record
    assert quantity_of("error_1").points(ArmRun(record, "KPSVD")) == [
        Point(1, None, None, 0.2),
        Point(11, None, None, 0.3),
    ]
    assert [point.value for point in quantity_of("error_2").points(ArmRun(record, "KFAC"))] == [0.1, None]
    assert [point.step for point in quantity_of("training_loss").points(ArmRun(record, "KFAC"))] == [1, 2, 3]
    assert quantity_of("error_1").points(ArmRun(record, "Lanczos")) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("step_time", 0.625),
        ("step_time.plain", 0.625),
        ("seconds_per_epoch", 2.5),
        ("epochs_to_target", 2),
        ("seconds_to_target", 5.0),
        ("phase.refresh.seconds", 0.5),
        ("phase.refresh.flops", 300),
        ("phase.refresh.calls", 4),
        ("phase.update.seconds", None),
        ("phase.update.flops", None),
        ("peak_memory", 1000),
        ("optimizer_state", None),
        ("diverged", 0.0),
    ],
)
def test_numbers_of_a_run(name, expected):
    phases = {"refresh": {"seconds_total": 2.0, "calls": 4, "flops": 300}}
    assert quantity_of(name).value(_run(target_loss=0.3, phases=phases, memory={"peak_bytes": 1000})) == expected


def test_predicted_operations_are_those_that_the_layers_declare():
    predicted = {"refresh": {"order": "2ℓd³", "operations": 35.0}}
    layers = [{"name": name, "d_in": 3, "d_out": 2, "predicted": predicted} for name in "01"]
    assert quantity_of("phase.refresh.predicted").value(_run(layers=layers)) == 2 * 35
    assert quantity_of("phase.forward.predicted").value(_run(layers=layers)) is None


def test_no_target_no_time_to_it():
    assert quantity_of("seconds_to_target").value(_run()) is None


# Losses 8, 6, 1 after 2, 4 and 9 s.
@pytest.mark.parametrize(
    ("seconds", "expected"), [(2.0, 8.0), (2.5, 7.5), (4.0, 6.0), (6.5, 3.5), (9.0, 1.0), (1.99, None), (9.01, None)]
)
def test_equal_time_is_linear_between_points(seconds, expected):
    points = [Point(1, 1, 2.0, 8.0), Point(2, 2, 4.0, 6.0), Point(3, 3, 9.0, 1.0)]
    assert interpolate(points, seconds) == (None if expected is None else pytest.approx(expected))


def test_there_is_no_value_next_to_one_that_is_no_number():
    points = [Point(1, 1, 2.0, 8.0), Point(2, 2, 4.0, None)]
    assert interpolate(points, 3.0) is None
    assert interpolate(points, 2.0) == 8.0


@pytest.mark.parametrize(
    ("name", "measure"),
    [
        ("error_1", "compare"),
        ("fid", "compare"),
        ("phase.refresh", "compare"),
        ("phase.refresh.watts", "compare"),
        ("metric.", "compare"),
        ("training_metric", "compare"),
        ("training_metrics.accuracy", "compare"),
        ("step_time", "fisher-error"),
        ("metric.accuracy", "gan"),
        ("training_metric.accuracy", "fisher-error"),
    ],
)
def test_unknown_quantities_are_refused_with_those_there_are(name, measure):
    with pytest.raises(UnknownNameError, match=r"known: \w+.*"):
        quantity_of(name, measure)


def test_what_a_quantity_is():
    assert quantity_of("metric.accuracy", "compare").higher_is_better
    training = quantity_of("training_metric.accuracy", "compare")
    assert (training.is_curve, training.higher_is_better, training.metric) == (True, True, "accuracy")
    assert not quantity_of("training_loss", "gan").higher_is_better
    assert [quantity_of(f"phase.a/b.{what}", "gan").exact for what in ("flops", "seconds")] == [True, False]
    assert quantity_of("error_1", "fisher-error").is_curve
    assert not quantity_of("step_time", "compare").is_curve


def test_the_worked_examples_of_the_docstrings_hold():
    assert doctest.testmod(quantities).failed == 0


@pytest.mark.parametrize("quantity", QUANTITIES.values(), ids=str)
def test_each_quantity_is_asked_for_by_its_name_and_by_nobody_else(quantity):
    name = quantity.form.replace("NAME", "x")
    assert str(quantity_of(name)) == name
    for asker in ("compare", "gan", "fisher-error", "check", "tune"):
        if asker in quantity.asked:
            assert quantity_of(name, asker) == quantity_of(name)
        else:
            with pytest.raises(UnknownNameError, match="unknown quantity"):
                quantity_of(name, asker)


def test_the_value_of_a_curve_is_its_last():
    run = _run(status="done")
    for name in ("training_loss", "validation_loss", "metric.accuracy", "training_metric.accuracy", "elapsed_seconds"):
        assert quantity_of(name).value(run) == quantity_of(name).points(run)[-1].value
    assert quantity_of("best_training_loss").value(_run(status="done")) == 0.25
    assert quantity_of("best_validation_loss").value(_run(status="done")) == 0.6
    assert quantity_of("training_loss").value(_run(status="diverged")) is None


@pytest.mark.parametrize("command", ["check", "tune"])
def test_help_lists_the_names_that_the_command_takes(command, capsys):
    from ngbench import cli

    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("COLUMNS", "4000")
        assert cli.main([command, "--help"]) == 0
    said = capsys.readouterr().out
    names = [one.form for one in QUANTITIES.values() if command in one.asked]
    assert len(names) > 5
    assert all(name in said for name in names)
