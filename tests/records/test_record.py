from __future__ import annotations

import json
import math
from pathlib import Path

import jsonschema
import pytest

from ngbench.errors import RecordError
from ngbench.records.documents import dump, load_document, merge
from ngbench.records.experiments import outcome_help
from ngbench.records.record import SCHEMA_VERSION, Document, status_help


def content(label="sgd", seed=0, **run):
    return {
        "schema_version": SCHEMA_VERSION,
        "environment": {
            "ngbench": "0.1.0",
            "python": "3.11",
            "platform": "Linux",
            "processor": "cpu",
            "cores": 2,
            "memory_bytes": 1,
        },
        "runs": [
            {
                "label": label,
                "task": "curves-autoencoder",
                "task_options": {},
                "data": {
                    "name": "CURVES",
                    "origin": "generated",
                    "description": "generated",
                    "digest": "00",
                    "train_examples": 16000,
                    "validation_examples": 4000,
                },
                "optimizer": {"name": "sgd", "hyperparameters": {"lr": 0.3}},
                "seed": seed,
                "device": "cpu",
                "dtype": "float32",
                "batch_size": 256,
                "threads": None,
                "budget": {"epochs": 2},
                "status": "done",
                "parameters": None,
                "started_at": None,
                "steps": {},
                "history": {
                    "epoch": [1, 2],
                    "step": [63, 126],
                    "train_loss": [0.2, 0.1],
                    "validation_loss": [0.2, None],
                    "elapsed_seconds": [1.0, 2.0],
                },
                "phases": {"forward": {"seconds_total": 1.0, "calls": 126, "flops": 10}},
                "memory": {"peak_bytes": 1},
                **run,
            }
        ],
    }


def write(path, value):
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def test_dump_and_load_are_inverse(tmp_path):
    document = Document.model_validate(content())
    assert load_document(write(tmp_path / "record.json", dump(document))) == document


def test_dumped_documents_follow_the_published_schema():
    schema = Document.model_json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(dump(Document.model_validate(content()))), schema)


@pytest.mark.parametrize(
    ("key", "value"), [("status", "finished"), ("batch_size", 0), ("seed", "zero"), ("data", {"name": "CURVES"})]
)
def test_schema_and_loader_refuse_the_same_values(tmp_path, key, value):
    bad = content(**{key: value})
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(bad, Document.model_json_schema())
    with pytest.raises(RecordError, match=rf"invalid at runs\.0\.{key}"):
        load_document(write(tmp_path / "record.json", bad))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_become_null(value):
    history = {
        "epoch": [1],
        "step": [1],
        "train_loss": [value],
        "validation_loss": [value],
        "elapsed_seconds": [1.0],
        "metrics": {"accuracy": [value]},
    }
    record = content(history=history, target_loss=value, optimizer={"name": "x", "hyperparameters": {"lr": value}})
    document = Document.model_validate(record)
    assert document.runs[0].history.train_loss == [None]
    run = json.loads(dump(document), parse_constant=pytest.fail)["runs"][0]
    assert run["history"]["metrics"]["accuracy"] == [None]
    assert run["target_loss"] is None
    assert run["optimizer"]["hyperparameters"]["lr"] is None


@pytest.mark.parametrize("place", ["", "runs.0", "runs.0.phases.forward", "environment"])
def test_a_key_that_is_not_declared_is_refused_at_every_level(tmp_path, place):
    bad = content()
    part = bad
    for key in filter(None, place.split(".")):
        part = part[int(key) if isinstance(part, list) else key]
    part["joules"] = 2.5
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(bad, Document.model_json_schema())
    with pytest.raises(RecordError, match=r"joules: there is no such key; what is your own stands under extras"):
        load_document(write(tmp_path / "record.json", bad))


@pytest.mark.parametrize(
    "key",
    ["task_options", "threads", "budget", "status", "parameters", "history", "steps", "phases", "memory", "started_at"],
)
def test_what_every_run_has_must_be_there(tmp_path, key):
    bad = content()
    del bad["runs"][0][key]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(bad, Document.model_json_schema())
    with pytest.raises(RecordError, match=rf"invalid at runs\.0\.{key}: Field required"):
        load_document(write(tmp_path / "record.json", bad))


