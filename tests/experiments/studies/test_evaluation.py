from __future__ import annotations

import math

import pytest

from ngbench.experiments.studies.evaluation import evaluate
from ngbench.experiments.studies.pairs import CellRuns
from ngbench.experiments.studies.verdicts import claim_record
from ngbench.records.quantities import ArmRun
from ngbench.records.record import RunRecord
from ngbench.records.studies import ClaimRecord, ClaimVerdict
from ngbench.report.views.study import claims_table, count_verdicts

R, C, Q, N = ClaimVerdict.REPRODUCED, ClaimVerdict.CONTRADICTED, ClaimVerdict.INCONCLUSIVE, ClaimVerdict.NOT_TESTED
CLAIM = "left: KFAC 0.1, relation: below, right: Adam"


@pytest.fixture
def judge(parse):
    """The result of the study's claim, some of its texts changed, over these cells."""

    def judge(cells, *changes, scale="laptop"):
        (result,) = evaluate(parse(*changes).study, scale, cells)
        return result

    return judge


@pytest.fixture
def cell(run):
    """A cell: for each arm, the losses by epoch of each seed."""

    def make(batch_size=64, *, epoch_seconds=None, fields=None, **losses):
        arms = {}
        for arm, seeds in losses.items():
            name = {"adam": "Adam", "kfac": "KFAC 0.1", "other": "KFAC 0.01"}[arm]
            arms[name] = [
                run(
                    name,
                    values,
                    seed=seed,
                    epoch_seconds=(epoch_seconds or {}).get(arm, 1.0),
                    **((fields or {}).get(arm, {})),
                )
                for seed, values in enumerate(seeds)
            ]
        return CellRuns("toy", batch_size, arms)

    return make


def test_final_losses_are_paired_by_seed(judge, cell):
    # The seeds scatter by far more than the arms differ.
    adam = [[9, 1.0], [9, 2.0], [9, 4.0]]
    kfac = [[9, 0.9], [9, 1.78], [9, 3.62]]
    result = judge([cell(adam=adam, kfac=kfac)])
    assert result.verdict is R
    (part,) = result.parts
    assert part.found.in_logarithms
    assert math.exp(part.found.difference) == pytest.approx((0.9 * 0.89 * 0.905) ** (1 / 3))
    assert part.found.sides == pytest.approx((2.1, 7 / 3))
    assert judge([cell(adam=kfac, kfac=adam)]).verdict is C
    assert judge([cell(adam=adam, kfac=[kfac[0], [9, 2.4], kfac[2]])]).verdict is Q


def test_only_seeds_that_both_ran_count(judge, cell):
    result = judge([cell(adam=[[1.0], [1.0], [99.0]], kfac=[[0.5], [0.51]])])
    assert result.parts[0].found.seeds == 2
    assert result.parts[0].found.sides[1] == 1.0


def test_one_seed_is_inconclusive(judge, cell):
    assert judge([cell(adam=[[1.0]], kfac=[[0.1]])]).verdict is Q


def test_the_tolerance_is_relative_to_the_right_side(judge, cell):
    cells = [cell(adam=[[1.0], [1.0]], kfac=[[0.96], [0.961]])]
    for tolerance, verdict in (("3%", R), ("5%", C)):
        assert judge(cells, (CLAIM, f"{CLAIM}, tolerance: {tolerance}")).verdict is verdict
    assert judge(cells, (CLAIM, CLAIM.replace("below", "level") + ", tolerance: 0.05")).verdict is R


def test_a_large_tolerance_of_a_ratio_is_one_too(judge, cell):
    # By a half: below 1/1.5 = 0.667, not below exp(-0.5) = 0.607; at most 1.5 times as long, not exp(0.5) = 1.65 times.
    losses = [cell(adam=[[1.0]] * 3, kfac=[[0.64], [0.641], [0.639]])]
    assert judge(losses, (CLAIM, f"{CLAIM}, tolerance: 50%")).verdict is R
    times = [cell(adam=[[1.0] * 4], kfac=[[1.0] * 4], epoch_seconds={"kfac": 3.0})]
    change = ("measurement: training_loss", "measurement: step_time")
    for factor, verdict in ((1.9, C), (2.1, R)):
        right = f"left: KFAC 0.1, relation: at_most, right: {{arm: Adam, times: {factor}}}, tolerance: 50%"
        assert judge(times, change, (CLAIM, right)).verdict is verdict


