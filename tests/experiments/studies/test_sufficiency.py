"""Runs that say nothing of a claim, what a verdict rests on, and how much of the claim it is about."""

from __future__ import annotations

from typing import Any

import pytest

from ngbench.experiments.studies.coverage import all_cells
from ngbench.experiments.studies.evaluation import evaluate
from ngbench.experiments.studies.loader import find_study, load_study
from ngbench.experiments.studies.pairs import CellRuns
from ngbench.experiments.studies.published import PublishedArm, PublishedCurve
from ngbench.experiments.studies.verdicts import claim_record
from ngbench.records.studies import ClaimRecord, ClaimVerdict

R, C, Q, N = ClaimVerdict.REPRODUCED, ClaimVerdict.CONTRADICTED, ClaimVerdict.INCONCLUSIVE, ClaimVerdict.NOT_TESTED
CLAIM = "left: KFAC 0.1, relation: below, right: Adam"


@pytest.fixture
def judge(parse, run):
    """The record of the claim, where both arms ran three seeds of the epochs given by ``losses``."""

    def judge(*changes, published=None, fields=None, losses=None, **options) -> ClaimRecord:
        losses = losses or {"Adam": [0.9, 0.8], "KFAC 0.1": [0.7, 0.5]}
        arms = {
            arm: [
                run(arm, [loss * (1 + 0.001 * seed) for loss in values], seed=seed, **(fields or {}).get(arm, {}))
                for seed in range(3)
            ]
            for arm, values in losses.items()
        }
        cell = CellRuns("toy", 64, arms, published=published or {})
        (result,) = evaluate(parse(*changes).study, "laptop", [cell], **options)
        return claim_record("mine", result)

    return judge


def _steps(total: int, refreshes: int) -> dict[str, Any]:
    return {"steps": {"seconds": [0.1] * total, "kind": ["refresh"] * refreshes + ["plain"] * (total - refreshes)}}


@pytest.mark.parametrize(("estimates", "verdict"), [(9, N), (10, R)])
def test_a_curvature_that_was_estimated_nine_times_says_nothing_of_training(judge, estimates, verdict):
    found = judge(fields={"KFAC 0.1": _steps(20, estimates)})
    assert (found.verdict, found.kind) == (verdict, "training")
    if verdict is N:
        assert found.reason == "the curvature was estimated 9 times, fewer than 10"
        assert found.parts[0].left == pytest.approx(0.5005)
        assert (found.basis.estimates, found.basis.seeds) == (9, 3)
        assert judge((CLAIM, f"{CLAIM}, estimates: 9"), fields={"KFAC 0.1": _steps(20, 9)}).verdict is R
    else:
        assert found.basis.estimates == 10


def test_an_arm_that_estimates_in_each_step_has_enough(judge):
    found = judge(fields={"KFAC 0.1": _steps(5, 5)})
    assert (found.verdict, found.basis.estimates) == (R, None)


@pytest.mark.parametrize(("constant", "verdict"), [(0.8078, N), (0.81, R)])
def test_an_arm_at_the_loss_of_a_constant_has_not_trained(judge, constant, verdict):
    found = judge(fields={"Adam": {"constant_loss": constant}})
    assert found.verdict is verdict
    if verdict is N:
        assert found.reason == (
            "Adam (toy-64) is untrained: its loss 0.8008 is not 1 % below 0.8078, that of the best constant prediction"
        )
        assert judge((CLAIM, f"{CLAIM}, kind: cost"), fields={"Adam": {"constant_loss": constant}}).verdict is R


@pytest.mark.parametrize(
    ("status", "how"), [("interrupted", "was interrupted"), ("running", "was interrupted"), ("killed", "was killed")]
)
def test_runs_that_were_cut_off_test_nothing(judge, status, how):
    found = judge(fields={"KFAC 0.1": {"status": status}})
    assert (found.verdict, found.reason) == (N, f"KFAC 0.1 (toy-64) {how}")


def _published(*values: float, examples: int = 9) -> PublishedArm:
    epochs = [float(epoch) for epoch in range(1, len(values) + 1)]
    return PublishedArm({"training_loss": PublishedCurve(epochs, list(values), None, "a device")}, examples, None)


def test_before_the_horizon_of_the_published_curves_nothing_is_tested(judge):
    """The published KFAC is below from the third epoch on; ours ran two as long, or four of half as many examples."""
    published = {"Adam": _published(0.9, 0.8, 0.7, 0.6), "KFAC 0.1": _published(0.8, 0.9, 0.6, 0.4)}
    early = judge(published=published)
    assert early.verdict is N
    assert early.reason == "before the horizon: 2.00 of the 3 epochs that the thesis' own curves need"
    assert (early.published.here, early.published.end, early.published.horizon) == (C, R, 3)
    longer = {"Adam": [0.9, 0.8, 0.8, 0.8], "KFAC 0.1": [0.7, 0.5, 0.5, 0.5]}
    later = judge(published=published, losses=longer)
    assert (later.verdict, later.published.here) == (R, R)
    assert (later.basis.epochs, later.basis.of_published, later.basis.published_epochs) == (4, 4.0, 4)
    twice = {arm: _published(*one.curves["training_loss"].values, examples=18) for arm, one in published.items()}
    assert judge(published=twice, losses=longer).reason.startswith("before the horizon: 2.00 of the 3 epochs")


