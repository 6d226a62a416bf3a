from __future__ import annotations

import doctest

import numpy as np
import pytest
from scipy import stats

from ngbench.records import statistics
from ngbench.records.record import DataRecord, History, OptimizerRecord, StepsRecord
from tests.blank_run import blank_run


def run_with(seconds=(), epochs=(), *, seed=0, status="done", kind=None, losses=(), elapsed=(), validation=None):
    numbers = list(range(1, len(losses or epochs) + 1))
    return blank_run(
        label="arm",
        task="task",
        data=DataRecord(
            name="D", origin="original", description="", digest="", train_examples=1, validation_examples=1
        ),
        optimizer=OptimizerRecord(name="sgd", hyperparameters={}),
        seed=seed,
        device="cpu",
        dtype="float32",
        batch_size=1,
        status=status,
        history=History(
            epoch=numbers,
            step=list(epochs),
            train_loss=list(losses),
            validation_loss=list(losses if validation is None else validation),
            elapsed_seconds=list(elapsed),
        ),
        steps=StepsRecord(seconds=list(seconds), kind=list(kind or ["plain"] * len(seconds))),
    )


def test_the_worked_examples_of_the_docstrings_hold():
    assert doctest.testmod(statistics).failed == 0


@pytest.mark.parametrize("confidence", [0.95, 0.5])
def test_mean_interval_is_student_t(confidence):
    values = [0.11, 0.12, 0.15, 0.10]
    low, high = stats.t.interval(confidence, 3, loc=np.mean(values), scale=stats.sem(values))
    estimate = statistics.mean_interval(values, confidence)
    assert (estimate.low, estimate.high) == pytest.approx((low, high), rel=1e-12)


def test_no_value_has_no_mean():
    assert statistics.mean_interval([]) is None


def test_target_is_reached_at_the_first_epoch_at_or_under_it():
    run = run_with(losses=[0.3, None, 0.2, 0.25, 0.1], elapsed=[1, 2, 3.5, 4, 5])
    assert statistics.epochs_to_target(run, 0.2) == 3
    assert statistics.seconds_to_target(run, 0.2) == 3.5
    assert statistics.epochs_to_target(run, 0.05) is None
    assert statistics.seconds_to_target(run, 0.05) is None


def test_a_target_can_be_of_the_validation_loss():
    run = run_with(losses=[0.1, 0.1, 0.1], validation=[0.5, 0.3, 0.2], elapsed=[1, 2, 3])
    assert statistics.epochs_to_target(run, 0.3) == 1
    asked = run.model_copy(update={"conditions": {"target_on": "validation"}})
    assert statistics.epochs_to_target(asked, 0.3) == 2
    assert statistics.seconds_to_target(asked, 0.3) == 2
    assert statistics.epochs_to_target(asked, 0.15) is None


def test_losses_of_a_finished_run():
    run = run_with(losses=[0.3, 0.1, 0.2], validation=[0.4, 0.5, 0.6])
    assert statistics.final_loss(run) == 0.2
    assert statistics.best_loss(run) == 0.1
    assert statistics.final_loss(run, "validation") == 0.6
    assert statistics.best_loss(run, "validation") == 0.4


@pytest.mark.parametrize("status", ["diverged", "failed", "out_of_memory", "killed"])
def test_a_failed_run_has_no_losses(status):
    run = run_with(losses=[0.3, 0.1], status=status)
    assert statistics.final_loss(run) is None
    assert statistics.best_loss(run) is None


def test_a_run_without_epochs_has_neither_losses_nor_epoch_time():
    run = run_with()
    assert statistics.final_loss(run) is None
    assert statistics.best_loss(run) is None
    assert statistics.seconds_per_epoch(run) is None


def test_seconds_per_epoch_is_the_mean_over_finished_epochs():
    assert statistics.seconds_per_epoch(run_with(losses=[1, 1, 1], elapsed=[1, 4, 6])) == 2