def test_a_claim_is_made_in_each_panel_and_batch_size_unless_it_says_where(judge, cell):
    good = {"adam": [[1.0], [1.0]], "kfac": [[0.5], [0.51]]}
    bad = {"adam": good["kfac"], "kfac": good["adam"]}
    cells = [cell(64, **good), cell(128, **bad)]
    result = judge(cells)
    assert (result.verdict, len(result.parts)) == (C, 2)
    assert result.decisive.pair.subject == "KFAC 0.1 below Adam (toy-128)"
    assert judge(cells, (CLAIM, f"{CLAIM}, batch_sizes: [64]")).verdict is R
    assert judge(cells, (CLAIM, f"{CLAIM}, holds: any")).verdict is R


def test_each_arm_of_a_list_is_compared_with_each(judge, cell):
    cells = [cell(adam=[[1.0], [1.0]], kfac=[[0.5], [0.51]], other=[[2.0], [2.1]])]
    change = (CLAIM, "left: [KFAC 0.1, KFAC 0.01], relation: below, right: Adam")
    result = judge(cells, change)
    assert [part.verdict for part in result.parts] == [R, C]
    assert result.verdict is C


def test_an_order_is_a_chain_of_groups(judge, cell):
    cells = [cell(adam=[[1.0], [1.0]], kfac=[[0.5], [0.51]], other=[[0.4], [0.41]])]
    held = judge(cells, (CLAIM, "order: [[KFAC 0.1, KFAC 0.01], Adam]"))
    assert (held.verdict, len(held.parts)) == (R, 2)
    assert judge(cells, (CLAIM, "order: [KFAC 0.1, KFAC 0.01, Adam]")).verdict is C


def test_epochs_that_no_run_reached_and_arms_that_did_not_run_are_not_tested(judge, cell):
    cells = [cell(adam=[[1.0, 0.9], [1.0, 0.9]], kfac=[[0.5, 0.95], [0.51, 0.951]])]
    assert judge(cells, (CLAIM, f"{CLAIM}, at: {{epoch: 1}}")).verdict is R
    assert judge(cells, (CLAIM, f"{CLAIM}, at: {{epoch: 2}}")).verdict is C
    late = judge(cells, (CLAIM, f"{CLAIM}, at: {{epoch: 3}}"))
    assert (late.verdict, late.reason) == (N, "KFAC 0.1 ended before epoch 3")
    absent = judge(cells, (CLAIM, "left: KFAC 0.01, relation: below, right: Adam"))
    assert (absent.verdict, absent.reason) == (N, "none of its arms and panels ran")


def test_a_list_is_judged_on_those_of_its_arms_that_ran(judge, cell):
    change = (CLAIM, "left: [KFAC 0.1, KFAC 0.01], relation: below, right: Adam")
    result = judge([cell(adam=[[1.0], [1.0]], kfac=[[0.5], [0.51]])], change)
    assert (result.verdict, len(result.parts)) == (R, 1)


def test_scales_of_the_claim_and_skipped_scales_are_said(judge, cell):
    cells = [cell(adam=[[1.0], [1.0]], kfac=[[0.5], [0.51]])]
    assert judge(cells, scale="smoke").reason == "not at this scale, but at laptop or full"
    skipped = judge(
        [], ("full: {minutes: 2, epochs: 30, seeds: 5}", "full: {minutes: 0, skip: too large}"), scale="full"
    )
    assert (skipped.verdict, skipped.reason) == (N, "too large")


def test_equal_time_ends_with_the_quicker_arm(judge, cell):
    # Adam ends after 3 s at 0.6. KFAC has 0.9 after 2 s and 0.3 after 4 s: 0.6 at 3 s, below 0.7 and not below 0.5.
    times = {"adam": 1.0, "kfac": 2.0}
    at = (CLAIM, f"{CLAIM}, at: {{seconds: equal}}")
    for adam, verdict in ((0.7, R), (0.5, C)):
        arms = {"adam": [[9, 9, adam], [9, 9, adam + 0.001]], "kfac": [[0.9, 0.3, 0.1], [0.9, 0.301, 0.1]]}
        result = judge([cell(epoch_seconds=times, **arms)], at)
        assert result.verdict is verdict
        assert result.parts[0].found.sides[0] == pytest.approx(0.6, abs=1e-3)


