from __future__ import annotations

import doctest

import pytest
from gate_documents import ROUNDS, STEPS, build_run

from ngbench.records import metric_changes
from ngbench.records.comparability import Obstacle, Pair
from ngbench.records.experiments import Verdict
from ngbench.records.metric_changes import NotApplicable, expand, measure, paired_change
from ngbench.records.quantities import quantity_of
from ngbench.records.thresholds import parse_threshold
from ngbench.records.verdict import judge


def pair(before, now, *, reference=None, is_reference=False):
    return Pair(before[0].label, before, now, reference, is_reference)


def change(metric, before, now, **options):
    return measure(quantity_of(metric, "check"), pair([before], [now]), **options)


def with_phase(run, name, **changes):
    phase = run.phases[name].model_copy(update=changes)
    return run.model_copy(update={"phases": {**run.phases, name: phase}})


def with_memory(run, **changes):
    return run.model_copy(update={"memory": run.memory.model_copy(update=changes)})


def test_the_worked_examples_of_the_docstrings_hold():
    assert doctest.testmod(metric_changes).failed == 0


@pytest.mark.parametrize("metric", ["step_time", "step_time.median", "phase.precondition.seconds"])
def test_absolute_times_are_in_seconds_and_have_an_interval(metric):
    slower = {"precondition": 1.5} if metric.startswith("phase") else dict.fromkeys(build_run().phases, 1.5)
    found = change(metric, build_run(), build_run(slower=slower))
    assert found.relative == pytest.approx(0.5)
    assert found.low < 0.5 * found.baseline < found.high
    assert found.seconds_per_unit == 1.0


@pytest.mark.parametrize("metric", ["step_time.ratio", "phase.precondition.ratio"])
def test_ratios_know_how_long_the_reference_step_is(metric):
    reference = ([build_run("sgd")], [build_run("sgd")])
    found = measure(quantity_of(metric, "check"), pair([build_run()], [build_run()], reference=reference))
    assert found.relative == 0.0
    assert found.low < 0 < found.high
    assert found.seconds_per_unit == pytest.approx(3.5e-3, rel=0.2)


def test_the_reference_arm_has_no_ratio_and_others_need_it():
    metric = quantity_of("step_time.ratio", "check")
    assert isinstance(measure(metric, pair([build_run()], [build_run()], is_reference=True)), NotApplicable)
    found = measure(metric, pair([build_run()], [build_run()]))
    assert str(found) == "step_time.ratio of kfac: the reference arm cannot be compared"


def test_one_round_gives_no_interval_and_says_what_to_do():
    found = change("step_time", build_run(rounds=1), build_run(rounds=1))
    assert (found.low, found.high) == (None, None)
    assert "run more epochs or seeds" in found.note


@pytest.mark.parametrize(("what", "value"), [("flops", 1001), ("bytes", 4001), ("calls", 7)])
def test_counts_of_phases_are_exact(what, value):
    before = build_run()
    found = change(f"phase.accumulate.{what}", before, with_phase(before, "accumulate", **{what: value}))
    difference = value - getattr(before.phases["accumulate"], what)
    assert (found.low, found.high, found.current) == (difference, difference, value)


def test_a_count_that_one_side_lacks_is_a_problem_and_one_that_both_lack_is_not():
    counted, uncounted = build_run(), with_phase(build_run(), "refresh", flops=None)
    assert str(change("phase.refresh.flops", counted, uncounted)).endswith("it was not counted this time")
    assert str(change("phase.refresh.flops", uncounted, counted)).endswith("it was not counted in the baseline")
    assert isinstance(change("phase.refresh.flops", uncounted, uncounted), NotApplicable)


def test_phases_vanish_appear_and_are_absent():
    with_it, without = build_run("kfac"), build_run("sgd")
    assert "has vanished" in change("phase.refresh.seconds", with_it, without).reason
    appeared = change("phase.refresh.seconds", without, with_it)
    assert isinstance(appeared, NotApplicable)
    assert appeared.new
    absent = change("phase.refresh.seconds", without, without)
    assert isinstance(absent, NotApplicable)
    assert not absent.new


def test_any_phase_is_each_phase_of_either_side():
    found = expand(quantity_of("phase.*.flops", "check"), pair([build_run("sgd")], [build_run("kfac")]))
    assert {metric.name for metric in found} == set(build_run("kfac").phases)
    assert {metric.form for metric in found} == {"phase.NAME.flops"}


def test_memory_is_the_largest_of_the_seeds():
    before = [with_memory(build_run(seed=seed), peak_bytes=peak) for seed, peak in enumerate((10, 30))]
    now = [with_memory(build_run(seed=seed), peak_bytes=peak) for seed, peak in enumerate((35, 20))]
    found = measure(quantity_of("peak_memory", "check"), pair(before, now))
    assert (found.baseline, found.current, found.low, found.high) == (30, 35, 5, 5)
    found = change("optimizer_state", with_memory(build_run(), optimizer_state_bytes=8), build_run())
    assert (found.baseline, found.current) == (8, 10_000)


def falling(last, best=None):
    losses = [1.0] * ROUNDS
    losses[-1] = last
    losses[3] = last if best is None else best
    return losses


