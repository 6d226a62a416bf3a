"""What commands write is one shape: the document that the schema describes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from ngbench.records.record import Document
from tests.cli.quick_commands import COMMANDS


@pytest.mark.parametrize("name", [name for name, one in COMMANDS.items() if "a.json" in one.steps.values()])
def test_what_every_command_writes_follows_the_schema(quick: Callable[..., Any], name: str) -> None:
    done = quick(COMMANDS[name].line)
    assert done.code == COMMANDS[name].code, done.err
    content = json.loads(Path("a.json").read_text())
    jsonschema.validate(content, Document.model_json_schema())
    assert Document.model_validate(content).extras == {}
