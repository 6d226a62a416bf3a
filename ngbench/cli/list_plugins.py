"""``ngbench list``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from ngbench.cli import completion
from ngbench.experiments.catalogue import Listing, catalogue


def list_plugins(
    kind: Annotated[Listing, typer.Argument(help="What to show.", show_default=False)],
    names: Annotated[
        list[str] | None,
        typer.Argument(
            autocompletion=completion.plugins,
            help="Show these in full; also PACKAGE.MODULE.NAME or FILE.py:NAME.",
            show_default=False,
        ),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Show all in full.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the tasks, the optimizers or the approximations that are installed, or the studies.

    In full: the hyper-parameters (of a task: its options) with what is allowed, their defaults, and the
    values that the tasks publish for an optimizer; the claims of a study. A plugin is imported only if it is
    shown in full.
    """
    from ngbench.escaping import terminal_lines
    from ngbench.report.catalogue import format_catalogue

    entries = catalogue(kind, names or [], full=full)
    if as_json:
        print(json.dumps(entries, indent=2))
    else:
        print(terminal_lines(format_catalogue(kind, entries, full=full or bool(names))))
    if names and any(entry.get("problem") for entry in entries):
        raise typer.Exit(2)
