from __future__ import annotations

import pytest
from gate_documents import build_comparison, build_document, build_run

from ngbench.errors import NotComparableError
from ngbench.experiments.gate_rules import DEFAULT_THRESHOLDS
from ngbench.records import timing
from ngbench.records.experiments import GateRecord, Verdict
from ngbench.records.gate import STATUS, check
from ngbench.records.quantities import QUANTITIES, Quantity
from ngbench.records.record import AdversarialRecord, FisherCurve, FisherErrorRecord, RestartRecord
from ngbench.records.thresholds import parse_threshold

FLOOR = 20e-6


def judge(current, baseline, *rules, floor=FLOOR, **options):
    thresholds = [parse_threshold(text) for text in rules or DEFAULT_THRESHOLDS]
    return check(current, baseline, thresholds, floor=floor, asked_for=bool(rules), **options)


def verdicts(report):
    return {(found.metric, found.arm): found.verdict.value for found in report.comparisons}


def slowed(phase, *, step, mood=1):
    """KFAC that takes a part ``step`` of its step longer, all of it in one phase."""
    baseline = build_run("kfac", noise=0)
    part = baseline.phases[phase].seconds_total / sum(baseline.steps.seconds)
    return build_comparison(mood=mood, slower={phase: 1 + step / part})


def test_equal_runs_are_the_same_by_default():
    report = judge(build_comparison(mood=1), build_comparison())
    assert set(verdicts(report).values()) == {"same"}
    assert report.error is None
    assert ("step_time.ratio", "kfac") in verdicts(report)
    assert ("phase.refresh.flops", "kfac") in verdicts(report)


@pytest.mark.parametrize("phase", ["forward", "precondition", "refresh", "accumulate"])
def test_a_slower_step_is_worse_and_the_phase_is_named(phase):
    report = judge(slowed(phase, step=0.1), build_comparison(), "step_time.ratio:5%")
    (found,) = report.comparisons
    assert found.verdict is Verdict.WORSE
    assert found.note.startswith(f"{phase} changed most: +")
    assert report.error.exit_code == 3
    assert "step_time.ratio of kfac" in str(report.error)


def test_a_faster_step_names_the_phase_that_became_shorter():
    report = judge(build_comparison(mood=1), slowed("precondition", step=0.2, mood=0), "step_time.ratio:5%")
    (found,) = report.comparisons
    assert found.verdict is Verdict.BETTER
    assert found.note.startswith("precondition changed most: -")
    assert report.error is None


def players(score):
    """A run of two players that ends with this score."""
    fid = {"metric": "classifier-fid", "network": "n", "digest": "", "features": 8, "every": 1}
    fid |= {"samples": 2, "real_samples": 2}
    adversarial = AdversarialRecord.model_validate({"players": {}, "critic_steps": 5, "penalty": 10, "fid": fid})
    run = build_run("kfac1", noise=0)
    scores = [None] * (len(run.history.epoch) - 1) + [score]
    history = run.history.model_copy(update={"metrics": {"classifier-fid": scores}})
    return build_document(
        *(run.model_copy(update={"adversarial": adversarial, "history": history, "seed": seed}) for seed in (0, 1))
    )


@pytest.mark.parametrize(
    ("score", "verdict"), [(20.0, "same"), (21.9, "same"), (22.1, "worse"), (17.9, "better"), (None, "worse")]
)
def test_the_score_of_a_gan_is_compared_by_default_and_its_loss_is_not(score, verdict):
    report = judge(players(score), players(20.0))
    assert verdicts(report)["fid", "kfac1"] == verdict
    assert not any(metric == "training_loss" for metric, _ in verdicts(report))
    assert report.not_comparable == []


def test_what_has_no_score_is_not_asked_for_one_by_default():
    assert not any("fid" in note for note in judge(build_comparison(), build_comparison()).notes)
    assert any(
        note == "fid was not compared (kfac1: no images were scored)."
        for note in judge(players(None), players(None)).notes
    )
    report = judge(build_comparison(), build_comparison(), "fid:10%")
    assert "fid: nothing has it (sgd: it trains no two players" in str(report.error)