def test_a_claim_that_the_published_curves_contradict_is_not_tested_and_says_so(judge):
    published = {"Adam": _published(0.9, 0.8), "KFAC 0.1": _published(0.8, 0.9)}
    found = judge(published=published)
    assert (found.verdict, found.reason) == (N, "the thesis' own curves contradict it")
    assert (found.published.end, found.published.horizon) == (C, None)


def test_published_curves_are_compared_as_far_as_both_go(judge):
    """The published KFAC ended before Adam's got below it."""
    published = {"Adam": _published(0.9, 0.8, 0.5, 0.2), "KFAC 0.1": _published(0.8, 0.7)}
    found = judge(published=published, losses={"Adam": [0.9, 0.8, 0.8, 0.8], "KFAC 0.1": [0.7, 0.5, 0.5, 0.5]})
    assert (found.verdict, found.published.here, found.published.end, found.published.horizon) == (R, R, R, 1)


def test_an_arm_without_a_published_curve_has_no_horizon(judge):
    found = judge(published={"KFAC 0.1": _published(0.8, 0.9)})
    assert (found.verdict, found.published.end, found.basis.of_published) == (R, None, None)


def test_the_last_published_epoch_counts_for_what_is_said_of_an_early_one(judge):
    published = {"Adam": _published(0.9, 0.8, 0.7), "KFAC 0.1": _published(0.8, 0.9, 0.9)}
    found = judge((CLAIM, f"{CLAIM}, at: {{epoch: 1}}"), published=published)
    assert (found.verdict, found.published.end, found.published.horizon) == (R, R, 1)


def test_a_verdict_says_what_it_rests_on(judge):
    whose = {"optimizer": {"name": "kfac", "hyperparameters": {"lr": 1}, "origins": {"lr": "searched"}}}
    found = judge(fields={"KFAC 0.1": {**whose, **_steps(20, 12)}})
    assert found.basis.model_dump() == {
        "seeds": 3,
        "epochs": 2,
        "of_published": None,
        "published_epochs": None,
        "estimates": 12,
        "settings": {"KFAC 0.1": "searched", "Adam": "unknown"},
        "data": ["stand-in"],
    }


@pytest.mark.parametrize(
    ("measurement", "kind"),
    [
        ("training_loss", "training"),
        ("metric.accuracy", "training"),
        ("epochs_to_target", "training"),
        ("seconds_per_epoch", "cost"),
        ("phase.refresh.seconds", "cost"),
        ("phase.refresh.flops", "count"),
        ("exact_angle", "approximation"),
    ],
)
def test_the_measurement_tells_the_kind(parse, measurement, kind):
    changed = parse(("measurement: training_loss", f"measurement: {measurement}"))
    assert changed.study.claims[0].shown_kind == kind


def test_what_is_proven_has_to_be_said() -> None:
    kinds = {
        name: {claim.name for claim in load_study(find_study(name)).study.claims if claim.shown_kind == "theorem"}
        for name in ("figure-3.1", "figure-4.4", "table-3.1")
    }
    assert kinds == {
        "figure-3.1": {"deflation-best", "deflation-never-beaten", "error-1-below-kfac", "rank-improves"},
        "figure-4.4": {"gaps-negative"},
        "table-3.1": set(),
    }


def test_what_did_not_run_counts(parse, run):
    """Of two batch sizes and two arms one of each ran."""
    study = parse((CLAIM, "left: [KFAC 0.1, KFAC 0.01], relation: below, right: Adam")).study
    small = study.model_copy(
        update={
            "scales": study.scales.model_copy(
                update={
                    "laptop": study.scales.laptop.model_copy(
                        update={"batch_sizes": (64,), "arms": ("Adam", "KFAC 0.1")}
                    )
                }
            )
        }
    )
    arms = {
        arm: [run(arm, [loss + 0.01 * (seed == lucky)], seed=seed) for seed in range(3)]
        for lucky, (arm, loss) in enumerate((("Adam", 0.9), ("KFAC 0.1", 0.5)))
    }
    cells = all_cells(small, "laptop", [CellRuns("toy", 64, arms)])
    assert [(cell.name, sorted(cell.arms)) for cell in cells] == [
        ("toy-64", ["Adam", "KFAC 0.01", "KFAC 0.1"]),
        ("toy-128", ["Adam", "KFAC 0.01", "KFAC 0.1"]),
    ]
    (result,) = evaluate(small, "laptop", cells)
    record = claim_record("mine", result)
    assert (record.cells, record.cells_tested, record.pairs, record.pairs_tested) == (2, 1, 4, 1)
    assert (record.verdict, record.shown_verdict) == (R, "reproduced on 1 of 2 cells")
    notes = {part.subject: part.note for part in record.parts}
    assert notes["KFAC 0.01 below Adam (toy-64)"] == "KFAC 0.01 does not run at this scale"
    assert notes["KFAC 0.1 below Adam (toy-128)"] == "toy-128 does not run at this scale"
    # One pair is enough to contradict a claim about all.
    swapped = {"Adam": arms["KFAC 0.1"], "KFAC 0.1": arms["Adam"]}
    (result,) = evaluate(small, "laptop", all_cells(small, "laptop", [CellRuns("toy", 64, swapped)]))
    assert claim_record("mine", result).shown_verdict == "contradicted"


def test_a_batch_size_of_its_own_stands_in_the_place_of_one_of_the_full_scale() -> None:
    study = load_study(find_study("figure-3.4")).study
    names = [cell.name for cell in all_cells(study, "laptop", [])]
    assert names == ["cuda-convnet-128", "resnet34-64", "resnet18-128"]
