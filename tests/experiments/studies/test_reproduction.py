"""Studies as Python runs them: in this process, without a terminal."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

import pytest

from ngbench.disk.located_yaml import parse_yaml
from ngbench.errors import ParameterError
from ngbench.experiments.runs import SilentObserver
from ngbench.experiments.studies.cells import Conditions
from ngbench.experiments.studies.loader import parse_study
from ngbench.experiments.studies.reproduction import STUDY_FILE, load_studies, run_study
from ngbench.records.documents import dump, load_document

STUDY = dedent(
    """
    study: small
    title: Small curves
    source: our own
    question: Do both run?
    measure: compare
    panels: [{name: curves, task: curves-autoencoder, set: {examples: 32, reduction: 4}, batch_sizes: [16]}]
    arms:
      - {name: SGD, optimizer: sgd, hyperparameters: {lr: 0.01}}
      - {name: Adam, optimizer: adam, hyperparameters: {lr: 0.01}}
    tune: {space: {lr: [0.1, 0.01]}, steps: 1}
    scales:
      smoke: {minutes: 0.1, steps: 2, seeds: 2, tune: {trials: 1}}
      laptop: {minutes: 0.1, steps: 2}
      full: {minutes: 0, skip: it is small}
    figure: {rows: [[{panel: curves}]]}
    claims:
      - {name: counted, says: SGD has no more state, measurement: optimizer_state, left: SGD, relation: at_most,
         right: Adam, scales: [smoke]}
    """
)


class Notes(SilentObserver):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, line: str) -> None:
        self.lines.append(line)


def conditions(notes: Notes, **given: object) -> Conditions:
    @contextmanager
    def watch(measure: str):
        assert measure == "compare"
        yield notes

    return Conditions(own_processes=False, count_operations=False, watch=watch, **given)  # type: ignore[arg-type]


def test_a_study_is_searched_run_judged_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study, notes = parse_study(parse_yaml(STUDY, "small.yaml")).study, Notes()
    outcome = run_study(study, "smoke", tmp_path, conditions(notes))
    assert (outcome.error, outcome.failed, outcome.interrupted) == (None, False, False)
    assert [(claim.name, str(claim.verdict)) for claim in outcome.claims] == [("counted", "reproduced")]
    (cell,) = outcome.ran
    assert sorted((record.label, record.seed) for record in cell.records) == [
        ("Adam", 0),
        ("Adam", 1),
        ("SGD", 0),
        ("SGD", 1),
    ]
    # Each ran with what its search, of one trial of two values, found.
    tried = {record.label: record.optimizer.hyperparameters["lr"] for record in cell.records}
    assert all(
        any(f"tuning {label}: trial 1 of 1, lr={lr}" in line for line in notes.lines) for label, lr in tried.items()
    )
    assert notes.lines[0] == "small (smoke): curves, 2 arms"
    assert outcome.document is not None
    assert dump(load_document(tmp_path / "small" / STUDY_FILE)) == dump(outcome.document)
    assert capsys.readouterr().out == ""


def test_what_goes_wrong_is_in_the_outcome(tmp_path: Path) -> None:
    text = STUDY.replace("steps: 2, seeds: 2, tune: {trials: 1}", "steps: 2, tune: false")
    study = parse_study(parse_yaml(text, "small.yaml")).study
    (tmp_path / "small" / "curves-16").mkdir(parents=True)
    (tmp_path / "small" / "curves-16" / "SGD-seed0.json").write_text("{")
    outcome = run_study(study, "smoke", tmp_path, conditions(Notes(), resume=True))
    assert outcome.error is not None
    assert "SGD-seed0.json" in str(outcome.error)
    assert [str(claim.verdict) for claim in outcome.claims] == ["inconclusive"]


def test_a_study_that_is_given_twice_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("small.yaml").write_text(STUDY)
    with pytest.raises(ParameterError, match="the study 'small' is given twice"):
        load_studies(["./small.yaml", "./small.yaml"], tmp_path / "out", resume=False)