def test_a_quantity_is_an_entry_of_the_table_alone(monkeypatch):
    def share(runs, reference, name):
        return timing.phase_ratio(runs, runs, name)

    monkeypatch.setitem(
        QUANTITIES,
        "phase.NAME.share",
        Quantity(
            "phase.NAME.share",
            "time of the phase in the arm's own step",
            "ratio",
            "step",
            frozenset({"check"}),
            ratio=share,
            names=lambda run: run.phases,
        ),
    )
    monkeypatch.setitem(
        QUANTITIES,
        "step_time.again",
        Quantity(
            "step_time.again",
            "time of a step",
            "seconds",
            "step",
            frozenset({"check"}),
            time=lambda runs, name: timing.mean_step(runs),
        ),
    )
    report = judge(slowed("refresh", step=0.5), build_comparison(), "phase.*.share:20%", "step_time.again:20%")
    assert verdicts(report)["phase.refresh.share", "kfac"] == "worse"
    assert verdicts(report)["step_time.again", "kfac"] == "worse"
    assert verdicts(report)["phase.forward.share", "kfac"] in ("same", "better")
    assert all(found.low is not None for found in report.comparisons)


def test_the_phase_is_named_without_a_reference_too():
    before, now = (build_document(document.runs[1]) for document in (build_comparison(), slowed("refresh", step=0.2)))
    (found,) = judge(now, before, "step_time:5%").comparisons
    assert found.note.startswith("refresh changed most")


def test_time_that_no_phase_accounts_for_is_named_as_such():
    now = build_comparison()
    kfac = now.runs[1]
    longer = kfac.steps.model_copy(update={"seconds": [1.2 * seconds for seconds in kfac.steps.seconds]})
    now = now.model_copy(update={"runs": [now.runs[0], kfac.model_copy(update={"steps": longer})]})
    (found,) = judge(now, build_comparison(), "step_time.ratio:5%").comparisons
    assert found.note.startswith("outside of phases changed most")


def test_noise_is_inconclusive_and_fails_only_on_request():
    before, now = build_comparison(noise=0.2), build_comparison(mood=1, noise=0.2)
    report = judge(now, before, "step_time.ratio:5%")
    assert verdicts(report) == {("step_time.ratio", "kfac"): "inconclusive"}
    assert report.error is None
    strict = judge(now, before, "step_time.ratio:5%", fail_on_inconclusive=True)
    assert strict.error.exit_code == 3
    assert str(strict.error) == "inconclusive: step_time.ratio of kfac"


def test_what_is_worse_and_what_is_inconclusive_are_named_apart():
    before, now = (
        build_document(
            *(build_run(label, seed=seed, noise=0.2, **changes) for label in ("sgd", "kfac") for seed in (0, 1))
        )
        for changes in ({"losses": [0.4] * 12}, {"mood": 1, "losses": [0.5] * 12})
    )
    report = judge(now, before, "step_time.ratio:5%", "training_loss:1%", labels=["kfac"], fail_on_inconclusive=True)
    assert str(report.error) == "worse: training_loss of kfac; inconclusive: step_time.ratio of kfac"


def test_a_difference_below_the_floor_is_no_regression():
    now, before = slowed("precondition", step=0.1), build_comparison()
    assert judge(now, before, "step_time.ratio:5%", floor=10e-3).error is None
    (found,) = judge(now, before, "step_time.ratio:5%", floor=10e-3).comparisons
    assert found.limit == pytest.approx(10e-3 / 3.8e-3, rel=0.1)


def test_a_run_that_fails_now_is_worse_whatever_was_asked():
    now = build_comparison(status="out_of_memory", message="no memory.")
    report = judge(now, build_comparison(), "optimizer_state:0%")
    assert verdicts(report)[(STATUS, "kfac")] == "worse"
    assert report.comparisons[1].note == "out of memory with seed 0: no memory"
    assert report.error.exit_code == 3