def test_what_is_of_others_is_kept(tmp_path):
    extended = content(extras={"deep": [1]}) | {"extras": {"laboratory": "here"}}
    document = load_document(write(tmp_path / "record.json", extended))
    again = json.loads(dump(document))
    assert again["extras"] == {"laboratory": "here"}
    assert again["runs"][0]["extras"] == {"deep": [1]}
    assert "extras" not in json.loads(dump(Document.model_validate(content())))


def test_the_schema_version_is_written():
    assert json.loads(dump(Document.model_validate(content())))["schema_version"] == SCHEMA_VERSION


@pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, 0, "1", True])
def test_another_schema_version_is_refused_by_name(tmp_path, version):
    path = write(tmp_path / "record.json", {"schema_version": version, "anything": 1})
    with pytest.raises(RecordError, match=f"has schema version {version!r}; .* reads versions 1 and {SCHEMA_VERSION}"):
        load_document(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("", "is not JSON"),
        ("[]", "is not a JSON object"),
        ("{}", "invalid at schema_version"),
        ('{"schema_version": 2, "runs": []}', "invalid at environment"),
    ],
)
def test_a_corrupt_record_is_one_sentence_that_names_the_file(tmp_path, text, message):
    path = write(tmp_path / "record.json", text)
    with pytest.raises(RecordError, match=message) as caught:
        load_document(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_record_that_is_not_text_is_refused(tmp_path):
    path = tmp_path / "record.json"
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(RecordError, match="is not a text file"):
        load_document(path)


def test_a_missing_record_and_a_directory_are_refused(tmp_path):
    with pytest.raises(RecordError, match=r"cannot read the record .*No such file"):
        load_document(tmp_path / "none.json")
    with pytest.raises(RecordError, match="cannot read the record"):
        load_document(tmp_path)


@pytest.mark.parametrize(
    ("run", "key"),
    [
        ({"history": {"epoch": [1], "step": [1], "train_loss": [0.1, 0.2]}}, "history.train_loss"),
        ({"history": {"training_metrics": {"accuracy": [0.5]}}}, "history.training_metrics.accuracy"),
        ({"steps": {"seconds": [0.1], "kind": []}}, "steps.kind"),
    ],
)
def test_lists_of_uneven_length_are_refused(tmp_path, run, key):
    with pytest.raises(RecordError, match=rf"invalid at runs\.0\.{key}: its length"):
        load_document(write(tmp_path / "record.json", content(**run)))


def test_merge_keeps_order_and_the_extras():
    first, second = (
        Document.model_validate(content()),
        Document.model_validate(content(seed=1) | {"extras": {"note": "n"}}),
    )
    merged = merge([first, second])
    assert [run.seed for run in merged.runs] == [0, 1]
    assert merged.extras == {"note": "n"}
    assert merged.runs[1].environment is None


def test_merge_notes_the_environment_of_runs_made_elsewhere():
    elsewhere = content(seed=1)
    elsewhere["environment"]["cores"] = 64
    merged = merge([Document.model_validate(content()), Document.model_validate(elsewhere)])
    assert merged.environment.cores == 2
    assert merged.runs[1].environment.cores == 64
    assert merged.runs[0].environment is None


def test_merge_refuses_the_same_run_twice_and_no_run_at_all():
    document = Document.model_validate(content())
    with pytest.raises(RecordError, match="two records hold the run of 'sgd' on 'curves-autoencoder' with seed 0"):
        merge([document, document])
    with pytest.raises(RecordError, match="no records"):
        merge([])


@pytest.mark.parametrize("help_of", [status_help, outcome_help])
def test_the_schema_and_the_page_say_what_each_word_means(help_of):
    schema = json.dumps(Document.model_json_schema())
    page = (Path(__file__).parents[2] / "docs" / "record.md").read_text()
    for word, meaning in help_of.items():
        assert f"{word}: {meaning}" in schema
        assert f"| `{word}` | {meaning} |" in page
