"""Claims on the published curves in the place of runs: what they bear out, from when on, and what they contradict."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from ngbench.experiments.studies.coverage import all_cells
from ngbench.experiments.studies.evaluation import evaluate
from ngbench.experiments.studies.loader import find_study, load_study, study_names
from ngbench.experiments.studies.models import Selector
from ngbench.experiments.studies.published import published_arm
from ngbench.experiments.studies.verdicts import claim_record
from ngbench.records.quantities import ArmRun
from ngbench.records.studies import ClaimRecord, ClaimVerdict
from tests.blank_run import blank_run

R, C = ClaimVerdict.REPRODUCED, ClaimVerdict.CONTRADICTED

CONTRADICTED_BY_THE_THESIS = {
    "figure-3.2": {"faster-than-baselines-by-time"},
    "figure-3.3": {"keeps-what-it-reached"},
    "figure-3.4": {"kfac-faster-than-all-pairs"},
    "figure-4.2": {"no-gain-at-equal-damping", "curves-overlaid-at-equal-damping"},
    "figure-4.3": {"two-level-ahead", "previous-ahead"},
    "figure-4.5": {"block-diagonal-ahead-of-exact"},
    "figure-4.6": {"kfac-ahead", "kfac-ahead-by-time"},
    "figure-4.7": {"blocks-ahead-of-normal"},
    "figure-5.8": {"kfac-ahead-by-epoch", "kfac-ahead-by-time"},
    "figure-5.10": {"kfac3-gap-grows", "adam-ahead-of-sgda", "slow-and-fast"},
}
"""Claims of the text that the thesis' own curves contradict at their end, for at least one pair of arms."""


@cache
def judged(name: str) -> dict[str, ClaimRecord]:
    """The claims of a study whose seeds came out exactly as the published curves did."""
    study = load_study(find_study(name)).study
    cells = all_cells(study, "full", [])
    ran = []
    for cell in cells:
        # Some published runs are shorter than those beside them.
        beside = [arm for other in cells if other.panel == cell.panel for arm in other.published.values()]
        last = min((arm.epochs()[-1] for arm in beside), default=0)
        runs = {arm: _as_ours(found.run(arm, last), found.examples) for arm, found in cell.published.items()}
        ran.append(replace(cell, arms={**cell.arms, **runs}))
    results = evaluate(study, "full", ran)
    return {result.claim.name: claim_record(name, result) for result in results}


def _as_ours(published: ArmRun, examples: int) -> list[ArmRun]:
    """Eight seeds with these numbers, and epochs of so many examples."""
    record = published.record
    data = blank_run().data.model_copy(update={"train_examples": examples})
    players = record.adversarial and record.adversarial.model_copy(update={"players": {}})
    done = {"label": record.label, "status": "done", "batch_size": examples, "data": data, "history": record.history}
    return [ArmRun(blank_run(**done, seed=seed).model_copy(update={"adversarial": players})) for seed in range(8)]


PUBLISHED = [name for name in study_names() if load_study(find_study(name)).study.published is not None]


@pytest.mark.parametrize("name", PUBLISHED)
def test_no_claim_contradicts_the_end_of_the_thesis_or_it_says_that_the_thesis_does(name: str) -> None:
    for claim, record in judged(name).items():
        assert record.verdict is not C, claim
        if record.kind == "training" and (record.holds == "all" or record.published.end is C):
            own = [part for part in record.parts if part.published.end is C]
            assert all(part.note == "the thesis' own curves contradict it" for part in own)
        assert (record.published.end is C) == (claim in CONTRADICTED_BY_THE_THESIS.get(name, set())), claim
        if record.published.end is R and record.kind == "training":
            assert record.verdict is R or "before the horizon" in (record.reason or ""), claim


HORIZONS = [
    ("figure-3.2", "deflation-faster-than-kfac-by-epoch", 30),
    ("figure-3.2", "lanczos-faster-than-kfac-by-epoch", 10),
    ("figure-3.2", "kfac-level-with-kpsvd", 1),
    ("figure-4.5", "kfac-ahead", 20),
    ("figure-4.8", "blocks-ahead-of-normal", 50),
    ("figure-5.7", "gap-to-sgd-grows", 50),
    ("figure-5.8", "gap-to-sgd-grows", 30),
]


@pytest.mark.parametrize(("study", "claim", "epoch"), HORIZONS)
def test_horizons_are_read_off_the_published_curves(study: str, claim: str, epoch: int) -> None:
    assert judged(study)[claim].published.horizon == epoch


def test_the_horizon_is_the_first_epoch_from_which_one_curve_stays_below_the_other() -> None:
    deflation, kfac = (
        published_arm("3.2/3.3", "curves-autoencoder", 256, Selector(optimizer=name)) for name in ("deflation", "kfac")
    )
    assert deflation is not None
    assert kfac is not None
    pairs = zip(*(arm.curves["training_loss"].values for arm in (deflation, kfac)), strict=True)
    above = [ours > theirs for ours, theirs in pairs]
    assert any(above)
    assert deflation.epochs()[len(above) - above[::-1].index(True)] == 30


def test_a_published_run_is_known_between_its_points_and_not_before_the_first() -> None:
    arm = published_arm("5.10", "gan-mnist", 512, Selector(optimizer="kfac2"))
    assert arm is not None
    assert arm.epochs()[:4] == [1, 2, 7, 8]
    run = arm.run("KFAC2", 5)
    epochs, scores = run.record.history.epoch, run.record.history.metrics["fid"]
    assert epochs == [1, 2, 5]
    (first, then), (low, high) = (side[:2] for side in arm.curves["fid"].points)
    assert scores == [None, *(pytest.approx(low + (at - first) / (then - first) * (high - low)) for at in (2, 5))]
    assert published_arm("5.10", "gan-mnist", 64, Selector(optimizer="kfac2")) is None
