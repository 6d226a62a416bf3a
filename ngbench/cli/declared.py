"""The forms of option that most commands have: a path that is read, a file that is written, a number with limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer

from ngbench.cli import completion
from ngbench.disk.files import given_destination, given_path

__all__ = ["fail_if", "github", "number", "path", "written"]


def path(*names: str, metavar: str, help: str, panel: str | None = None, shown: str | bool = True) -> Any:
    """An option that names a file or a directory."""
    return typer.Option(
        *names, parser=given_path, metavar=metavar, help=help, rich_help_panel=panel, show_default=shown
    )


def written(name: str, help: str, panel: str | None = "Results", shown: str | bool = True) -> Any:
    """An option that names the file of an export; ``-`` is standard output."""
    return typer.Option(
        name, parser=given_destination, metavar="FILE", help=help, rich_help_panel=panel, show_default=shown
    )


def fail_if(usual: Sequence[str], metrics: str, panel: str) -> Any:
    """The thresholds of a gate, with those that it has by default, and a sentence on the metrics."""
    return typer.Option(
        "--fail-if",
        metavar="METRIC:THRESHOLD",
        autocompletion=completion.metrics,
        help="How much worse a metric may get, as 5%, 64MiB, 1ms or a plain number (repeatable). It replaces those of "
        f"pyproject.toml. (default: {', '.join(usual)}) {metrics}",
        rich_help_panel=panel,
    )


def github(panel: str) -> Any:
    """Whether a gate annotates a workflow."""
    return typer.Option("--github", help="Print annotations for GitHub Actions.", rich_help_panel=panel)


def number(
    name: str, help: str, panel: str | None = None, *, limits: Any = None, metavar: str = "N", shown: str | bool = True
) -> Any:
    """An option that takes a number, within the limits of an annotation, or those of the run's option of its name."""
    # Commands without such options do without the time that this takes.
    from ngbench.plugins.parameters import Parameter
    from ngbench.running.option_fields import options_of
    from ngbench.running.request import RunOptions

    named = name.removeprefix("--").replace("-", "_")
    convert = (
        options_of(RunOptions)[named].convert if limits is None else Parameter(named, limits, required=True).convert
    )
    return typer.Option(name, parser=convert, metavar=metavar, help=help, rich_help_panel=panel, show_default=shown)
