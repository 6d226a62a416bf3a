"""Values know their line, and a file that is not good YAML is refused with the line."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from ngbench.disk.located_yaml import load_yaml, parse_yaml
from ngbench.errors import ParameterError

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
        ("a: !!python/object/apply:os.getcwd []\n", "line 1 has a value of the type .*os.getcwd, which is not allowed"),
        ("[1, 2]: 3\n", "line 1 has a key that is neither a text nor a number"),
        ("a: 1\n---\nb: 2\n", "is not YAML"),
        ("a: \x00\n", "is not YAML"),
        ("a: *b\n", "line 1 is not YAML"),
        ("a: &b [*b]\n", "contains itself"),
        ("a: 2001-99-99\n", "line 1 has a value of the type !!timestamp, which is not allowed"),
        ("a: 1\nb: !!set {x}\n", "line 2 has a value of the type !!set"),
        ("a: 1\nb: !!binary YQ==\n", "line 2 has a value of the type !!binary"),
        ("a: 1\nb: !!bool x\n", "line 2 is not YAML: 'x' is no value of !!bool"),
        ('a: !!float ""\n', "line 1 is not YAML: '' is no value of !!float"),
        ('a: !!int ""\n', "line 1 is not YAML: '' is no value of !!int"),
        ("a: !!int 0x\n", "line 1 is not YAML: '0x' is no value of !!int"),
        ('!!int "": 1\n', "line 1 is not YAML: '' is no value of !!int"),
        (f"a: {'9' * 5000}\n", "line 1 is not YAML: '999"),
        ('a: 1\nb: "\\UFFFFFFFF"\n', "line 2 is not YAML"),
        ("[\n" * 900 + "]" * 900, "line 51 is not YAML: it is nested deeper than 50 levels"),
        ("- " * 900, "line 1 is not YAML: it is nested deeper than 50 levels"),
        ("a: " + "{b: " * 3000, "line 1 is not YAML: it is nested deeper than 50 levels"),
        ("".join(f"{' ' * depth}a:\n" for depth in range(200)), "line 50 is not YAML: it is nested deeper"),
        ("[" + "1," * 30_000 + "]", "line 1 is not YAML: it has more than 20,000 values"),
        ("# " + "x" * 300_000, "has 300,002 characters, a file of settings has at most 200,000"),
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


def test_aliases_stand_for_values() -> None:
    assert parse_yaml("a: &a [1, 2]\nb: [*a, *a]\n", "a.yaml").value == {"a": [1, 2], "b": [[1, 2], [1, 2]]}


@pytest.mark.parametrize("width", [9, 10])
def test_aliases_of_aliases_end_before_they_explode(width: int) -> None:
    lines = [f"a: &a [{', '.join(['x'] * width)}]"]
    for before, name in pairwise("abcdefghi"):
        lines.append(f"{name}: &{name} [{', '.join([f'*{before}'] * width)}]")
    with pytest.raises(ParameterError, match="line 1: with its aliases, it has more than 20,000 values"):
        parse_yaml("\n".join(lines), "a.yaml")
