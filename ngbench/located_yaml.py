"""YAML files whose every value knows its line, so that an error can say where it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ngbench import files
from ngbench.errors import ParameterError

__all__ = ["LocatedYaml", "load_yaml", "parse_yaml"]

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
    """Read a YAML file; it executes nothing.

    Raises:
        ParameterError: the file cannot be read, is not YAML, or has a key twice; naming the file, and the line.
    """
    return parse_yaml(files.read_text(path, error=ParameterError), str(path))


def parse_yaml(text: str, name: str) -> LocatedYaml:
    """As :func:`load_yaml`, from a text; ``name`` is what messages call it."""
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
    except RecursionError as error:
        raise ParameterError(f"{name!r} holds a value that contains itself") from error
    except (yaml.YAMLError, ValueError) as error:
        raise ParameterError(f"{name!r} is not YAML: {' '.join(str(error).split())}") from error
    finally:
        if loader is not None:
            loader.dispose()
    return LocatedYaml(name, value, lines)


class _Loader(yaml.SafeLoader):
    """Plain values only, with the numbers of YAML 1.2: ``1e-4`` is a number there, and a text in YAML 1.1."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


def _locate(
    node: yaml.Node, path: tuple[Key, ...], lines: dict[tuple[Key, ...], int], name: str, loader: _Loader
) -> None:
    lines.setdefault(path, node.start_mark.line + 1)
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
