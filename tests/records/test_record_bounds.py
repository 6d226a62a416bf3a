"""What no reader could compute with or show is refused where a record is read, in one sentence that names the place."""

from __future__ import annotations

import json
import re

import pytest

from ngbench.errors import RecordError
from ngbench.records.documents import load_document
from ngbench.values import LARGEST_COUNT, LARGEST_NUMBER
from tests.records.gate_documents import build_document, build_run


@pytest.fixture
def content():
    document = build_document(build_run("sgd", rounds=3), build_run("kfac", rounds=3, every=5))
    return document.model_dump(mode="json")


def put(content, path, value):
    *outer, last = path.split(".")
    for key in outer:
        content = content[int(key) if isinstance(content, list) else key]
    content[int(last) if isinstance(content, list) else last] = value


def refused(tmp_path, text):
    path = tmp_path / "record.json"
    path.write_text(text if isinstance(text, str) else json.dumps(text), encoding="utf-8")
    with pytest.raises(RecordError) as caught:
        load_document(path)
    message = str(caught.value)
    assert repr(str(path)) in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("runs.0.steps.seconds.0", float("inf"), "valid number"),
        ("runs.0.steps.seconds.0", 1e13, "less than or equal to"),
        ("runs.0.steps.seconds.0", 10**400, "integers go up to 2\\*\\*63 - 1"),
        ("runs.0.steps.seconds.0", -1.0, "greater than or equal to 0"),
        ("runs.0.history.elapsed_seconds.0", float("nan"), "valid number"),
        ("runs.0.history.step.0", 10**400, "integers go up to"),
        ("runs.0.phases.forward.seconds_total", float("inf"), "valid number"),
        ("runs.0.phases.forward.flops", 2**63, "integers go up to"),
        ("runs.0.phases.forward.calls", 10**400, "integers go up to"),
        ("runs.0.memory.peak_bytes", 10**400, "integers go up to"),
        ("runs.0.parameters", 10**400, "integers go up to"),
        ("runs.0.seed", -(2**63), "integers go up to"),
        ("environment.memory_bytes", 10**400, "integers go up to"),
        ("runs.0.optimizer.hyperparameters.lr", 10**400, "integers go up to"),
        ("runs.0.extras.mine", [1, {"deep": 10**400}], "integers go up to"),
        ("runs.0.label", "x" * 200_000, "at most 1000 characters"),
        ("runs.0.task", "x" * 200_000, "at most 1000 characters"),
        ("runs.0.device", "x" * 1001, "at most 1000 characters"),
        ("environment.processor", "x" * 1001, "at most 1000 characters"),
        ("runs.0.extras.mine", {"x" * 1001: 1}, "a key has at most 1000 characters"),
        ("runs.0.extras.mine", "\ud800", "half of a surrogate pair"),
        ("runs.0.optimizer.hyperparameters.lr", "\udfff", "half of a surrogate pair"),
        ("runs.0.extras.mine", {"\ud800": 1}, "no half of a pair"),
        ("runs.0.phases.forward.seconds_by_round", [1.0], "length differs"),
        ("runs.0.phases.forward.undisturbed_calls_by_round", [1], "length differs"),
        ("runs.0.steps.turns", [20, 10], "must not descend"),
        ("runs.0.steps.turns", [20, 61], "a turn ends after step 61, and there are 60 steps"),
        ("runs.0.steps.interrupted", [60], "it names step 60, and there are 60 steps"),
        ("runs.0.history.epoch", [1, 3, 2], "epochs must ascend"),
        ("runs.0.history.epoch", [1, 1, 2], "epochs must ascend"),
        ("runs.0.history.step", [20, 60, 40], "must not descend"),
        ("runs.0.history.elapsed_seconds", [1.0, 3.0, 2.0], "must not descend"),
    ],
)
def test_a_value_out_of_bounds_is_refused_by_its_place(tmp_path, content, path, value, reason):
    content["runs"][0]["extras"] = {}
    put(content, path, value)
    message = refused(tmp_path, content)
    assert re.search(reason, message)
    assert path.split(".")[2 if path.startswith("runs") else 1] in message


@pytest.mark.parametrize("text", ["[" * 100_000 + "]" * 100_000, '{"a":' * 100_000 + "1" + "}" * 100_000])
def test_a_record_that_is_nested_too_deeply_is_refused(tmp_path, text):
    assert "it is nested deeper than 50 levels" in refused(tmp_path, text)


@pytest.mark.parametrize("depth", [60, 500])
def test_a_key_that_nobody_reads_may_not_be_deeper_either(tmp_path, content, depth):
    content["extras"] = {"mine": json.loads("[" * depth + "]" * depth)}
    assert "it is nested deeper than 50 levels" in refused(tmp_path, content)
    content["extras"] = {"mine": json.loads("[" * 40 + "]" * 40)}
    (tmp_path / "record.json").write_text(json.dumps(content))
    assert load_document(tmp_path / "record.json").extras == content["extras"]


def test_a_key_that_stands_twice_is_refused(tmp_path, content):
    text = json.dumps(content)
    assert "it has the key 'runs' twice" in refused(tmp_path, f'{text[:-1]}, "runs": []}}')
    doubled = text.replace('"label": "kfac"', '"label": "kfac", "label": "other"')
    assert "it has the key 'label' twice" in refused(tmp_path, doubled)


@pytest.mark.parametrize("word", ["Infinity", "NaN", "1e999", "-1e61", "1e61"])
def test_a_loss_that_is_no_number_or_nearly_none_is_null(tmp_path, content, word):
    content["runs"][0]["history"]["train_loss"][1] = "here"
    (tmp_path / "record.json").write_text(json.dumps(content).replace('"here"', word))
    assert load_document(tmp_path / "record.json").runs[0].history.train_loss[1] is None


def test_the_largest_values_that_are_allowed_are_read(tmp_path, content):
    put(content, "runs.0.history.train_loss.1", LARGEST_NUMBER)
    put(content, "runs.0.memory.peak_bytes", LARGEST_COUNT)
    put(content, "runs.0.label", "x" * 1000)
    (tmp_path / "record.json").write_text(json.dumps(content))
    run = load_document(tmp_path / "record.json").runs[0]
    assert (run.history.train_loss[1], run.memory.peak_bytes, len(run.label)) == (1e60, LARGEST_COUNT, 1000)


@pytest.mark.parametrize("entry", [3, "x", [4], [6, [1]], [-1, 1.0], {"step": 1}])
def test_a_diagnostic_is_numbers_by_step(tmp_path, content, entry):
    content["runs"][0]["diagnostics"] = {"energy_gap": [[1, 0.5], [2, None], [7, 2]]}
    (tmp_path / "record.json").write_text(json.dumps(content))
    run = load_document(tmp_path / "record.json").runs[0]
    assert run.diagnostic("energy_gap") == [(1, 0.5), (7, 2)]
    assert run.diagnostic("other") == []
    content["runs"][0]["diagnostics"]["energy_gap"][1] = entry
    assert "runs.0.diagnostics.energy_gap.1" in refused(tmp_path, json.dumps(content))
