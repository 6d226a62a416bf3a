"""``ngbench new-plugin``: the package of a new plugin."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ngbench.cli import declared, plugin_kind


def new_plugin(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it will be called, such as my-optimizer.")],
    optimizer: plugin_kind.Optimizer = False,
    task: plugin_kind.Task = False,
    approximation: plugin_kind.Approximation = False,
    output: Annotated[
        Path | None,
        declared.path("--output", metavar="DIR", help="Where to; it must not exist.", shown="./NAME"),
    ] = None,
) -> None:
    """Write a small package with a plugin that works: pyproject.toml, a module, tests and a README.

    It installs, passes its tests and appears in ngbench list as it is; replace what it does by what yours does, and let
    ngbench check-plugin say what the benchmark misses.

    Example: ngbench new-plugin my-optimizer --optimizer
    """
    from ngbench.errors import ParameterError
    from ngbench.plugins.skeleton import write_plugin

    kind = plugin_kind.chosen_kind(optimizer=optimizer, task=task, approximation=approximation)
    if kind is None:
        raise ParameterError("say what it is: --optimizer, --task or --approximation")
    directory = output if output is not None else Path(name)
    written = write_plugin(name, kind, directory)
    print("\n".join(str(path) for path in written))
    # With a separator, so that pip takes it for a path and not for the name of a package.
    path = directory if directory.is_absolute() else f"./{directory}"
    print(f"\nNext: pip install -e '{path}[test]' && pytest {path} && ngbench list {kind}s {name}")