def test_a_run_that_failed_before_is_better_now():
    report = judge(build_comparison(), build_comparison(status="failed"), "optimizer_state:0%")
    assert verdicts(report)[(STATUS, "kfac")] == "better"


def test_a_run_that_diverged_both_times_does_not_pass_silently():
    losses = [0.2] * 11 + [None]
    diverged = build_comparison(status="diverged", losses=losses)
    report = judge(diverged, diverged)
    assert verdicts(report)[(STATUS, "kfac")] == "same"
    assert report.error.exit_code == 4
    assert "training_loss of kfac: it is no number" in str(report.error)


def test_a_loss_that_became_nan_is_worse():
    now = build_comparison(losses=[0.2] * 11 + [None])
    report = judge(now, build_comparison(), "training_loss:0.5%")
    assert verdicts(report)[("training_loss", "kfac")] == "worse"
    assert report.error.exit_code == 3


def test_a_regression_is_not_hidden_by_what_cannot_be_compared():
    before = build_document(*build_comparison().runs, build_run("adam"))
    report = judge(slowed("precondition", step=0.2), before, "step_time.ratio:5%")
    assert [str(problem) for problem in report.not_comparable] == ["adam: the arm has vanished, the baseline has it"]
    assert report.error.exit_code == 3


def test_times_of_another_machine_are_not_compared_and_counts_are():
    before = build_document(*build_comparison().runs, processor="Xeon")
    now = build_document(*build_comparison(mood=1).runs, processor="EPYC")
    asked = ("step_time.ratio:5%", "step_time.median:10%", "optimizer_state:0%")
    report = judge(now, before, *asked)
    assert verdicts(report) == {("optimizer_state", "sgd"): "same", ("optimizer_state", "kfac"): "same"}
    assert [problem.subject for problem in report.not_comparable] == ["step_time.ratio", "step_time.median"]
    assert "the machine is Xeon in the baseline and EPYC now; `across_machines`" in str(report.error)
    assert report.error.exit_code == 4
    allowed = judge(now, before, *asked, across_machines=True)
    assert verdicts(allowed)["step_time.ratio", "kfac"] == "same"
    assert [problem.subject for problem in allowed.not_comparable] == ["step_time.median"]
    assert judge(now, before, "optimizer_state:0%").error is None


def test_an_empty_baseline_is_refused():
    with pytest.raises(NotComparableError, match="the baseline holds no runs"):
        judge(build_comparison(), build_document())


def test_a_metric_that_only_some_arms_have_is_judged_for_those():
    report = judge(build_comparison(mood=1), build_comparison(), "phase.refresh.seconds:20%")
    assert verdicts(report) == {("phase.refresh.seconds", "kfac"): "same"}
    assert report.error is None


def test_a_metric_that_no_arm_has_is_a_problem_if_it_was_asked_for():
    report = judge(build_comparison(), build_comparison(), "phase.refesh.seconds:20%")
    assert report.error.exit_code == 4
    assert "phase.refesh.seconds: nothing has it (sgd: it has no phase refesh; kfac: " in str(report.error)


def test_a_single_arm_is_told_that_it_has_no_ratio():
    before, now = (build_document(build_run("kfac", mood=mood)) for mood in (0, 1))
    report = judge(now, before)
    assert report.error is None
    assert report.notes == ["step_time.ratio was not compared (kfac: it is the reference arm itself)."]
    assert judge(now, before, "step_time.ratio:5%").error.exit_code == 4


def test_a_new_phase_is_said():
    before = build_document(build_run("sgd"), build_run("kfac:a", every=10**6))
    bare = before.runs[1]
    kept = {name: phase for name, phase in bare.phases.items() if name != "refresh"}
    before = before.model_copy(update={"runs": [before.runs[0], bare.model_copy(update={"phases": kept})]})
    now = build_document(build_run("sgd"), build_run("kfac:a", every=10**6))
    report = judge(now, before, "phase.*.flops:0%")
    assert "phase.*.flops, kfac:a: its phase refresh is new, the baseline does not have it." in report.notes


