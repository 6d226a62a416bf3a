"""The file that a study of one's own begins from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from ngbench import cli
from ngbench.errors import OutputError, ParameterError
from ngbench.experiments.studies import claims, models, settings
from ngbench.experiments.studies.loader import load_study, write_study

PARTS = [
    part
    for module in (claims, models, settings)
    for part in vars(module).values()
    if isinstance(part, type) and issubclass(part, settings.StudyPart) and part is not models.Selector
]


def test_it_has_every_key_and_each_that_is_left_out_can_be_put_in(tmp_path: Path) -> None:
    path = write_study("mine", tmp_path)
    text = path.read_text(encoding="utf-8")
    keys = {field.alias or name for part in PARTS for name, field in part.model_fields.items()}
    assert len(keys) > 60
    assert [key for key in sorted(keys) if not re.search(rf"\b{key}:\s", text)] == []
    load_study(path)
    left_out = [line for line in text.splitlines() if re.match(r" +# [a-z_]+: ", line)]
    assert len(left_out) > 35
    for line in left_out:
        indent, rest = line.split("# ", 1)
        assert isinstance(yaml.safe_load(rest), dict), line
        assert indent.isspace()


def test_the_command_writes_a_study_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["new-study", "mine"]) == 0
    assert "Next: ngbench reproduce ./mine.yaml --scale smoke" in capsys.readouterr().out
    assert cli.main(["list", "studies", "./mine.yaml"]) == 0
    with pytest.raises(OutputError, match="exists already"):
        write_study("mine", Path())
    with pytest.raises(ParameterError, match="name 'My study' is not allowed"):
        write_study("My study", Path())
