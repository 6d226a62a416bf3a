from __future__ import annotations

import doctest
import random

import numpy as np
import pytest
from scipy import stats

from ngbench.results import statistics
from ngbench.results.record import DataRecord, History, OptimizerRecord, RunRecord, StepsRecord


def run_with(seconds=(), epochs=(), *, seed=0, status="done", kind=None, losses=(), elapsed=(), validation=None):
    numbers = list(range(1, len(losses or epochs) + 1))
    return RunRecord(
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


def test_no_value_has_no_mean_and_no_median():
    assert statistics.mean_interval([]) is None
    assert statistics.median_interval([]) is None
    assert statistics.ratio_interval([], []) is None


@pytest.mark.parametrize("n", [6, 7, 20, 101])
def test_median_interval_takes_the_narrowest_order_statistics_that_cover(n):
    estimate = statistics.median_interval(list(range(1, n + 1)))
    k = round(estimate.low)
    assert estimate.high == n + 1 - k
    assert 1 - 2 * stats.binom.cdf(k - 1, n, 0.5) >= 0.95 > 1 - 2 * stats.binom.cdf(k, n, 0.5)


def test_median_interval_covers_the_true_median_of_a_skewed_distribution():
    generator = np.random.default_rng(0)
    estimates = [statistics.median_interval(generator.lognormal(size=25)) for _ in range(400)]
    assert np.mean([estimate.low <= 1 <= estimate.high for estimate in estimates]) > 0.92


def test_ratio_interval_covers_the_true_ratio_under_shared_drift():
    generator = np.random.default_rng(1)
    hits = 0
    for _ in range(400):
        drift = generator.uniform(1, 3, size=10)
        x = drift * generator.normal(1, 0.02, size=10)
        y = 2 * drift * generator.normal(1, 0.02, size=10)
        estimate = statistics.ratio_interval(y, x)
        hits += estimate.low <= 2 <= estimate.high
        assert estimate.error < 0.2
    assert 0.9 < hits / 400 < 0.99


def test_ratio_interval_refuses_what_cannot_be_paired():
    with pytest.raises(ValueError, match="2 numerators cannot be paired with 1"):
        statistics.ratio_interval([1, 2], [1])


def test_rounds_are_epochs_and_the_unfinished_rest():
    assert statistics.rounds(run_with([1, 2, 3, 4, 5], epochs=[2, 4])) == [[1, 2], [3, 4], [5]]
    assert statistics.rounds(run_with([])) == []


def test_rounds_are_the_turns_that_the_record_tells_of():
    run = run_with([1, 2, 3, 4, 5], epochs=[4])
    run.steps.turns = [1, 3, 4]
    assert statistics.rounds(run) == [[1], [2, 3], [4], [5]]


def test_mean_step_weighs_every_step_alike_and_counts_rounds():
    estimate = statistics.mean_step([run_with([1, 1, 4], epochs=[2, 3])])
    assert (estimate.value, estimate.n) == (2.0, 2)


def test_mean_step_of_one_round_rests_on_blocks_of_steps():
    noise = random.Random(0)
    estimate = statistics.mean_step([run_with([1 + 0.1 * noise.random() for _ in range(40)], epochs=[40])])
    assert estimate.n == 10
    assert 0 < estimate.error < 0.1


def test_mean_step_of_one_step_has_no_interval():
    estimate = statistics.mean_step([run_with([2.0], epochs=[1])])
    assert (estimate.value, estimate.error, estimate.n) == (2.0, None, 1)


def test_step_time_separates_the_kinds():
    runs = [run_with([1, 9, 1], kind=["plain", "refresh", "plain"]), run_with([3, 11], kind=["plain", "refresh"])]
    assert statistics.step_time(runs, "plain").value == 1
    assert statistics.step_time(runs, "refresh").value == 10
    assert statistics.step_time([run_with([1.0])], "refresh") is None


def test_step_ratio_pairs_rounds_so_that_drift_cancels():
    drift = [1.0, 2.0, 5.0]
    ours = run_with([3 * d for d in drift for _ in range(2)], epochs=[2, 4, 6])
    theirs = run_with([d for d in drift for _ in range(2)], epochs=[2, 4, 6])
    estimate = statistics.step_ratio([ours], [theirs])
    assert (estimate.value, estimate.n) == (pytest.approx(3), 3)
    assert estimate.error == pytest.approx(0, abs=1e-12)


def test_step_ratio_pairs_by_seed_and_not_by_order():
    ours = [run_with([2, 2], epochs=[2], seed=0), run_with([20, 20], epochs=[2], seed=1)]
    theirs = [run_with([10, 10], epochs=[2], seed=1), run_with([1, 1], epochs=[2], seed=0)]
    estimate = statistics.step_ratio(ours, theirs)
    assert (estimate.value, estimate.n) == (pytest.approx(2), 2)
    assert estimate.error == pytest.approx(0, abs=1e-12)


def test_step_ratio_leaves_out_a_round_that_one_arm_did_not_finish():
    ours = run_with([2, 2, 2, 2, 50], epochs=[2, 4])
    theirs = run_with([1, 1, 1, 1, 1, 1], epochs=[2, 4, 6])
    estimate = statistics.step_ratio([ours], [theirs])
    assert (estimate.value, estimate.n) == (pytest.approx(2), 2)


def test_step_ratio_within_one_epoch_rests_on_blocks_of_common_steps():
    estimate = statistics.step_ratio([run_with([2.0] * 30)], [run_with([1.0] * 20 + [100.0] * 40)])
    assert estimate.n == 10
    assert estimate.value == pytest.approx(60 / (20 + 1000))


def test_step_ratio_needs_a_common_seed():
    assert statistics.step_ratio([run_with([1.0, 2.0], seed=0)], [run_with([1.0, 2.0], seed=1)]) is None


def test_target_is_reached_at_the_first_epoch_at_or_under_it():
    run = run_with(losses=[0.3, None, 0.2, 0.25, 0.1], elapsed=[1, 2, 3.5, 4, 5])
    assert statistics.epochs_to_target(run, 0.2) == 3
    assert statistics.seconds_to_target(run, 0.2) == 3.5
    assert statistics.epochs_to_target(run, 0.05) is None
    assert statistics.seconds_to_target(run, 0.05) is None


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


def test_loss_at_time_is_linear_between_epochs_and_null_outside():
    run = run_with(losses=[0.4, 0.2, None, 0.1], elapsed=[1, 3, 4, 5])
    assert statistics.loss_at_time(run, 1) == 0.4
    assert statistics.loss_at_time(run, 2) == pytest.approx(0.3)
    assert statistics.loss_at_time(run, 3) == pytest.approx(0.2)
    assert statistics.loss_at_time(run, 0.5) is None
    assert statistics.loss_at_time(run, 3.5) is None
    assert statistics.loss_at_time(run, 6) is None