def test_a_time_before_the_first_epoch_has_no_value(judge, cell):
    arms = {"adam": [[1.0], [1.0]], "kfac": [[0.5], [0.5]]}
    result = judge([cell(epoch_seconds={"kfac": 50.0}, **arms)], (CLAIM, f"{CLAIM}, at: {{seconds: equal}}"))
    assert (result.verdict, result.reason) == (N, "training_loss of KFAC 0.1 is no number at seconds equal")


def test_a_run_that_diverged_is_worse_than_any_loss(judge, cell):
    wild = {"kfac": {"status": "diverged"}}
    losses = {"adam": [[1.0, 1.0], [1.01, 1.0]], "kfac": [[0.5, None], [0.5, None]]}
    assert judge([cell(fields=wild, **losses)]).verdict is C
    assert judge([cell(fields=wild, **losses)], (CLAIM, "left: Adam, relation: below, right: KFAC 0.1")).verdict is R
    assert judge([cell(fields=wild, **losses)], (CLAIM, f"{CLAIM}, at: {{epoch: 1}}")).verdict is R
    both = {"adam": {"status": "diverged"}, **wild}
    losses["adam"] = losses["kfac"]
    assert judge([cell(fields=both, **losses)]).reason == "both sides diverged"


def test_a_metric_of_a_run_that_diverged_is_worse_than_any_too(judge, cell):
    losses = {"adam": [[0.9, 0.9], [0.9, 0.9]], "kfac": [[0.5, None], [0.5, None]]}
    change = ("measurement: training_loss", "measurement: metric.accuracy")
    assert judge([cell(fields={"kfac": {"status": "diverged"}}, **losses)], change).verdict is R


def test_the_best_of_a_metric_is_the_highest(judge, cell):
    losses = {"adam": [[0.5, 0.2, 0.6], [0.5, 0.201, 0.6]], "kfac": [[0.4, 0.3, 0.3]] * 2}
    at = (CLAIM, f"{CLAIM}, at: best")
    assert judge([cell(**losses)], at).verdict is C
    result = judge([cell(**losses)], at, ("measurement: training_loss", "measurement: metric.accuracy"))
    assert result.parts[0].found.sides == pytest.approx((0.7, 0.7995))
    result = judge([cell(**losses)], at, ("measurement: training_loss", "measurement: training_metric.accuracy"))
    assert result.parts[0].found.sides == pytest.approx((1.7, 1.7995))


def test_means_are_over_the_points_of_a_run(judge, cell):
    losses = {"adam": [[1.0, 3.0], [1.0, 3.2]], "kfac": [[2.0, 1.5], [2.0, 1.4]]}
    result = judge([cell(**losses)], (CLAIM, f"{CLAIM}, at: mean"))
    assert result.parts[0].found.sides == pytest.approx((1.725, 2.05))


def test_every_point_of_one_run_is_enough(judge, cell):
    losses = {"adam": [[1.0] + 10 * [0.8] + [0.7]], "kfac": [[1.1] + 10 * [0.7] + [0.6]]}
    cells = [cell(**losses)]
    everywhere = judge(cells, (CLAIM, f"{CLAIM}, at: every"))
    assert (everywhere.verdict, everywhere.parts[0].found.share) == (C, pytest.approx(11 / 12))
    assert judge(cells, (CLAIM, f"{CLAIM}, at: {{every: 91%}}")).verdict is R
    assert judge(cells, (CLAIM, f"{CLAIM}, at: {{every: 100%, after: 10}}")).verdict is R
    number = judge(cells, (CLAIM, "left: KFAC 0.1, relation: below, right: 1.2, at: every"))
    assert number.verdict is R
    assert number.parts[0].found.spread == pytest.approx((math.log(0.6 / 1.2), math.log(1.1 / 1.2)))
    few = judge(cells, (CLAIM, f"{CLAIM}, at: {{every: 100%, after: 30}}"))
    assert (few.verdict, few.reason) == (N, "measured at 9 points of a run, fewer than 10")
    assert judge(cells, (CLAIM, f"{CLAIM}, kind: theorem, at: {{every: 100%, after: 30}}")).verdict is R


