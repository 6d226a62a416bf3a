from __future__ import annotations

import pytest

from ngbench.errors import NotComparableError, UnknownNameError
from ngbench.records.metric_changes import recorded_target
from ngbench.report.summary import OTHER, arms_of, phase_order, shared_seconds, summarise


def by_label(document, **options):
    return {arm.label: arm for arm in summarise(document, **options)}


def test_arms_keep_the_order_of_the_document(make_document, make_run):
    document = make_document(make_run("b"), make_run("a"), make_run("b", seed=1))
    assert {label: [run.seed for run in runs] for label, runs in arms_of(document).items()} == {"b": [0, 1], "a": [0]}


def test_losses_leave_diverged_seeds_out_and_times_keep_them(comparison):
    kfac = by_label(comparison)["kfac"]
    survivor, diverged = kfac.runs
    assert (kfac.final.value, kfac.final.n) == (survivor.history.train_loss[-1], 1)
    assert kfac.validation.value == survivor.history.validation_loss[-1]
    assert kfac.step.n == len(survivor.history.epoch) + len(diverged.history.epoch)
    assert kfac.endings == {"done": 1, "diverged": 1}


def test_an_arm_of_which_all_seeds_diverged_has_no_loss(make_document, make_run):
    arm = by_label(make_document(make_run(), make_run("bad", diverge_at=2)))["bad"]
    assert arm.final is None
    assert arm.best is None
    assert arm.validation is None
    assert arm.step is not None


def test_the_first_arm_is_the_reference_unless_another_is_named(comparison):
    arms = by_label(comparison)
    assert arms["sgd"].is_reference
    assert arms["sgd"].ratio is None
    named = by_label(comparison, reference="kfac")
    assert named["kfac"].is_reference
    assert named["sgd"].ratio.value == pytest.approx(1 / arms["kfac"].ratio.value, rel=0.01)


def test_ratio_agrees_with_the_steps_that_it_divides(make_document, make_run):
    arms = by_label(make_document(make_run("sgd"), make_run("kfac", refresh_every=10)))
    assert arms["kfac"].ratio.value == pytest.approx(arms["kfac"].step.value / arms["sgd"].step.value, rel=0.01)
    assert 0 < arms["kfac"].ratio.error < 0.1


def test_an_unknown_reference_is_named(comparison):
    with pytest.raises(UnknownNameError, match="unknown reference arm 'kfak'; did you mean 'kfac'"):
        summarise(comparison, reference="kfak")


def test_runs_of_different_tasks_are_not_comparable(make_document, make_run):
    other = make_run("adam").model_copy(update={"task": "mnist-autoencoder"})
    with pytest.raises(NotComparableError, match="curves-autoencoder, mnist-autoencoder"):
        summarise(make_document(make_run(), other))


def test_target_is_the_recorded_one_unless_another_is_asked_for(make_document, make_run):
    document = make_document(make_run(target_loss=0.2), make_run(seed=1, target_loss=0.2))
    assert recorded_target(document.runs) == 0.2
    arm = summarise(document)[0]
    assert arm.reached == 2
    assert summarise(document, target_loss=0.01)[0].epochs_to_target is None
    assert recorded_target([make_run(target_loss=0.2), make_run(seed=1)]) is None


def test_a_seed_that_does_not_reach_the_target_counts_as_never(make_document, make_run):
    runs = [make_run(seed=seed, epochs=4).model_copy(deep=True) for seed in range(4)]
    reached_in = [2, 4, 3, None]
    for run, epoch in zip(runs, reached_in, strict=True):
        run.history.train_loss = [0.1 if at == epoch else 1.0 for at in run.history.epoch]

    def needed(chosen):
        (arm,) = summarise(make_document(*chosen), target_loss=0.1)
        return arm.epochs_to_target and arm.epochs_to_target.value, arm.reached

    assert needed(runs[:3]) == (3, 3)
    assert needed(runs) == (3.5, 3)
    assert needed(runs[2:]) == (None, 1)


def test_shared_seconds_is_the_shortest_training_time_of_a_sound_run(make_document, make_run):
    short, long, diverged = make_run(epochs=2), make_run("adam"), make_run("bad", diverge_at=1)
    assert shared_seconds(make_document(short, long, diverged)) == short.history.elapsed_seconds[-1]
    assert shared_seconds(make_document(long, make_run("idle", epochs=0))) is None


def test_memory_is_the_largest_over_seeds(make_document, make_run):
    first, second = make_run(), make_run(seed=1)
    second.memory.peak_bytes, second.memory.baseline_bytes = 600 * 2**20, 550 * 2**20
    arm = summarise(make_document(first, second))[0]
    assert arm.peak_bytes == 600 * 2**20
    assert arm.added_bytes == 112 * 2**20


def test_phases_account_for_the_whole_step(comparison):
    for arm in summarise(comparison):
        assert sum(phase.share for phase in arm.phases) == pytest.approx(1)
        assert sum(phase.seconds_per_step for phase in arm.phases) == pytest.approx(arm.step.value)
        assert arm.phases[-1].name == OTHER


def test_a_phase_costs_per_call_and_amortised_over_steps(make_document, make_run):
    run = make_run("kfac", refresh_every=10)
    phases = {phase.name: phase for phase in summarise(make_document(run))[0].phases}
    refresh = run.phases["refresh"]
    assert phases["refresh"].calls == refresh.calls == 63
    assert phases["refresh"].seconds_per_call == pytest.approx(refresh.seconds_total / 63)
    assert phases["refresh"].seconds_per_step == pytest.approx(refresh.seconds_total / 630)
    assert phases["refresh"].flops == refresh.flops


def test_operations_of_a_phase_are_averaged_over_calls(make_document, make_run):
    first, second = make_run(), make_run(seed=1)
    first.phases["forward"].flops, first.phases["forward"].calls = 10, 30
    second.phases["forward"].flops, second.phases["forward"].calls = 20, 10
    phases = {phase.name: phase for phase in summarise(make_document(first, second))[0].phases}
    assert phases["forward"].flops == 12.5


def test_phases_come_in_the_order_of_a_step_and_foreign_ones_after_them():
    assert phase_order(["zeta", "update", "forward", "alpha"]) == ["forward", "update", "alpha", "zeta"]


def test_a_run_without_steps_or_phases_has_no_cost(make_document, make_run):
    arm = summarise(make_document(make_run(epochs=0)))[0]
    assert arm.step is None
    assert arm.phases == []
    assert arm.seconds_per_epoch is None
    assert summarise(make_document()) == []
