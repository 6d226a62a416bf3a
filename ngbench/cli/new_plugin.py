"""``ngbench new-plugin``: the package of a new plugin."""

from __future__ import annotations

import importlib.util
import keyword
import re
from importlib import resources
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from ngbench.cli import plugin_kind
from ngbench.disk import files
from ngbench.errors import OutputError, ParameterError
from ngbench.plugins import registry

__all__ = ["new_plugin", "write_plugin"]

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_KINDS: dict[plugin_kind.Kind, tuple[str, str, str]] = {
    "optimizer": (registry.OPTIMIZERS, "An optimizer", "list optimizers"),
    "task": (registry.TASKS, "A task", "list tasks"),
    "approximation": (registry.APPROXIMATIONS, "An approximation of Fisher blocks", "list approximations"),
}
"""Of each kind: its entry-point group, what it is, and the command that shows it."""


def new_plugin(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it will be called, such as my-optimizer.")],
    optimizer: plugin_kind.Optimizer = False,
    task: plugin_kind.Task = False,
    approximation: plugin_kind.Approximation = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            parser=files.given_path,
            metavar="DIR",
            help="Where to; it must not exist.",
            show_default="./NAME",
        ),
    ] = None,
) -> None:
    """Write a small package with a plugin that works: pyproject.toml, a module, tests and a README.

    It installs, passes its tests and appears in ngbench list as it is; replace what it does by what yours does, and let
    ngbench check-plugin say what the benchmark misses.

    Example: ngbench new-plugin my-optimizer --optimizer
    """
    kind = plugin_kind.chosen_kind(optimizer=optimizer, task=task, approximation=approximation)
    if kind is None:
        raise ParameterError("say what it is: --optimizer, --task or --approximation")
    directory = output if output is not None else Path(name)
    written = write_plugin(name, kind, directory)
    print("\n".join(str(path) for path in written))
    # With a separator, so that pip takes it for a path and not for the name of a package.
    path = directory if directory.is_absolute() else f"./{directory}"
    print(f"\nNext: pip install -e '{path}[test]' && pytest {path} && ngbench {_KINDS[kind][2]} {name}")


def write_plugin(name: str, kind: plugin_kind.Kind, directory: Path) -> list[Path]:
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
    group, title, _ = _KINDS[kind]
    names = {
        "name": name,
        "module": module,
        "function": module,
        "class_name": "".join(part.capitalize() for part in name.split("-")),
        "group": group,
        "title": title,
    }
    templates = resources.files("ngbench.plugins.templates")
    targets = {
        "pyproject.toml": templates / "common" / "pyproject.toml.tmpl",
        "README.md": templates / kind / "README.md.tmpl",
        f"{module}/__init__.py": templates / kind / "module.py.tmpl",
        f"tests/test_{module}.py": templates / kind / "tests.py.tmpl",
    }
    if files.exists(directory):
        raise OutputError(f"{str(directory)!r} exists already: give another --output")
    for target, template in targets.items():
        path = directory / target
        files.make_directory(path.parent)
        files.write_text(Template(template.read_text(encoding="utf-8")).substitute(names), path)
    return [directory / target for target in targets]


def _check_name(name: str, kind: plugin_kind.Kind) -> str:
    """The module that the plugin will be in.

    Raises:
        ParameterError: the name is not allowed, or something has it.
    """
    if not _NAME.fullmatch(name):
        raise ParameterError(f"name {name!r} is not allowed, it must be lower-case words with hyphens: my-optimizer")
    module = name.replace("-", "_")
    if keyword.iskeyword(module) or keyword.issoftkeyword(module):
        raise ParameterError(f"name {name!r} is not allowed, it is a word of Python")
    taken = [row for row in registry.rows(_KINDS[kind][0]) if row.name == name]
    if taken:
        raise ParameterError(f"name {name!r} is taken: {taken[0].distribution} provides the {kind} {name!r}")
    if importlib.util.find_spec(module) is not None:
        raise ParameterError(f"name {name!r} is taken: there is a module {module!r} already")
    return module