def test_rows_come_arm_by_arm():
    report = judge(build_comparison(mood=1), build_comparison(), "training_loss:1%", "peak_memory:1%")
    assert [(found.arm, found.metric) for found in report.comparisons] == [
        ("sgd", "training_loss"),
        ("sgd", "peak_memory"),
        ("kfac", "training_loss"),
        ("kfac", "peak_memory"),
    ]


def test_the_error_names_a_few_and_counts_the_rest():
    before = build_document(
        *(build_run("sgd", seed=0, batch_size=16).model_copy(update={"label": f"a{at}"}) for at in range(6))
    )
    now = build_document(*(run.model_copy(update={"batch_size": 32}) for run in before.runs))
    assert str(judge(now, before).error).endswith(" and 3 more")


def test_fisher_errors_are_judged_by_default():
    def document(error):
        curve = FisherCurve(error_1=[error], error_2=[error])
        found = FisherErrorRecord(layer=5, layer_name=None, fisher=None, steps=[1], approximations={"kpsvd": curve})
        return build_document(fisher_errors=[found])

    assert judge(document(0.1), document(0.1)).error is None
    report = judge(document(0.102), document(0.1))
    assert verdicts(report) == {("fisher_error.kpsvd", "layer 5"): "worse"}
    assert judge(document(0.102), document(0.1), "fisher_error.kpsvd:1e-2").error is None


def test_a_hundred_equal_pairs_raise_no_alarm_and_a_tenth_is_caught_in_nearly_all():
    alarms = caught = 0
    for at in range(100):
        before, now = build_comparison(mood=3 * at, noise=0.02), build_comparison(mood=3 * at + 1, noise=0.02)
        alarms += judge(now, before, "step_time.ratio:5%").error is not None
        slower = build_comparison(mood=3 * at + 2, noise=0.01, slower={"precondition": 1.25})
        report = judge(slower, build_comparison(mood=3 * at, noise=0.01), "step_time.ratio:5%")
        caught += report.error is not None and report.comparisons[0].note.startswith("precondition")
    assert alarms <= 1
    assert caught >= 95


def test_a_report_without_comparisons_is_no_error():
    assert GateRecord(comparisons=[]).error is None


def of_processes(effects):
    """SGD, and KFAC in several processes, each slower than it is by its effect."""
    made = [
        build_run("kfac", noise=0.001, slower=dict.fromkeys(build_run("kfac").phases, 1 + effect)) for effect in effects
    ]
    restarts = [RestartRecord(steps=run.steps, phases=run.phases) for run in made[1:]]
    sgd = build_run("sgd", noise=0.001)
    again = [RestartRecord(steps=sgd.steps, phases=sgd.phases)] * len(restarts)
    return build_document(sgd.model_copy(update={"restarts": again}), made[0].model_copy(update={"restarts": restarts}))


def test_a_slow_process_is_an_alarm_only_where_processes_are_not_known_to_differ():
    single, several = (
        judge(of_processes(now), of_processes(before), "step_time.ratio:1%")
        for now, before in (((0.03,), (0.0,)), ((0.03, -0.02, 0.01), (0.0, 0.02, -0.03)))
    )
    assert [found.verdict.value for found in (*single.comparisons, *several.comparisons)] == ["worse", "inconclusive"]
    (found,) = several.comparisons
    assert found.n == 3
    assert "Times were measured in one process of each arm: their intervals" in " ".join(single.notes)
    assert not any("process" in note for note in several.notes)
    mixed = judge(of_processes((0.0, 0.01, -0.01)), of_processes((0.0,)), "step_time.ratio:1%")
    assert any("one process of each arm in the baseline: it is taken to vary" in note for note in mixed.notes)
    counted = judge(of_processes((0.0,)), of_processes((0.0,)), "phase.*.flops:0%")
    assert not any("process" in note for note in counted.notes)
