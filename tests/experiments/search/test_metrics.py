"""What decides, and what comes of a trial of several seeds."""

from __future__ import annotations

from typing import Any

import pytest

from ngbench.errors import ParameterError, UnknownNameError
from ngbench.experiments.search.metrics import SearchMetric, parse_metric, trial_outcome
from ngbench.records.record import DataRecord, History, OptimizerRecord, RunRecord, StepsRecord
from tests.blank_run import blank_run


def run(*losses: float | None, seed: int = 0, status: Any = "done", message: str | None = None) -> RunRecord:
    epochs = list(range(1, len(losses) + 1))
    history = History(
        epoch=epochs,
        step=[10 * epoch for epoch in epochs],
        train_loss=list(losses),
        validation_loss=[None if loss is None else loss + 1 for loss in losses],
        elapsed_seconds=[2.0 * epoch for epoch in epochs],
        metrics={"accuracy": [None if loss is None else 1 / loss for loss in losses]},
    )
    count = 10 * len(losses)
    return blank_run(
        label="a",
        task="toy",
        data=DataRecord(
            name="D", origin="generated", description="", digest="00", train_examples=1, validation_examples=1
        ),
        optimizer=OptimizerRecord(name="sgd", hyperparameters={}),
        seed=seed,
        device="cpu",
        dtype="float32",
        batch_size=1,
        status=status,
        message=message,
        history=history,
        steps=StepsRecord(seconds=[0.1] * count, kind=["plain"] * count),
    )


@pytest.mark.parametrize(
    ("text", "value", "direction"),
    [
        ("training_loss", 4.0, "minimize"),
        ("best_training_loss", 2.0, "minimize"),
        ("validation_loss", 5.0, "minimize"),
        ("best_validation_loss", 3.0, "minimize"),
        ("seconds_to_target", 4.0, "minimize"),
        ("epochs_to_target", 2.0, "minimize"),
        ("metric.accuracy", 0.25, "maximize"),
        ("metric.accuracy:min", 0.25, "minimize"),
    ],
)
def test_each_metric(text: str, value: float, direction: str) -> None:
    metric = parse_metric(text, ["accuracy"], 2.5)
    assert metric.direction == direction
    outcome = trial_outcome([run(8.0, 2.0, 4.0)], metric)
    assert (outcome.name, outcome.value, outcome.seconds, outcome.steps) == ("done", value, 6.0, 30)


def test_the_value_is_the_mean_over_seeds_and_the_cost_their_sum() -> None:
    outcome = trial_outcome([run(1.0), run(2.0, 4.0, seed=1)], SearchMetric("training_loss", "minimize"))
    assert (outcome.value, outcome.seconds, outcome.steps) == (2.5, 6.0, 30)


@pytest.mark.parametrize("status", ["diverged", "failed", "out_of_memory", "killed"])
def test_one_seed_that_fails_makes_the_trial_fail(status: str) -> None:
    runs = [run(1.0), run(2.0, None, seed=1, status=status, message="the loss became nan")]
    outcome = trial_outcome(runs, SearchMetric("training_loss", "minimize"))
    assert (outcome.name, outcome.value, outcome.message) == (status, None, "seed 1: the loss became nan")


def test_a_target_that_is_not_reached_is_an_outcome_of_its_own() -> None:
    outcome = trial_outcome([run(3.0, 2.0)], SearchMetric("seconds_to_target", "minimize", 1.0))
    assert (outcome.name, outcome.value) == ("target_not_reached", None)
    assert outcome.message == "the training loss did not reach 1"


def test_a_metric_that_does_not_exist_for_the_run() -> None:
    assert trial_outcome([run(3.0, None)], SearchMetric("metric.accuracy", "maximize")).name == "no_value"


def test_the_end_of_the_time_is_no_failure() -> None:
    assert trial_outcome([run(3.0, status="timeout")], SearchMetric("training_loss", "minimize")).value == 3.0


@pytest.mark.parametrize(
    ("text", "target", "error", "said"),
    [
        ("training_los", None, UnknownNameError, "unknown quantity 'training_los'; did you mean 'training_loss'"),
        ("metric.accuracy:up", None, ParameterError, "what follows the colon must be min or max"),
        ("best_training_loss:max", None, ParameterError, "best_training_loss is better when it is lower"),
        ("seconds_to_target", None, ParameterError, "needs `target_loss`"),
    ],
)
def test_what_is_refused(text: str, target: float | None, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        parse_metric(text, ["accuracy"], target)


def test_an_old_name_is_refused_with_the_one_of_today() -> None:
    with pytest.raises(ParameterError, match="the quantity 'best_loss' is called 'best_training_loss'"):
        parse_metric("best_loss", [], None)
