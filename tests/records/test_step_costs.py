from __future__ import annotations

import math

import pytest
from gate_documents import build_run

from ngbench.records.step_costs import STEP, costs_of, phase_part


def costs(*runs, reference="sgd"):
    return {(cost.part, cost.arm): cost for cost in costs_of(runs, reference)}


def test_parts_are_ordered_and_each_arm_has_those_that_it_took():
    found = costs_of([build_run("sgd"), build_run("kfac")], "sgd")
    arms = {part: [cost.arm for cost in found if cost.part == part] for part in dict.fromkeys(c.part for c in found)}
    both, kfac = ["sgd", "kfac"], ["kfac"]
    assert arms[STEP] == both
    assert arms["step_time.plain"] == arms["step_time.refresh"] == kfac
    assert arms["phase.forward"] == both
    assert arms["phase.precondition"] == arms["phase.refresh"] == kfac


def test_a_sample_is_a_rounds_mean_step_or_call():
    run = build_run("kfac", rounds=4)
    found = costs(run, build_run("sgd", rounds=4))
    step, precondition = found[STEP, "kfac"], found[phase_part("precondition"), "kfac"]
    assert step.samples[1] == pytest.approx(math.fsum(run.steps.seconds[20:40]) / 20)
    assert (len(step.samples), step.iterations, step.calls) == (4, 20, 80)
    assert precondition.samples[1] == pytest.approx(run.phases["precondition"].seconds_by_round[1] / 20)
    assert (precondition.iterations, precondition.flops, precondition.bytes) == (20, 1000, 4000)
    # Every fiftieth of eighty steps, which two of the four rounds have.
    assert (len(found["phase.refresh", "kfac"].samples), found["step_time.refresh", "kfac"].calls) == (2, 2)


def test_ratios_are_to_the_step_of_the_reference_and_have_intervals():
    found = costs(build_run("sgd"), build_run("kfac"))
    # 6.5 ms a step and 22 ms at every fiftieth, five times in 240 steps, beside 3.5 ms.
    ratio = found[STEP, "kfac"].ratio
    assert ratio.value == pytest.approx((6.5 + 22 * 5 / 240) / 3.5, rel=0.02)
    assert ratio.low < ratio.value < ratio.high
    assert ratio.exceeds(1.5)
    assert not ratio.exceeds(ratio.value)
    precondition = found["phase.precondition", "kfac"].ratio
    assert precondition.value == pytest.approx(3 / 3.5, rel=0.02)
    # A call in fifty steps, five in 240.
    assert found["phase.refresh", "kfac"].ratio.value == pytest.approx(20 / 3.5 * 5 / 240, rel=0.02)
    assert costs(build_run("sgd"), build_run("kfac"), reference="kfac")[STEP, "sgd"].ratio.value < 1


def test_without_a_shared_seed_or_a_second_round_something_is_not_known():
    apart = costs(build_run("sgd"), build_run("kfac", seed=1))
    assert apart[STEP, "kfac"].ratio is None
    single = costs(build_run("sgd", rounds=1), build_run("kfac", rounds=1))[STEP, "kfac"].ratio
    assert (single.low, single.high, single.exceeds(0.0)) == (None, None, False)


def test_seeds_of_an_arm_are_pooled_and_operations_that_differ_are_not_known():
    run = build_run("kfac", seed=1)
    run.phases["refresh"].flops = 7
    found = costs(build_run("sgd"), build_run("kfac"), run)
    assert len(found[STEP, "kfac"].samples) == 24
    assert found["phase.refresh", "kfac"].flops is None
    assert found["phase.precondition", "kfac"].flops == 1000


def test_a_record_without_rounds_of_phases_has_one_sample_and_one_without_steps_none():
    run = build_run("sgd")
    phase = run.phases["forward"]
    phase.seconds_by_round, phase.calls_by_round = [], []
    failed = build_run("adam", rounds=0, status="failed")
    found = costs(run, failed)
    assert found["phase.forward", "sgd"].samples == [phase.seconds_total / phase.calls]
    assert {arm for _, arm in found} == {"sgd"}


def test_samples_leave_out_interrupted_steps():
    run = build_run("kfac", rounds=4)
    run.steps.seconds[3] += 5.0
    run.steps.interrupted = [3, *range(20, 40)]
    for phase in run.phases.values():
        phase.undisturbed_seconds_by_round = list(phase.seconds_by_round)
        phase.undisturbed_calls_by_round = list(phase.calls_by_round)
    run.phases["update"].undisturbed_calls_by_round[1] = 0
    found = costs(run, build_run("sgd", rounds=4))
    step = found[STEP, "kfac"]
    assert (len(step.samples), step.calls) == (3, 59)
    assert max(step.samples) < 0.05
    assert len(found["phase.update", "kfac"].samples) == 3
