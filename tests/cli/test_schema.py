from __future__ import annotations

import json

import pytest

from ngbench.cli import main
from ngbench.records.documents import json_schema
from ngbench.records.record import Document


def test_the_schema_is_that_of_the_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema == json_schema()
    assert {key: value for key, value in schema["properties"].items() if key != "checksum"} == (
        Document.model_json_schema()["properties"]
    )
    assert schema["properties"].keys() >= {"schema_version", "environment", "runs"}
