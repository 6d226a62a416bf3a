from __future__ import annotations

import doctest
import math
import random

import numpy as np
import pytest
from gate_documents import EVERY, PLAIN, REFRESH, ROUNDS, STEPS, build_run
from scipy import stats

from ngbench.records import timing
from ngbench.records.experiments import Verdict
from ngbench.records.metric_changes import change_by_rounds, timed_change
from ngbench.records.quantities import quantity_of
from ngbench.records.record import RestartRecord
from ngbench.records.statistics import GATE_CONFIDENCE
from ngbench.records.thresholds import parse_threshold
from ngbench.records.timing import (
    Timing,
    busy_machine,
    estimate,
    mean_step,
    median_step,
    phase_change,
    phase_per_step,
    phase_ratio,
    phase_seconds,
    relative_change,
    robust_mean,
    rounds,
    step_of_kind,
    step_ratio,
)
from ngbench.records.verdict import judge

PLAIN_STEP = sum(PLAIN["kfac"].values())
REFRESHES = -(-ROUNDS * STEPS // EVERY)
AMORTISED = PLAIN_STEP + sum(REFRESH.values()) * REFRESHES / (ROUNDS * STEPS)
REFERENCE = sum(PLAIN["sgd"].values())


def with_seconds(run, seconds):
    return run.model_copy(update={"steps": run.steps.model_copy(update={"seconds": seconds})})


def test_the_worked_examples_of_the_docstrings_hold():
    assert doctest.testmod(timing).failed == 0


def test_the_robust_mean_and_its_variance_are_yuens():
    values = sorted(random.Random(at).gauss(1, 0.1) for at in range(20))
    winsorised = [values[4]] * 4 + values[4:16] + [values[15]] * 4
    expected = stats.tvar(winsorised) * 19 / (12 * 11)
    found = robust_mean(values)
    assert found.value == pytest.approx(stats.trim_mean(values, 0.2))
    assert found.variance * found.value**2 == pytest.approx(expected)
    assert found.degrees == 11


def test_rounds_are_epochs_and_the_unfinished_rest():
    run = build_run("sgd", rounds=3)
    run.history.step = [20, 40]
    run.steps.seconds = run.steps.seconds[:45]
    assert [len(part) for part in rounds(run)] == [20, 20, 5]
    run.steps.seconds = []
    assert rounds(run) == []


def test_rounds_are_the_turns_that_the_record_tells_of():
    run = build_run("sgd", rounds=1)
    run.steps.turns = [1, 3, 4]
    assert rounds(run) == [run.steps.seconds[:1], run.steps.seconds[1:3], run.steps.seconds[3:4], run.steps.seconds[4:]]


@pytest.mark.parametrize("confidence", [0.95, 0.5])
def test_an_interval_is_students_on_the_logarithm(confidence):
    found = estimate(Timing(2.0, 0.01, 7, 8), confidence)
    factor = math.exp(0.1 * stats.t.ppf((1 + confidence) / 2, 7))
    assert (found.low, found.value, found.high, found.n) == pytest.approx((2 / factor, 2.0, 2 * factor, 8))
    assert estimate(None) is None
    assert estimate(Timing(2.0, None, 0, 1)).error is None


def test_seeds_pair_whatever_their_order():
    ours, theirs = ([build_run(label, seed=seed) for seed in (0, 1)] for label in ("kfac", "sgd"))
    assert step_ratio(ours, theirs) == step_ratio(ours, theirs[::-1])


def test_a_reference_that_refreshes_in_every_step_is_a_unit_too():
    always = build_run("kfac", every=1)
    assert step_ratio([always], [always]).value == pytest.approx(1)
    assert step_ratio([build_run("sgd", noise=0)], [build_run("kfac", every=1, noise=0)]).value == pytest.approx(
        REFERENCE / (PLAIN_STEP + sum(REFRESH.values()))
    )


def test_kinds_of_steps_and_phases_make_up_the_mean_step():
    runs = [build_run("kfac", seed=seed) for seed in (0, 1)]
    share = 2 * REFRESHES / sum(len(run.steps.seconds) for run in runs)
    plain, refresh = (step_of_kind(runs, kind).value for kind in timing.KINDS)
    assert mean_step(runs).value == pytest.approx((1 - share) * plain + share * refresh)
    assert phase_per_step(runs, "refresh").value == pytest.approx(share * phase_seconds(runs, "refresh").value)
    assert step_of_kind([build_run("sgd")], "refresh") is None


def test_a_call_of_a_phase_is_compared_without_the_speed_of_the_machine():
    slower = build_run("kfac", slower={"refresh": 3.0}, every=25)
    assert phase_change([slower], [build_run("kfac")], "refresh").value == pytest.approx(3, rel=0.01)
    assert phase_change([slower], [build_run("sgd")], "refresh") is None


def test_a_ratio_amortises_refreshes_that_not_every_round_has():
    found = step_ratio([build_run("kfac", noise=0)], [build_run("sgd", noise=0)])
    assert found.value == pytest.approx(AMORTISED / REFERENCE)


def test_a_ratio_does_not_see_what_slows_the_whole_machine():
    quiet = step_ratio([build_run("kfac")], [build_run("sgd")])
    slow = [with_seconds(run, [3 * s for s in run.steps.seconds]) for run in (build_run("kfac"), build_run("sgd"))]
    assert step_ratio([slow[0]], [slow[1]]).value == pytest.approx(quiet.value)


def test_a_round_in_which_the_machine_stalled_leaves_no_trace():
    run, reference = build_run("kfac"), build_run("sgd")
    seconds = list(run.steps.seconds)
    seconds[30] += 10.0
    stalled = step_ratio([with_seconds(run, seconds)], [reference])
    assert stalled.value == pytest.approx(step_ratio([run], [reference]).value, rel=0.005)
    assert stalled.variance < 1e-4


def test_work_on_every_tenth_step_counts_although_its_steps_are_few():
    run, reference = build_run("kfac", noise=0), build_run("sgd", noise=0)
    rare = [s * (2 if at % 10 == 5 else 1) for at, s in enumerate(run.steps.seconds)]
    before, after = step_ratio([run], [reference]), step_ratio([with_seconds(run, rare)], [reference])
    assert after.value / before.value == pytest.approx(1.1, abs=0.02)
    assert median_step([with_seconds(run, rare)]).value == pytest.approx(median_step([run]).value)


def test_a_mean_step_is_in_seconds():
    found = mean_step([build_run("kfac", noise=0)])
    assert AMORTISED < found.value < 1.2 * AMORTISED


def test_curvature_estimated_once_borrows_the_variance_of_plain_steps():
    found = step_ratio([build_run("kfac", every=10**6)], [build_run("sgd")])
    share = REFRESH["refresh"] / (ROUNDS * STEPS * PLAIN_STEP)
    assert found.value == pytest.approx(PLAIN_STEP / REFERENCE * (1 + share), rel=0.01)
    assert 0 < found.variance < 1e-4


def test_a_single_round_has_no_variance():
    assert step_ratio([build_run("kfac", rounds=1)], [build_run("sgd", rounds=1)]).variance is None


def test_arms_without_a_common_seed_have_no_ratio():
    assert step_ratio([build_run("kfac", seed=1)], [build_run("sgd", seed=2)]) is None


def test_a_phase_that_few_rounds_have_is_measured_by_its_calls():
    found = phase_seconds([build_run("kfac", noise=0)], "refresh")
    assert REFRESH["refresh"] < found.value < 1.2 * REFRESH["refresh"]
    assert found.n == REFRESHES
    ratio = phase_ratio([build_run("kfac", noise=0)], [build_run("sgd", noise=0)], "refresh")
    assert ratio.value == pytest.approx(REFRESH["refresh"] * REFRESHES / (ROUNDS * STEPS) / REFERENCE)


def test_a_record_without_times_by_round_gives_a_phase_without_variance():
    run = build_run("kfac")
    totals = {
        name: phase.model_copy(update={"seconds_by_round": [], "calls_by_round": []})
        for name, phase in run.phases.items()
    }
    old, reference = run.model_copy(update={"phases": totals}), build_run("sgd")
    assert phase_seconds([old], "forward").variance is None
    assert phase_seconds([old], "forward").value == pytest.approx(phase_seconds([run], "forward").value, rel=0.05)
    assert phase_ratio([old], [reference], "forward").value == pytest.approx(
        phase_ratio([run], [reference], "forward").value, rel=0.05
    )


def test_a_phase_that_was_never_called_has_no_time():
    assert phase_seconds([build_run("sgd")], "refresh") is None


def test_the_interval_of_equal_runs_holds_zero_as_often_as_it_says():
    inside = 0
    for mood in range(200):
        pair = [
            step_ratio([build_run("kfac", mood=m, noise=0.02)], [build_run("sgd", mood=m, noise=0.02)])
            for m in (2 * mood, 2 * mood + 1)
        ]
        _, low, high = relative_change(*pair)
        inside += low <= 0 <= high
    assert 188 <= inside <= 200


def test_the_interval_of_a_change_is_welchs():
    first, second = [random.Random(at).gauss(1, 0.01) for at in range(4)], [1.1, 1.12, 1.09]
    point, low, high = relative_change(robust_mean(first), robust_mean(second))
    assert point == pytest.approx(sum(second) / 3 / (sum(first) / 4) - 1)
    # To first order in the noise the interval of the logarithms is that of the difference of the means.
    welch = stats.ttest_ind(second, first, equal_var=False).confidence_interval(GATE_CONFIDENCE)
    assert high - low == pytest.approx(welch.high - welch.low, rel=0.15)


@pytest.mark.parametrize("variance", [None, 0.0])
def test_a_change_needs_variances_but_takes_none_of_it(variance):
    found = relative_change(Timing(1.0, 0.0, 5, 6), Timing(1.5, variance, 5, 6))
    assert found == (None if variance is None else pytest.approx((0.5, 0.5, 0.5)))


def with_interruptions(run, every, seconds=0.05):
    """Every so many steps another program takes the processor for ``seconds``, in the last phase of the step."""
    places = list(range(3, len(run.steps.seconds), every))
    times = [s + seconds * (at in places) for at, s in enumerate(run.steps.seconds)]
    update = {"seconds": times, "interrupted": places}
    run = run.model_copy(update={"steps": run.steps.model_copy(update=update)}, deep=True)
    left = [[at for at in range(start, start + STEPS) if at not in places] for start in range(0, len(times), STEPS)]
    update = run.phases["update"]
    update.undisturbed_calls_by_round = list(map(len, left))
    update.undisturbed_seconds_by_round = [
        total * len(steps) / calls
        for total, steps, calls in zip(update.seconds_by_round, left, update.calls_by_round, strict=True)
    ]
    update.seconds_by_round = [
        total + seconds * (STEPS - len(steps)) for total, steps in zip(update.seconds_by_round, left, strict=True)
    ]
    return run


def test_interrupted_steps_do_not_count():
    runs = [build_run(label) for label in ("kfac", "sgd")]
    quiet = step_ratio([runs[0]], [runs[1]])
    busy = step_ratio([with_interruptions(runs[0], 3)], [with_interruptions(runs[1], 7)])
    assert busy.value == pytest.approx(quiet.value, rel=0.01)
    assert busy.variance < 4 * quiet.variance
    assert mean_step([with_interruptions(runs[0], 3)]).value == pytest.approx(mean_step([runs[0]]).value, rel=0.03)
    phase = phase_ratio([with_interruptions(runs[0], 3)], [with_interruptions(runs[1], 7)], "update")
    assert phase.value == pytest.approx(phase_ratio([runs[0]], [runs[1]], "update").value, rel=0.01)


def test_work_on_every_tenth_step_counts_in_what_was_not_interrupted():
    run, reference = (with_interruptions(build_run(label, noise=0), 7) for label in ("kfac", "sgd"))
    rare = [s * (2 if at % 10 == 5 else 1) for at, s in enumerate(run.steps.seconds)]
    before, after = step_ratio([run], [reference]), step_ratio([with_seconds(run, rare)], [reference])
    assert after.value / before.value == pytest.approx(1.1, abs=0.03)


def test_the_median_step_leaves_out_interrupted_steps():
    assert median_step([with_interruptions(build_run("kfac"), 2)]).value == pytest.approx(
        median_step([build_run("kfac")]).value, rel=0.02
    )


@pytest.mark.parametrize(("places", "busy"), [(None, False), (120, False), (121, True), (240, True)])
def test_a_busy_machine_is_one_that_interrupted_more_than_half_of_the_steps(places, busy):
    run = build_run("kfac")
    run.steps.interrupted = None if places is None else list(range(places))
    found = busy_machine([build_run("sgd"), run])
    assert [f"kfac was measured on a busy machine: {places} of 240 steps" in text for text in found] == [True] * busy


def test_where_most_steps_were_interrupted_all_count_in_both_arms():
    busy, calm = with_interruptions(build_run("kfac"), 1), with_interruptions(build_run("sgd"), 7)
    unknown = [
        run.model_copy(update={"steps": run.steps.model_copy(update={"interrupted": None})}) for run in (busy, calm)
    ]
    assert step_ratio([busy], [calm]) == step_ratio([unknown[0]], [unknown[1]])
    assert phase_ratio([busy], [calm], "update") == phase_ratio([unknown[0]], [unknown[1]], "update")


def test_a_refresh_that_happened_once_counts_although_it_was_interrupted():
    run, reference = build_run("kfac", every=10**6), build_run("sgd")
    expected = step_ratio([run], [reference])
    for one, places in ((run, [0]), (reference, [])):
        one.steps.interrupted = places
    assert step_ratio([run], [reference]).value == pytest.approx(expected.value, rel=0.002)


def again(run, *others):
    """The run, made again in processes that took as long as the others."""
    restarts = [RestartRecord(steps=other.steps, phases=other.phases) for other in others]
    return run.model_copy(update={"restarts": restarts})


def test_a_time_over_processes_is_their_mean_and_varies_as_they_do():
    runs = [build_run("kfac", mood=mood) for mood in range(3)]
    references = [build_run("sgd", mood=mood) for mood in range(3)]
    made, reference = again(*runs), again(*references)
    for estimate_of in (mean_step, median_step, lambda one: phase_seconds(one, "refresh")):
        values = [estimate_of([run]).value for run in runs]
        found = estimate_of([made])
        assert found.value == pytest.approx(sum(values) / 3)
        assert found.variance * found.value**2 == pytest.approx(stats.tvar(values) / 3)
        assert (found.degrees, found.n, found.processes) == (2, 3, 3)
    ratios = [step_ratio([run], [other]).value for run, other in zip(runs, references, strict=True)]
    assert step_ratio([made], [reference]).value == pytest.approx(sum(ratios) / 3)
    assert step_ratio([made], [references[0]]) == step_ratio([runs[0]], [references[0]])
    assert sum(map(len, timing.counted_rounds([made]))) == 3 * ROUNDS * STEPS


def test_a_process_on_a_busy_machine_is_told_whichever_it_is():
    busy = build_run("kfac")
    busy.steps.interrupted = list(range(ROUNDS * STEPS))
    assert busy_machine([again(build_run("kfac"), busy)])


SIMULATED = 2000


def simulated(effect, slower, processes, *, paired=False):
    """Changes and their intervals, of pairs whose processes differ by ``effect`` and whose current side is slower."""
    random = np.random.default_rng(20)
    shape = (SIMULATED, processes)
    before, now = np.exp(random.normal(0, effect, shape)), (1 + slower) * np.exp(random.normal(0, effect, shape))
    for one, other in zip(before, now, strict=True):
        if paired:
            ratio = timing.mean_of_processes(other / one)
            yield change_by_rounds(Timing(1.0, None, 0, 1), ratio, quantity_of("step_time"))
        else:
            sides = (timing.mean_of_processes(one), timing.mean_of_processes(other))
            yield timed_change(*sides, 1.0, quantity_of("step_time"))


@pytest.mark.parametrize("effect", [0.01, 0.02, 0.03])
@pytest.mark.parametrize("paired", [False, True])
def test_what_differs_between_processes_raises_no_alarms(effect, paired):
    """Of equal pairs at most 2 % are called worse, even if nothing is allowed, and the intervals hold the truth."""
    strict, usual = parse_threshold("step_time:0%"), parse_threshold("step_time:5%")
    changes = [*simulated(effect, 0.0, 3, paired=paired)]
    assert sum(judge(change, strict) is Verdict.WORSE for change in changes) <= 0.02 * SIMULATED
    assert sum(judge(change, usual) is Verdict.WORSE for change in changes) <= 0.001 * SIMULATED
    covered = sum(change.low <= 0 <= change.high for change in changes) / SIMULATED
    assert covered == pytest.approx(GATE_CONFIDENCE, abs=0.01)


@pytest.mark.parametrize(
    ("effect", "processes", "caught"), [(0.01, 3, 0.78), (0.01, 6, 1), (0.02, 6, 0.7), (0.03, 6, 0.35)]
)
def test_a_slow_down_is_caught_as_far_as_processes_agree(effect, processes, caught):
    """5 % slower, where 1 % is allowed: as often as the noncentral t distribution says."""
    threshold = parse_threshold("step_time:1%")
    found = sum(judge(change, threshold) is Verdict.WORSE for change in simulated(effect, 0.05, processes)) / SIMULATED
    degrees, shift = 2 * (processes - 1), math.log(1.05 / 1.01) / effect * math.sqrt(processes / 2)
    assert found == pytest.approx(stats.nct.sf(stats.t.ppf(0.99, degrees), degrees, shift), abs=0.03)
    assert found == pytest.approx(caught, abs=0.03)


def test_a_side_of_one_process_is_taken_to_vary_as_the_other_does():
    several = timing.mean_of_processes([1.0, 1.01, 0.99])
    single = Timing(1.0, 1e-8, 11, 12)
    spread = math.sqrt(several.variance * 3 * (1 / 3 + 1) + single.variance)
    _, low, high = relative_change(several, single)
    assert math.log1p(high) == pytest.approx(spread * stats.t.ppf(0.99, 2), rel=1e-3)
    assert math.log1p(low) == pytest.approx(-math.log1p(high))
