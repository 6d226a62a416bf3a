"""YAML files whose every value knows its line, so that an error can say where it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError
from yaml.error import Mark

from ngbench.disk import files
from ngbench.errors import ParameterError

__all__ = ["LocatedYaml", "load_yaml"]

Key = str | int


@dataclass(frozen=True)
class LocatedYaml:
    """What a YAML file holds.

    Attributes:
        name: the file, as the user knows it.
        value: mappings, lists, texts, numbers, booleans and ``None``.
        lines: for the path of keys (and places in lists) that leads to a value, the line of its key, counted from 1.
    """

    name: str
    value: Any
    lines: Mapping[tuple[Key, ...], int]

    def where(self, *path: Key) -> str:
        """``'FILE' line N``: the place of the value at ``path``, or of the innermost one around it that is there."""
        while path and path not in self.lines:
            path = path[:-1]
        return f"{self.name!r} line {self.lines.get(path, 1)}"


def load_yaml(path: Path) -> LocatedYaml:
    """Read a YAML file; it executes nothing, and costs no more work than what is written in it.

    Raises:
        ParameterError: the file cannot be read, is not YAML, has a key twice, or is too long, too deep or, with all
            its aliases followed, too large; naming the file, and the line.
    """
    return parse_yaml(files.read_text(path, error=ParameterError), str(path))


def parse_yaml(text: str, name: str) -> LocatedYaml:
    """As :func:`load_yaml`, from a text; ``name`` is what messages call it."""
    if len(text) > _LONGEST:
        raise ParameterError(f"{name!r} has {len(text):,} characters, a file of settings has at most {_LONGEST:,}")
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        lines: dict[tuple[Key, ...], int] = {}
        if node is not None:
            _locate(node, (), lines, name, loader)
        value = None if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f" line {mark.line + 1}" if mark is not None else ""
        raise ParameterError(f"{name!r}{line} is not YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # The reader has no marks, and the scanner makes a character of any number.
        line = "" if loader is None else f" line {loader.line + 1}"
        raise ParameterError(f"{name!r}{line} is not YAML: {' '.join(str(error).split())}") from error
    finally:
        if loader is not None:
            loader.dispose()
    return LocatedYaml(name, value, lines)


_LONGEST = 200_000
_DEEPEST = 50
_LARGEST = 20_000
"""Values of a file, those that an alias stands for counted again."""
_TAGS = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float", "str", "seq", "map"))


class _Loader(yaml.SafeLoader):
    """Plain values only, with the numbers of YAML 1.2: ``1e-4`` is a number there, and a text in YAML 1.1."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0
        self._values = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._depth += 1
        self._values += 1
        try:
            if self._depth > _DEEPEST:
                raise ComposerError(None, None, f"it is nested deeper than {_DEEPEST} levels", self._mark())
            if self._values > _LARGEST:
                raise ComposerError(None, None, f"it has more than {_LARGEST:,} values", self._mark())
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def _mark(self) -> Mark:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        return cast("Mark", event.start_mark)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, OverflowError, LookupError, AttributeError, TypeError) as error:
            kind = node.tag.rpartition(":")[2]
            raise ConstructorError(
                None, None, f"{str(node.value)[:40]!r} is no value of !!{kind}", node.start_mark
            ) from error


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


def _locate(
    node: yaml.Node, path: tuple[Key, ...], lines: dict[tuple[Key, ...], int], name: str, loader: _Loader
) -> None:
    line = node.start_mark.line + 1
    lines.setdefault(path, line)
    if len(path) > _DEEPEST:
        raise ParameterError(f"{name!r} line {line} has a value that contains itself, or is nested too deeply")
    if len(lines) > _LARGEST:
        raise ParameterError(f"{name!r} line {line}: with its aliases, it has more than {_LARGEST:,} values")
    if node.tag not in _TAGS:
        kind = node.tag.replace("tag:yaml.org,2002:", "!!")
        raise ParameterError(
            f"{name!r} line {line} has a value of the type {kind}, which is not allowed; a text can stand in quotes"
        )
    if isinstance(node, yaml.SequenceNode):
        for at, item in enumerate(node.value):
            _locate(item, (*path, at), lines, name, loader)
        return
    if not isinstance(node, yaml.MappingNode):
        return
    seen: dict[Any, int] = {}
    for key_node, value_node in node.value:
        key: Any = loader.construct_object(key_node, deep=True) if isinstance(key_node, yaml.ScalarNode) else None
        line = key_node.start_mark.line + 1
        if not isinstance(key, (str, int, float)):
            raise ParameterError(f"{name!r} line {line} has a key that is neither a text nor a number")
        if key in seen:
            before = f"line {seen[key]} has it already"
            raise ParameterError(f"{name!r} line {line} has the key {str(key)!r} again, {before}")
        seen[key] = line
        here: tuple[Any, ...] = (*path, key)
        lines[here] = line
        _locate(value_node, here, lines, name, loader)