@pytest.mark.parametrize(
    ("metric", "expected"), [("training_loss", 0.5), ("best_training_loss", 0.2), ("validation_loss", 0.5)]
)
def test_losses_are_those_of_the_record(metric, expected):
    found = change(metric, build_run(losses=falling(0.5, 0.2)), build_run(losses=falling(0.5, 0.2)))
    assert (found.baseline, found.current, found.low, found.high) == (expected, expected, 0, 0)


def test_losses_pair_by_seed_so_that_what_seeds_differ_by_does_not_count():
    before = [build_run(seed=seed, losses=falling(loss)) for seed, loss in enumerate((0.2, 0.5, 0.9))]
    now = [build_run(seed=seed, losses=falling(loss)) for seed, loss in enumerate((0.22, 0.52, 0.92))]
    found = measure(quantity_of("training_loss", "check"), pair(before, now))
    assert (found.low, found.high, found.n) == (pytest.approx(0.02), pytest.approx(0.02), 3)


def test_a_loss_that_is_no_number_any_more_is_not_dropped():
    diverged = build_run(status="diverged", losses=falling(None))
    found = change("training_loss", build_run(), diverged)
    assert (found.current, found.note) == (None, "no number any more with seed 0")
    assert change("training_loss", diverged, build_run()).baseline is None
    assert (
        str(change("training_loss", diverged, diverged))
        == "training_loss of kfac: it is no number in the baseline nor now"
    )


def test_a_seed_that_diverged_before_is_left_out_and_named():
    found = paired_change([(0, 1.0, 1.1), (1, None, 9.0)])
    assert (found.baseline, found.current, found.note) == (
        1.0,
        1.1,
        "left out, without a number in the baseline: seed 1; no interval: one seed; run more (`seeds`)",
    )


def test_the_loss_of_one_seed_is_judged_by_how_far_seeds_are_apart():
    threshold = parse_threshold("training_loss:2%")
    before = build_run(losses=falling(1.0))
    for loss, alone, among in (
        (1.0 + 1e-7, Verdict.SAME, Verdict.SAME),
        (1.1, Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE),
        (1.5, Verdict.INCONCLUSIVE, Verdict.WORSE),
        (0.7, Verdict.INCONCLUSIVE, Verdict.BETTER),
    ):
        now, *further = [build_run(seed=seed, losses=falling(loss + 0.1 * seed)) for seed in range(3)]
        pairs = [Pair("kfac", [before], [now]), Pair("kfac", [before], [now], further=further)]
        found = [judge(measure(threshold.metric, one), threshold) for one in pairs]
        assert found == [alone, among], loss


def test_epochs_to_the_target_are_exact():
    slow, fast = build_run(losses=[1.0] * 5 + [0.1] * 7), build_run(losses=[1.0] * 4 + [0.1] * 8)
    found = change("epochs_to_target", fast, slow, target=0.1)
    assert (found.baseline, found.current, found.low, found.high) == (5, 6, 1, 1)


def test_time_to_the_target_varies_as_the_steps_do():
    losses = [1.0] * 4 + [0.1] * 8
    before, now = build_run(losses=losses), build_run(losses=losses, slower=dict.fromkeys(build_run().phases, 1.2))
    found = change("seconds_to_target", before, now, target=0.1)
    assert found.baseline == pytest.approx(before.history.elapsed_seconds[4])
    assert found.relative == pytest.approx(0.2)
    assert 0 < found.low < 0.2 * found.baseline < found.high
    assert found.seconds_per_unit == 1.0


@pytest.mark.parametrize("metric", ["seconds_to_target", "epochs_to_target"])
def test_a_target_that_is_not_reached_any_more_is_no_number(metric):
    reached, missed = build_run(losses=falling(0.1)), build_run(losses=falling(0.5))
    assert change(metric, reached, missed, target=0.1).current is None
    gained = change(metric, missed, reached, target=0.1)
    assert gained.baseline is None
    assert gained.current == (4 if metric == "epochs_to_target" else pytest.approx(reached.history.elapsed_seconds[3]))
    assert isinstance(change(metric, missed, missed, target=0.1), NotApplicable)


def test_without_a_target_loss_there_is_nothing_to_reach():
    found = change("seconds_to_target", build_run(), build_run())
    assert isinstance(found, Obstacle)
    assert "give `target_loss`" in found.reason


def test_a_run_without_steps_has_no_time():
    empty = build_run(rounds=0)
    assert str(change("step_time", build_run(), empty)) == "step_time: it was not measured this time"


def test_sides_that_took_turns_are_compared_round_by_round():
    """Rounds in which the whole machine is three times slower say nothing of the code."""
    before, now = build_run("kfac"), build_run("kfac", mood=1)
    moods = [3.0 if step // STEPS % 2 else 1.0 for step in range(len(before.steps.seconds))]
    for run, factor in ((before, 1.0), (now, 1.1)):
        run.steps.seconds = [factor * 1e-3 * mood for mood in moods]
    apart, together = (
        measure(quantity_of("step_time", "check"), Pair("kfac", [before], [now], together=one)) for one in (False, True)
    )
    assert together.relative == pytest.approx(0.1)
    assert together.high - together.low < 1e-9 < apart.high - apart.low
