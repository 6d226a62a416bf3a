"""Studies as Python runs them: in this process, without a terminal."""

from __future__ import annotations

import math
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

from ngbench.disk.located_yaml import parse_yaml
from ngbench.errors import ParameterError, RecordError
from ngbench.experiments.runs import SilentObserver
from ngbench.experiments.studies import reproduction
from ngbench.experiments.studies.cells import Conditions, RanCell
from ngbench.experiments.studies.loader import parse_study
from ngbench.experiments.studies.models import Study
from ngbench.experiments.studies.pairs import CellRuns
from ngbench.experiments.studies.plan import PlannedCell
from ngbench.experiments.studies.reproduction import STUDY_FILE, load_studies, minutes_of_seeds, run_study
from ngbench.records.claim_rule import LOOKS
from ngbench.records.documents import dump, load_document
from ngbench.records.quantities import ArmRun
from ngbench.records.record import History
from tests.blank_run import blank_run

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
    origins = {record.label: record.optimizer.origins["lr"] for record in cell.records}
    assert origins == {"SGD": "searched", "Adam": "searched"}
    assert outcome.claims[0].basis is not None
    assert outcome.claims[0].basis.settings == {"SGD": "searched", "Adam": "searched"}
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
    assert [(str(claim.verdict), claim.reason) for claim in outcome.claims] == [
        ("not tested", "the study ended before it")
    ]


def test_a_study_that_is_given_twice_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("small.yaml").write_text(STUDY)
    with pytest.raises(ParameterError, match="the study 'small' is given twice"):
        load_studies(["./small.yaml", "./small.yaml"], tmp_path / "out", resume=False)


TWO_PLACES = STUDY.replace("batch_sizes: [16]", "batch_sizes: [8, 16]").replace(", skip: it is small", "")
CLAIMS = """claims:
  - {name: clear, says: SGD is below, measurement: training_loss, left: SGD, relation: below, right: Adam,
     batch_sizes: [8], scales: [smoke]}
  - {name: hard, says: SGD is below there too, measurement: training_loss, left: SGD, relation: below, right: Adam,
     batch_sizes: [16], scales: [smoke]}
"""


class Runs:
    """Comparisons that were asked for, and made up: at 8 the arms differ by six standard deviations, at 16 by less."""

    def __init__(self, effect: float) -> None:
        self.effect = effect
        self.asked: list[tuple[int, int | None, bool]] = []

    def __call__(self, study: Study, scale: str, cell: PlannedCell, directory: Path, how: Conditions) -> RanCell:
        assert cell.batch_size is not None
        self.asked.append((cell.batch_size, how.seeds, how.resume))
        noise = np.random.default_rng(cell.batch_size).normal(0, 0.1, 12)
        effect = 0.6 if cell.batch_size == 8 else self.effect
        arms = {"SGD": noise - effect, "Adam": 0 * noise}
        records = [
            blank_run(label=arm, seed=seed, status="done", history=_ended_at(math.exp(losses[seed])))
            for arm, losses in arms.items()
            for seed in range(how.seeds or 3)
        ]
        runs = {arm: [ArmRun(record) for record in records if record.label == arm] for arm in arms}
        return RanCell(CellRuns("curves", cell.batch_size, runs), records, directory)


