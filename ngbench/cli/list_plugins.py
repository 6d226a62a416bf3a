"""``ngbench list``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from ngbench.cli import completion
from ngbench.experiments.catalogue import Listing, catalogue, counts


def list_plugins(
    kind: Annotated[
        Listing | None, typer.Argument(help="What to show; how many there are of each by default.", show_default=False)
    ] = None,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            autocompletion=completion.listed,
            help="Show these in full; also PACKAGE.MODULE.NAME or FILE.py:NAME.",
            show_default=False,
        ),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Show all in full.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the tasks, the optimizers or the approximations that are installed, the studies, or which data are there.

    In full: the hyper-parameters (of a task: its options) with what is allowed, their defaults, and the
    values that the tasks publish for an optimizer; the claims of a study. A plugin is imported only if it is
    shown in full.
    """
    from ngbench.cli.reporting import console_for_results
    from ngbench.report.catalogue import catalogue_blocks, overview_blocks
    from ngbench.report.renderers import terminal

    if kind is None:
        if as_json:
            print(json.dumps(counts(), indent=2))
        else:
            terminal.show(overview_blocks(counts()), console_for_results())
        return
    entries = catalogue(kind, names or [], full=full)
    if as_json:
        print(json.dumps(entries, indent=2))
    else:
        terminal.show(catalogue_blocks(kind.value, entries, full=full or bool(names)), console_for_results())
    if names and any(entry.get("problem") for entry in entries):
        raise typer.Exit(2)
