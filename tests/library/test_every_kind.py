"""What a document of each kind says, lists and draws, as its record and the command's view have it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

import ngbench
from ngbench.records.documents import load_document
from ngbench.records.experiments import (
    CheckRecord,
    ConformanceRecord,
    DoctorRecord,
    FindingRecord,
    FindingState,
    PluginRecord,
)
from ngbench.records.gate import check
from ngbench.records.record import Document
from ngbench.records.thresholds import parse_threshold
from ngbench.report import view
from ngbench.report.blocks import Changes, Chart
from ngbench.report.exports.tidy import tidy
from tests.report.conftest import build_png

FILES = Path(__file__).parents[1] / "records" / "data" / "version-1"
RUNS = load_document(FILES / "compare.json")
BAD = FindingRecord(topic="clock", state=FindingState.BAD, fact="it stands", advice="wind it", values={"ticks": 0})
GOOD = FindingRecord(topic="memory", state=FindingState.GOOD, fact="enough", advice="", values={})
CHECKS = [
    CheckRecord(name=name, status=status, message="so", values={})
    for name, status in (("a", "passed"), ("b", "failed"))
]


def of(**parts: Any) -> ngbench.ResultDocument:
    return ngbench.ResultDocument.of(Document(environment=RUNS.environment, runs=[], **parts))


GATE = of(gate=check(RUNS, RUNS, [parse_threshold("step_time:5%"), parse_threshold("training_loss:1%")], floor=0.0))
DOCTOR = of(doctor=DoctorRecord(findings=[BAD, GOOD]))
PLUGINS = of(
    conformance=ConformanceRecord(plugins=[PluginRecord(plugin="p", kind="task", distribution=None, checks=CHECKS)])
)


@pytest.fixture
def study(tmp_path: Path) -> ngbench.ResultDocument:
    shutil.copy(FILES / "study.json", tmp_path / "study.json")
    (tmp_path / "figure.png").write_bytes(build_png(400, 200))
    return ngbench.load(tmp_path)


def test_a_search_lists_its_trials_and_draws_them_with_the_best_so_far() -> None:
    found = ngbench.load(FILES / "tune.json")
    assert found.search is not None
    trials = [(label, trial) for label, arm in found.search.arms.items() for trial in arm.trials]
    rows = tidy(found).rows
    assert [(row["arm"], row["trial"], row["value"], row["outcome"]) for row in rows] == [
        (label, trial.trial, trial.value, trial.outcome) for label, trial in trials
    ]
    for row, (_, trial) in zip(rows, trials, strict=True):
        assert {key: row[f"hyperparameter.{key}"] for key in trial.settings} == trial.settings
    (chart,) = [block for block in view(found) if isinstance(block, Chart)]
    for one in chart.series:
        arm = found.search.arms[one.label]
        assert list(one.views["value"].mean) == [trial.value for trial in arm.trials if trial.value is not None]
        assert one.views["best"].mean[-1] == arm.score
    assert len(found.figure().axes) == 2


def test_the_best_so_far_is_the_highest_of_a_metric_that_is_maximised() -> None:
    found = ngbench.load(FILES / "tune.json")
    assert found.search is not None
    turned = found.model_copy(update={"search": found.search.model_copy(update={"direction": "maximize"})})
    (chart,) = [block for block in view(turned) if isinstance(block, Chart)]
    assert all(one.views["best"].mean[-1] == max(one.views["value"].mean) for one in chart.series)


def test_a_study_lists_its_claims_and_shows_its_figure(study: ngbench.ResultDocument) -> None:
    claims = [claim for one in study.studies for claim in one.claims]
    rows = tidy(study).rows
    assert [(row["claim"], row["verdict"]) for row in rows] == [(claim.claim, claim.verdict.value) for claim in claims]
    assert [(row["low"], row["high"]) for row in rows] == [claim.interval or (None, None) for claim in claims]
    (axes,) = study.figure().axes
    assert axes.images[0].get_array().shape[:2] == (200, 400)
    with pytest.raises(ngbench.UsageError, match="nothing to draw: no figure lies beside the study"):
        ngbench.load(FILES / "study.json").figure()


def test_a_check_lists_what_was_compared_and_draws_changes_with_their_intervals() -> None:
    assert GATE.gate is not None
    compared = GATE.gate.comparisons
    assert [(row["metric"], row["arm"], row["verdict"], row["low"], row["high"]) for row in tidy(GATE).rows] == [
        (one.metric, one.arm, one.verdict.value, one.low, one.high) for one in compared
    ]
    (drawn,) = [block for block in view(GATE) if isinstance(block, Changes)]
    changed = [one for one in compared if one.relative_change is not None and one.baseline]
    assert [row.label for row in drawn.rows] == [f"{one.metric}, {one.arm}" for one in changed]
    for row, one in zip(drawn.rows, changed, strict=True):
        assert one.baseline is not None
        assert row.value == 100 * (one.relative_change or 0.0)
        if one.low is not None and one.high is not None:
            assert row.ends == pytest.approx((100 * one.low / abs(one.baseline), 100 * one.high / abs(one.baseline)))
            assert row.ends[0] <= row.value <= row.ends[1]
    assert [text.get_text() for text in GATE.figure().axes[0].get_yticklabels()] == [row.label for row in drawn.rows]


def test_findings_of_a_machine_are_rows_and_those_that_matter_sentences() -> None:
    assert [(row["topic"], row["state"], row["fact"]) for row in tidy(DOCTOR).rows] == [
        ("clock", "bad", "it stands"),
        ("memory", "good", "enough"),
    ]
    assert "clock: it stands → wind it" in DOCTOR.summary()
    assert "memory" not in DOCTOR.summary()
    with pytest.raises(ngbench.UsageError, match=r"nothing to draw: .*; summary\(\) and to_frame\(\) say"):
        DOCTOR.figure()


def test_checks_of_plugins_are_rows() -> None:
    rows = tidy(PLUGINS).rows
    assert [(row["plugin"], row["kind"], row["name"], row["status"]) for row in rows] == [
        ("p", "task", "a", "passed"),
        ("p", "task", "b", "failed"),
    ]
    assert "1 passed, 1 failed" in PLUGINS.summary()
    with pytest.raises(ngbench.UsageError, match="nothing to draw"):
        PLUGINS.figure()


@pytest.mark.parametrize("name", ["train", "compare", "gan", "fisher-error", "tune"])
def test_every_command_that_runs_something_leaves_a_frame_and_a_figure(name: str) -> None:
    found = ngbench.load(FILES / f"{name}.json")
    assert len(found.to_frame())
    assert found.summary()
    assert isinstance(found.figure(), Figure)
