"""How a command ends: what was asked for is written first, then what there is to see is printed."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ngbench import errors
from ngbench.disk.files import STANDARD_OUTPUT, check_destination
from ngbench.errors import OUR_ERROR, TRACEBACK_VARIABLE, NgbenchError, ParameterError
from ngbench.escaping import terminal

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["check_exports", "console_for_results", "do_each", "end_with", "raise_last", "say", "say_error"]

_UNLIMITED = 10_000
# What the parser raises for a wrong command line. Typer exports its subclass BadParameter under one name in
# all versions, the class itself under a name that depends on whether Click is bundled.
_BadCommandLine: Any = typer.BadParameter.__base__


def console_for_results(*, on_stderr: bool = False) -> Console:
    """Where tables are printed; what is no terminal, and has no width in ``COLUMNS``, is as wide as any table."""
    from rich.console import Console

    stream = sys.stderr if on_stderr else sys.stdout
    wide = not stream.isatty() and "COLUMNS" not in os.environ
    return Console(file=stream, width=_UNLIMITED if wide else None)


def check_exports(*destinations: str | None, within: Path | None = None) -> None:
    """Refuse exports that could not be written in the end; ``None`` is one that was not asked for.

    ``within`` is a directory of results, which there need not be yet.

    Raises:
        OutputError: naming the destination.
        ParameterError: two exports go to standard output, or to one file.
    """
    given = [destination for destination in destinations if destination is not None]
    if given.count(STANDARD_OUTPUT) > 1:
        raise ParameterError("only one export can go to stdout: give the others a file instead of '-'")
    places = [Path(destination).absolute() for destination in given if destination != STANDARD_OUTPUT]
    if len(set(places)) < len(places):
        twice = next(place for place in places if places.count(place) > 1)
        raise ParameterError(f"two exports go to {str(twice)!r}: give each a file of its own")
    for destination in given:
        check_destination(destination, within)


def say(console: Console, line: str, style: str = "") -> None:
    """Print a line of ours, whatever is in it, as one line."""
    from rich.text import Text

    console.print(Text(terminal(line), style=style), soft_wrap=True)


def do_each(*steps: Callable[[], object]) -> None:
    """Take all the steps in their order: one that fails keeps no other from being taken.

    A command gives what it writes before what it prints.

    Raises:
        Exception: what a step raised, after all were taken. Of several, an error of ours before what the user can
            put right, and the last before the others, which are said on standard error.
    """
    raised: list[Exception] = []
    for step in steps:
        try:
            step()
        except Exception as error:
            raised.append(error)
    raise_last(raised)


def end_with(verdict: NgbenchError | None, *steps: Callable[[], object]) -> None:
    """Take all the steps, then raise the verdict: it stands, whatever could not be written or printed.

    Raises:
        NgbenchError: the verdict.
        Exception: as :func:`do_each`, if there is none.
    """
    try:
        do_each(*steps)
    except Exception as error:
        if verdict is None:
            raise
        say_error(error)
    if verdict is not None:
        raise verdict


def raise_last(raised: Iterable[Exception]) -> None:
    """Say all errors but one on standard error, and raise that one; see :func:`do_each`."""
    ordered = sorted(raised, key=lambda error: _explain(error)[1] == OUR_ERROR)
    for error in ordered[:-1]:
        say_error(error)
    if ordered:
        raise ordered[-1]


def say_error(error: BaseException, about: str = "") -> int:
    """Say what is wrong, and with what, on standard error, and return the exit code for it."""
    if os.environ.get(TRACEBACK_VARIABLE):
        traceback.print_exception(error)
    message, code = _explain(error)
    print(f"Error: {terminal(f'{about}: {message}' if about else message)}", file=sys.stderr)
    return code


def _explain(error: BaseException) -> tuple[str, int]:
    """As :func:`ngbench.errors.explain`, also of what the parser raises for a wrong command line."""
    if not isinstance(error, _BadCommandLine):
        return errors.explain(error)
    message = " ".join(error.format_message().split()).rstrip(".").replace("Value error, ", "")
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "ngbench"
    return f"{message} (see {path} --help)", 2
