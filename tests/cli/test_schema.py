from __future__ import annotations

import json

import pytest

from ngbench.cli import main
from ngbench.records.record import Document


def test_the_schema_is_that_of_the_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema == Document.model_json_schema()
    assert schema["properties"].keys() >= {"schema_version", "environment", "runs"}
