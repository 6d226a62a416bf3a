"""The command line: parse, call, print. One module a subcommand, imported when the command is used.

Adding a command is one line in ``COMMANDS`` and a module with a function whose parameters carry
``typer.Option`` and ``typer.Argument``. The module imports torch inside the function, so that
``ngbench COMMAND --help`` stays fast, and has no builtin's name, since it would hide the builtin in this
package. A function ends by returning (exit code 0), by ``raise typer.Exit(code)`` or by raising an
:class:`ngbench.errors.NgbenchError`, whose message and exit code reach the user.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from ngbench import __version__
from ngbench.cli.reporting import say_error
from ngbench.data.watching import watch_downloads
from ngbench.records.command_line import called_as
from ngbench.report.progress.downloads import show_download
from ngbench.spelling import as_options
from ngbench.streams import lasting_streams, result_apart, stdout_problem

__all__ = ["main"]

_PROGRAM = "ngbench"
_HELP = {"help_option_names": ["-h", "--help"]}
_COMPLETE_VARIABLE = "_NGBENCH_COMPLETE"


@dataclass(frozen=True)
class _Command:
    """A module of this package, the function in it, and the line that ``ngbench --help`` shows for it.

    ``prints`` says that what it prints is all that comes of it: it has no verdict, and writes no file.
    """

    module: str
    function: str
    summary: str
    prints: bool = False


COMMANDS = {
    "train": _Command("train", "train", "Train one task with one optimizer."),
    "compare": _Command("compare", "compare", "Train one task with several optimizers side by side."),
    "gan": _Command("gan", "gan", "Train a generator and a critic with several pairs of optimizers."),
    "tune": _Command("tune", "tune", "Search for the hyper-parameters of optimizers."),
    "fisher-error": _Command("fisher_error", "fisher_error", "Measure how well approximations match Fisher blocks."),
    "reproduce": _Command("reproduce", "reproduce", "Run studies of the thesis and judge their claims."),
    "report": _Command("report", "report", "Make one HTML or Markdown page of records."),
    "export": _Command("export", "export", "Write records for other programs: CSV, Parquet, TensorBoard."),
    "check": _Command("check", "check", "Fail if runs are worse than a baseline."),
    "list": _Command("list_plugins", "list_plugins", "Show tasks, optimizers, approximations or studies.", prints=True),
    "check-plugin": _Command("check_plugin", "check_plugin", "Test whether a plugin does what ngbench relies on."),
    "new-plugin": _Command("new_plugin", "new_plugin", "Begin a plugin: write a package that works."),
    "new-study": _Command("new_study", "new_study", "Begin a study: write a YAML file with every key."),
    "schema": _Command("schema", "schema", "Print the JSON Schema of the records.", prints=True),
    "doctor": _Command("doctor", "doctor", "Say whether measurements can be trusted here, and what to do."),
    "env": _Command("env", "env", "Print what a bug report needs.", prints=True),
}


class _LazyGroup(TyperGroup):
    """A group that knows its commands by name and summary, and imports the one that is used."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = {name: TyperCommand(name, help=command.summary) for name, command in COMMANDS.items()}

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return name, load_command(name) if name in COMMANDS else command, rest


def load_command(name: str) -> Any:
    """The command, with all of its options."""
    # What options are made of takes a quarter of a second, which ngbench --help does without.
    from ngbench.cli.defaults import DefaultingCommand, with_project_file

    command = COMMANDS[name]
    function = getattr(importlib.import_module(f"{__name__}.{command.module}"), command.function)
    app = typer.Typer(add_completion=False)
    app.command(name, cls=DefaultingCommand, help=_reflowed(inspect.getdoc(function) or ""), context_settings=_HELP)(
        with_project_file(function)
    )
    return typer.main.get_command(app)


def _reflowed(documentation: str) -> str:
    """Paragraphs as one line each: rich keeps the line breaks of the source otherwise."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in documentation.split("\n\n"))


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"{_PROGRAM} {__version__}")
        raise typer.Exit


def _program(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """What is a natural-gradient optimizer worth? Convergence by epoch and second, and the cost of updates."""


def _group() -> Any:
    app = typer.Typer(cls=_LazyGroup, context_settings=_HELP)
    app.callback()(_program)
    return typer.main.get_command(app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code that :mod:`ngbench.errors` documents.

    Args:
        arguments: without the program's name; ``sys.argv[1:]`` by default.
    """
    watch_downloads(show_download)
    given = list(sys.argv[1:] if arguments is None else arguments)
    with called_as([_PROGRAM, *given]), result_apart(), lasting_streams(), as_options():
        code = _run(given)
        sys.stdout.flush()
        problem = stdout_problem()
        if problem is None:
            return code
        print(f"Error: {problem}", file=sys.stderr)
        # A verdict stands, and files are written, even if nothing could be printed; other commands only print.
        return code or (2 if _only_prints(given) else 0)


def _run(given: list[str]) -> int:
    group = _group()
    if _COMPLETE_VARIABLE in os.environ:
        try:
            group.main(args=given, prog_name=_PROGRAM)
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else 0
    try:
        with group.make_context(_PROGRAM, given or ["--help"]) as context:
            group.invoke(context)
    except typer.Exit as end:
        return end.exit_code
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 1
    except BaseException as error:
        return say_error(error)
    return 0


def _only_prints(given: list[str]) -> bool:
    """Whether what the command prints is all that comes of it: the commands that say so, and help."""
    name = given[0] if given else ""
    return name not in COMMANDS or COMMANDS[name].prints or "--help" in given