def test_the_gain_is_a_quotient_and_may_be_compared_between_batch_sizes(judge, cell):
    small = cell(64, adam=[[1.0], [1.0]], kfac=[[0.9], [0.91]])
    large = cell(128, adam=[[2.0], [2.0]], kfac=[[1.0], [1.01]])
    gain = "{arm: KFAC 0.1, divided_by: Adam"
    falls = judge([large, small], (CLAIM, f"left: {gain}}}, relation: falls_with_batch_size"))
    assert falls.verdict is R
    assert falls.parts[0].found.sides == pytest.approx((0.5025, 0.905))
    assert judge([small, large], (CLAIM, f"left: {gain}}}, relation: rises_with_batch_size")).verdict is C
    sides = (CLAIM, f"left: {gain}, batch_size: 128}}, relation: below, right: {gain}, batch_size: 64, times: 0.5}}")
    between = judge([small, large], sides)
    assert (between.verdict, len(between.parts)) == (C, 1)
    assert between.parts[0].found.sides[1] == pytest.approx(0.4525)
    one = judge([small], (CLAIM, f"left: {gain}}}, relation: falls_with_batch_size"))
    assert one.verdict is N


def test_a_difference_may_be_compared_with_a_number(judge, cell):
    cells = [cell(adam=[[1.0], [1.0]], kfac=[[0.5], [0.51]])]
    change = (CLAIM, "left: {arm: Adam, minus: KFAC 0.1}, relation: above, right: 0.4")
    assert judge(cells, change).verdict is R


def test_the_rounds_of_one_seed_give_times_an_interval(judge, cell):
    cells = [cell(adam=[[1.0] * 4], kfac=[[1.0] * 4], epoch_seconds={"kfac": 3.0})]
    change = ("measurement: training_loss", "measurement: step_time")
    for times, verdict in ((2, C), (4, R)):
        right = (CLAIM, f"left: KFAC 0.1, relation: at_most, right: {{arm: Adam, times: {times}}}")
        assert judge(cells, change, right).verdict is verdict
    part = judge(cells, change).parts[0]
    assert part.found.sides == pytest.approx((0.3, 0.1))


def test_a_quotient_of_times_is_the_ratio_over_rounds(judge, cell):
    cells = [cell(adam=[[1.0] * 4], kfac=[[1.0] * 4], epoch_seconds={"kfac": 3.0})]
    change = ("measurement: training_loss", "measurement: step_time")
    part = judge(cells, change, (CLAIM, "left: {arm: KFAC 0.1, divided_by: Adam}, relation: below, right: 4")).parts[0]
    assert (part.verdict, part.found.sides) == (R, pytest.approx((3.0, 4.0)))
    assert math.exp(part.found.difference) == pytest.approx(0.75)


@pytest.mark.parametrize(("places", "busy"), [(20, False), (21, True)])
def test_claims_about_times_of_a_busy_machine_say_so(judge, cell, places, busy):
    steps = {"seconds": [0.1] * 40, "kind": ["plain"] * 40, "interrupted": list(range(places))}
    cells = [cell(adam=[[1.0] * 4], kfac=[[0.9] * 4], fields={"kfac": {"steps": steps}})]
    times = claim_record("mine", judge(cells, ("measurement: training_loss", "measurement: step_time")))
    assert ("(measured on a busy machine)" in times.observed) is busy
    assert times.parts[0].busy_machine is busy
    assert "busy" not in claim_record("mine", judge(cells)).observed


def test_phases_are_compared_over_rounds_too(judge, cell):
    def phases(seconds):
        rounds = {"seconds_by_round": seconds, "calls_by_round": [1] * 3}
        return {"phases": {"refresh": {"seconds_total": sum(seconds), "calls": 3, "flops": 5, **rounds}}}

    fields = {"adam": phases([1.9, 2.0, 2.1]), "kfac": phases([3.9, 4.1, 4.0])}
    cells = [cell(adam=[[1.0] * 3], kfac=[[1.0] * 3], fields=fields)]
    seconds = ("measurement: training_loss", "measurement: phase.refresh.seconds")
    assert judge(cells, seconds, (CLAIM, "left: KFAC 0.1, relation: above, right: Adam")).verdict is R
    part = judge(cells, seconds).parts[0]
    assert part.found.sides == pytest.approx((4.0, 2.0))
    flops = ("measurement: training_loss", "measurement: phase.refresh.flops")
    assert judge(cells, flops, (CLAIM, f"{CLAIM}, tolerance: 0")).verdict is C
    assert judge(cells, flops, (CLAIM, CLAIM.replace("below", "at_most"))).verdict is R


