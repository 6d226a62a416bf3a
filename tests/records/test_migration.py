"""Files that commands wrote in schema version 1 are read as documents of today."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from ngbench.errors import RecordError
from ngbench.records.documents import dump, load_document, parse_run
from ngbench.records.record import Document

OLD = Path(__file__).parent / "data" / "version-1"


def old(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((OLD / f"{name}.json").read_text())
    return content


def read(tmp_path: Path, content: dict[str, Any]) -> Document:
    path = tmp_path / "old.json"
    path.write_text(json.dumps(content))
    return load_document(path)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("train", "run"),
        ("compare", "comparison"),
        ("gan", "gan"),
        ("fisher-error", "fisher-error"),
        ("fisher-error-layers", "fisher-error"),
        ("tune", "search"),
        ("study", "study"),
        ("reproduce", "study"),
        ("study-run", "run"),
    ],
)
def test_every_command_s_file_is_read_whole_and_written_in_the_form_of_today(name: str, kind: str) -> None:
    document = load_document(OLD / f"{name}.json")
    assert document.kind == kind
    assert document.extras == {}
    assert all(run.extras == {} for run in document.runs)
    written = json.loads(dump(document))
    assert written["schema_version"] == 2
    jsonschema.validate(written, Document.model_json_schema())
    assert Document.model_validate(written) == document


def test_what_a_run_holds_is_what_it_held() -> None:
    (run,), (before,) = load_document(OLD / "train.json").runs, old("train")["runs"]
    assert run.history.train_loss == before["history"]["train_loss"]
    assert run.budget.steps == before["budget"]["steps"]
    assert run.memory.source == before["memory"]["source"]
    assert run.steps.seconds == before["steps"]["seconds"]
    (run,), (before,) = load_document(OLD / "gan.json").runs, old("gan")["runs"]
    assert [(sample.epoch, sample.path) for sample in run.samples] == [(1, "samples/a.png")]
    assert run.history.metrics == before["history"]["metrics"]


def test_one_layer_s_fisher_error_and_those_of_several_are_lists() -> None:
    (run,), (before,) = load_document(OLD / "fisher-error.json").runs, old("fisher-error")["runs"]
    (error,) = run.fisher_errors
    assert error.approximations["kfac"].error_1 == before["fisher_error"]["approximations"]["kfac"]["error_1"]
    assert run.step_losses == before["step_losses"]
    (run,) = load_document(OLD / "fisher-error-layers.json").runs
    assert [error.layer for error in run.fisher_errors] == [1, 2]


def test_a_search_its_trials_and_their_runs() -> None:
    document, before = load_document(OLD / "tune.json"), old("tune")
    assert document.search is not None
    arm, was = document.search.arms["sgd"], before["tuning"]["arms"]["sgd"]
    assert (arm.score, arm.outcomes) == (was["score"], was["outcomes"])
    assert [trial.value for trial in arm.trials] == [trial["value"] for trial in was["trials"]]
    mark = document.runs[0].trial
    assert mark is not None
    assert {"arm": mark.arm, "trial": mark.trial} == before["runs"][0]["tuning"]


def test_studies_have_their_claims_and_runs_know_their_study() -> None:
    (study,) = load_document(OLD / "study.json").studies
    before = old("study")
    assert (study.study, study.scale, study.definition) == ("mine", "smoke", before["definition"])
    assert [claim.verdict.value for claim in study.claims] == [claim["verdict"] for claim in before["claims"]]
    assert [part.subject for part in study.claims[0].parts] == ["Adam below SGD (small-10)"]
    (study,) = load_document(OLD / "reproduce.json").studies
    assert (study.title, study.source, len(study.claims)) == ("Curves", None, 1)
    assert load_document(OLD / "study-run.json").part_of == old("study-run")["study"]


def test_claims_without_a_study_make_one(tmp_path: Path) -> None:
    content = old("train")
    content["claims"] = [{"study": name, "claim": "c", "verdict": "reproduced"} for name in ("a", "b", "a")]
    document = read(tmp_path, content)
    assert [(study.study, len(study.claims)) for study in document.studies] == [("a", 2), ("b", 1)]


def test_keys_of_others_are_kept_at_every_level(tmp_path: Path) -> None:
    content = old("train")
    content["laboratory"] = "here"
    content["runs"][0]["mine"] = {"deep": [1]}
    content["runs"][0]["phases"]["forward"]["joules"] = 2.5
    content["environment"]["rack"] = 4
    document = read(tmp_path, content)
    assert document.extras == {"laboratory": "here", "environment.rack": 4}
    assert document.runs[0].extras == {"mine": {"deep": [1]}, "phases.forward.joules": 2.5}


def test_a_diagnostic_keeps_its_numbers(tmp_path: Path) -> None:
    content = old("train")
    content["runs"][0]["diagnostics"] = {"gap": [[1, 0.5], [2, None], 3, "x", [4], ["5", 1.0], [6, [1]], [7, 2]]}
    assert read(tmp_path, content).runs[0].diagnostics == {"gap": [(1, 0.5), (2, None), (7, 2.0)]}


@pytest.mark.parametrize("key", ["threads", "budget", "steps", "started_at"])
def test_what_version_1_did_not_ask_for_may_be_missing(tmp_path: Path, key: str) -> None:
    content = old("train")
    del content["runs"][0][key]
    assert read(tmp_path, content).runs[0].label == "kfac"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda content: content["runs"][0].pop("status"), "runs.0.status: Field required"),
        (lambda content: content.update(claims={}), "studies.0"),
        (lambda content: content.update(claims=[{"study": "a", "claim": "b"}]), "studies.0.claims.0.verdict: Field"),
        (lambda content: content.update(claims=[3]), "studies"),
        (lambda content: content.update(tuning=[1]), "tuning"),
        (lambda content: content["runs"][0].update(fisher_error=1), "runs.0.fisher_errors.0"),
        (lambda content: content["runs"][0].update(samples=[{"epoch": 1}]), "either a path or a png"),
    ],
)
def test_what_is_not_of_the_form_is_refused(tmp_path: Path, change: Any, said: str) -> None:
    content = old("train")
    change(content)
    if said == "tuning":
        assert read(tmp_path, content).extras == {"tuning": [1]}
        return
    with pytest.raises(RecordError, match=r"old\.json' is invalid at") as refused:
        read(tmp_path, content)
    assert said in str(refused.value)


def test_the_report_of_a_check_is_refused_by_its_version() -> None:
    with pytest.raises(RecordError, match="the report of a check in schema version 1, which is not read"):
        load_document(OLD / "check.json")


def test_the_run_of_a_checkpoint_is_read() -> None:
    text = json.dumps(old("train")["runs"][0])
    assert parse_run(text, 1) == load_document(OLD / "train.json").runs[0]
    with pytest.raises(ValueError, match="tuning"):
        parse_run(json.dumps({**json.loads(text), "tuning": {}}))
