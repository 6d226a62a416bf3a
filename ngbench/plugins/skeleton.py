"""The package of a new plugin: small, complete, and a plugin that works."""

from __future__ import annotations

import importlib.util
import keyword
import re
from importlib import resources
from pathlib import Path
from string import Template

from ngbench.disk import files
from ngbench.errors import OutputError, ParameterError
from ngbench.plugins import registry
from ngbench.plugins.plugin import Kind
from ngbench.spelling import argument

__all__ = ["write_plugin"]

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_TITLES: dict[Kind, str] = {
    "optimizer": "An optimizer",
    "task": "A task",
    "approximation": "An approximation of Fisher blocks",
}


def write_plugin(name: str, kind: Kind, directory: Path) -> list[Path]:
    """Write the package of a plugin.

    Args:
        name: of the plugin and its distribution.
        kind: what it is.
        directory: is made.

    Returns:
        The files.

    Raises:
        ParameterError: the name is not allowed or taken.
        OutputError: the directory exists or cannot be written.
    """
    module = _check_name(name, kind)
    names = {
        "name": name,
        "module": module,
        "function": module,
        "class_name": "".join(part.capitalize() for part in name.split("-")),
        "group": registry.GROUPS[kind],
        "title": _TITLES[kind],
    }
    templates = resources.files("ngbench.plugins.templates")
    targets = {
        "pyproject.toml": templates / "common" / "pyproject.toml.tmpl",
        "README.md": templates / kind / "README.md.tmpl",
        f"{module}/__init__.py": templates / kind / "module.py.tmpl",
        f"tests/test_{module}.py": templates / kind / "tests.py.tmpl",
    }
    if files.exists(directory):
        raise OutputError(f"{str(directory)!r} exists already: give another {argument('output')}")
    for target, template in targets.items():
        path = directory / target
        files.make_directory(path.parent)
        files.write_text(Template(template.read_text(encoding="utf-8")).substitute(names), path)
    return [directory / target for target in targets]


def _check_name(name: str, kind: Kind) -> str:
    """The module that the plugin will be in.

    Raises:
        ParameterError: the name is not allowed, or something has it.
    """
    if not _NAME.fullmatch(name):
        raise ParameterError(f"name {name!r} is not allowed, it must be lower-case words with hyphens: my-optimizer")
    module = name.replace("-", "_")
    if keyword.iskeyword(module) or keyword.issoftkeyword(module):
        raise ParameterError(f"name {name!r} is not allowed, it is a word of Python")
    taken = [row for row in registry.rows(registry.GROUPS[kind]) if row.name == name]
    if taken:
        raise ParameterError(f"name {name!r} is taken: {taken[0].distribution} provides the {kind} {name!r}")
    if importlib.util.find_spec(module) is not None:
        raise ParameterError(f"name {name!r} is taken: there is a module {module!r} already")
    return module
