"""Values know their line, and a file that is not good YAML is refused with the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from ngbench.errors import ParameterError
from ngbench.located_yaml import load_yaml, parse_yaml

TEXT = """\
# comment
arms:
  kfac:
    lr: 1e-4
    values: [1, 2.5e3,
      three, null]
"""


def test_values_and_their_lines() -> None:
    document = parse_yaml(TEXT, "a.yaml")
    assert document.value == {"arms": {"kfac": {"lr": 1e-4, "values": [1, 2500.0, "three", None]}}}
    assert document.where("arms", "kfac", "lr") == "'a.yaml' line 4"
    assert document.where("arms", "kfac", "values", 2) == "'a.yaml' line 6"


def test_a_place_that_is_not_there_is_the_innermost_one_around_it() -> None:
    document = parse_yaml(TEXT, "a.yaml")
    assert document.where("arms", "kfac", "damping") == "'a.yaml' line 3"
    assert document.where("task") == "'a.yaml' line 2"


def test_an_empty_file_holds_nothing() -> None:
    document = parse_yaml("# nothing\n", "a.yaml")
    assert document.value is None
    assert document.where() == "'a.yaml' line 1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "line 3 has the key 'a' again, line 1 has it already"),
        ("a: [1, 2\nb: 3\n", "line 2 is not YAML"),
        ("a: !!python/object/apply:os.getcwd []\n", "line 1 is not YAML"),
        ("[1, 2]: 3\n", "line 1 has a key that is neither a text nor a number"),
        ("a: 1\n---\nb: 2\n", "is not YAML"),
        ("a: \x00\n", "is not YAML"),
        ("a: *b\n", "line 1 is not YAML"),
        ("a: &b [*b]\n", "contains itself"),
        ("a: 2001-99-99\n", "is not YAML"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        parse_yaml(text, "a.yaml")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="cannot read"):
        load_yaml(tmp_path / "missing.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ParameterError, match="not a text file"):
        load_yaml(tmp_path / "binary.yaml")