def test_fisher_errors_are_of_one_run_and_two_approximations(parse, run):
    errors = {
        "layer": 5,
        "layer_name": None,
        "fisher": "sampled",
        "steps": list(range(1, 101, 10)),
        "approximations": {
            "Adam": {"error_1": [0.4] * 10, "error_2": [0.1] * 10},
            "KFAC 0.1": {"error_1": [0.2] * 10, "error_2": [0.1] * 10},
        },
    }
    record = RunRecord.model_validate({**run("adam", []).record.model_dump(), "fisher_errors": [errors]})
    cell = CellRuns("toy", 64, {name: [ArmRun(record, name)] for name in ("Adam", "KFAC 0.1")})
    study = parse(
        ("measure: compare", "measure: fisher-error"),
        ("optimizer: adam", "approximation: kfac"),
        ("optimizer: kfac, product", "approximation: kpsvd, product"),
        ("batch_size: 64", "x: step, y: error_1"),
        ("measurement: training_loss", "measurement: error_1, at: every"),
        ("epochs", "steps"),
    ).study
    (result,) = evaluate(study, "laptop", [cell])
    assert result.verdict is R
    assert result.claim.shown_kind == "approximation"


def test_an_arm_without_a_record_tests_nothing(judge, cell):
    result = judge([cell(adam=[[1.0], [1.0]], kfac=[])])
    assert (result.verdict, result.reason) == (N, "KFAC 0.1 has no record in toy-64")


def test_a_claim_is_recorded_in_the_form_of_the_reports_page(judge, cell):
    cells = [cell(adam=[[1.0], [1.0]], kfac=[[0.5], [0.51]]), cell(128, adam=[[1.0], [1.0]], kfac=[[0.2], [0.4]])]
    record = claim_record("mine", judge(cells, (CLAIM, f"{CLAIM}, tolerance: 2%")))
    assert (record.study, record.claim, record.verdict) == ("mine", "faster: KFAC is faster", "inconclusive")
    half = 6.3138 * math.log(2) / 2
    assert record.interval == pytest.approx([math.exp(end) * 0.08**0.5 for end in (-half, half)], rel=1e-4)
    assert record.observed == "1 of 2 hold; KFAC 0.1 below Adam (toy-128): 0.3000, 1.000"
    assert record.tolerance == "2%"
    assert [part.verdict for part in record.parts] == ["reproduced", "inconclusive"]
    columns = {column.name: column.cells for column in claims_table([record])}
    assert columns["claim"] == ["faster"]
    assert columns["90 %\ninterval"] == ["× 0.03171 to 2.523"]
    assert str(count_verdicts([record, record])) == "2 inconclusive"


def test_divergence_has_no_interval_in_a_record(judge, cell):
    wild = {"kfac": {"status": "diverged"}}
    losses = {"adam": [[1.0], [1.0]], "kfac": [[None], [None]]}
    record = claim_record("mine", judge([cell(fields=wild, **losses)]))
    assert (record.verdict, record.interval) == ("contradicted", None)
    assert "(∞: diverged)" in record.observed


def test_records_of_before_verdicts_had_reasons_are_read():
    part = {"subject": "KFAC below Adam", "verdict": "not tested at this scale", "left": 1.0, "right": 2.0}
    part |= {"difference": -1.0, "interval": [-2.0, 0.0], "n": 3, "tolerance": 0.0, "share": None, "note": ""}
    part["busy_machine"] = False
    old = {"study": "mine", "claim": "KFAC", "verdict": "not tested at this scale", "parts": [part]}
    read = ClaimRecord.model_validate(old)
    assert (read.verdict, read.shown_verdict) == (N, "not tested")
    assert (read.parts[0].effect, read.parts[0].scale, read.parts[0].interval) == (-1.0, "difference", (-2.0, 0.0))