def _ended_at(loss: float) -> History:
    return History(epoch=[1], step=[1], train_loss=[loss], validation_loss=[loss], elapsed_seconds=[1.0])


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Runs a study with made-up comparisons."""
    text = TWO_PLACES[: TWO_PLACES.index("claims:")] + CLAIMS
    study = parse_study(parse_yaml(text, "small.yaml")).study

    def run(effect: float = 0.0, **given: object):
        runs = Runs(effect)
        monkeypatch.setattr(reproduction, "run_cell", runs)
        outcome = run_study(study, "smoke", tmp_path, Conditions(**given))  # type: ignore[arg-type]
        if outcome.error is not None:
            raise outcome.error
        assert outcome.document is not None
        (record,) = outcome.document.studies
        return runs.asked, record, {claim.name: claim for claim in record.claims}

    return run


def test_seeds_are_added_where_a_claim_is_open(made_up) -> None:
    asked, record, claims = made_up(until_decided=True)
    assert asked == [(8, 3, False), (16, 3, False), (16, 5, True), (16, 8, True), (16, 12, True)]
    assert (record.looks, record.sequential, record.ended) == ([3, 5, 8, 12], True, None)
    assert [str(claims[name].verdict) for name in ("clear", "hard")] == ["reproduced", "inconclusive"]
    assert [claims[name].level for name in ("clear", "hard")] == [LOOKS[3], LOOKS[12]]
    assert claims["hard"].seeds_needed is None or claims["hard"].seeds_needed > 12
    assert claims["clear"].basis.seeds == 3


def test_no_seed_is_added_after_the_last_claim_is_decided(made_up) -> None:
    asked, record, claims = made_up(0.2, until_decided=True)
    assert asked[-1] == (16, record.looks[-1], True)
    assert 3 < record.looks[-1] < 12
    assert str(claims["hard"].verdict) == "reproduced"
    assert claims["hard"].p_value < 0.1


def test_no_seed_is_added_beyond_the_budget(made_up) -> None:
    asked, record, claims = made_up(until_decided=True, minutes=1e-9)
    assert asked == [(8, 3, False), (16, 3, False)]
    assert record.ended.startswith("5 seeds would take about 0.")
    assert str(claims["hard"].verdict) == "inconclusive"


def test_who_looks_again_after_more_seeds_is_judged_as_such(made_up) -> None:
    _, record, claims = made_up(seeds=3)
    assert (record.looks, record.sequential, claims["hard"].level) == ([3], False, 0.1)
    _, record, claims = made_up(seeds=3, resume=True)
    assert (record.looks, record.sequential, claims["hard"].level) == ([3], False, 0.1)
    _, record, claims = made_up(seeds=5, resume=True)
    assert (record.looks, record.sequential, claims["hard"].level) == ([3, 5], True, LOOKS[5])
    with pytest.raises(RecordError, match=r"seeds that were added until claims were decided \(`until='decided'`\)"):
        made_up(resume=True)


def test_runs_that_are_there_are_not_made_again_for_more_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reproduction, "LOOKS", {1: 0.01, 2: 0.02})
    monkeypatch.setattr(reproduction.ClaimResult, "is_open", True)
    study = parse_study(parse_yaml(STUDY.replace("tune: {trials: 1}", "tune: false"), "small.yaml")).study
    at_first: dict[Path, int] = {}
    look = reproduction._look

    def watched(*given: object) -> object:
        found = look(*given)  # type: ignore[arg-type]
        if not at_first:
            at_first.update({file: file.stat().st_mtime_ns for file in tmp_path.rglob("*-seed*.json")})
        return found

    monkeypatch.setattr(reproduction, "_look", watched)
    outcome = run_study(study, "smoke", tmp_path, conditions(Notes(), until_decided=True))
    assert outcome.error is None
    assert outcome.looks == [1, 2]
    assert len(at_first) == 2
    assert {file: file.stat().st_mtime_ns for file in at_first} == at_first
    assert len(list(tmp_path.rglob("*-seed*.json"))) == 4
    assert [record.seed for cell in outcome.ran for record in cell.records] == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("decided", None, 0), "minutes=0 is not allowed, it must be a number > 0"),
        (("decided", None, "soon"), "minutes=soon is not allowed"),
        ((None, None, 5), "minutes=5 bounds the seeds that are added, but until=decided is not given"),
        (("decided", 3, None), "seeds=3 is not allowed where seeds are added"),
        (("bored", None, None), "until=bored is not allowed, it must be decided, or left out"),
    ],
)
def test_budgets_that_are_none_are_refused(given: tuple, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        minutes_of_seeds(*given)
    assert minutes_of_seeds("decided", None, "2.5") == 2.5
