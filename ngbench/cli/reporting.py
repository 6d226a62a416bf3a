"""How a command ends: what was asked for is written first, then what there is to see is printed."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ngbench.disk.files import STANDARD_OUTPUT, check_destination
from ngbench.errors import OUR_ERROR, NgbenchError, ParameterError, one_line
from ngbench.escaping import terminal

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "TRACEBACK_VARIABLE",
    "check_exports",
    "console_for_results",
    "do_each",
    "explain",
    "raise_last",
    "say_error",
]

TRACEBACK_VARIABLE = "NGBENCH_TRACEBACK"
_PACKAGE = Path(__file__).parent.parent
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


def check_exports(*destinations: str | None) -> None:
    """Refuse exports that could not be written in the end; ``None`` is one that was not asked for.

    Raises:
        OutputError: naming the destination.
        ParameterError: two exports go to standard output.
    """
    given = [destination for destination in destinations if destination is not None]
    if given.count(STANDARD_OUTPUT) > 1:
        raise ParameterError("only one export can go to stdout: give the others a file instead of '-'")
    for destination in given:
        check_destination(destination)


def do_each(*steps: Callable[[], object]) -> None:
    """Take all the steps in their order: one that fails keeps no other from being taken.

    A command gives what it writes before what it prints.

    Raises:
        Exception: what a step raised, after all were taken. Of several, an error of ours before what the user can
            put right, and the last before the others, which are said on standard error.
    """
    errors: list[Exception] = []
    for step in steps:
        try:
            step()
        except Exception as error:
            errors.append(error)
    raise_last(errors)


def raise_last(errors: Iterable[Exception]) -> None:
    """Say all errors but one on standard error, and raise that one; see :func:`do_each`."""
    ordered = sorted(errors, key=lambda error: explain(error)[1] == OUR_ERROR)
    for error in ordered[:-1]:
        say_error(error)
    if ordered:
        raise ordered[-1]


def say_error(error: BaseException, about: str = "") -> int:
    """Say what is wrong, and with what, on standard error, and return the exit code for it."""
    if os.environ.get(TRACEBACK_VARIABLE):
        traceback.print_exception(error)
    message, code = explain(error)
    print(f"Error: {terminal(f'{about}: {message}' if about else message)}", file=sys.stderr)
    return code


def explain(error: BaseException) -> tuple[str, int]:
    """The sentence for the user and the exit code."""
    if isinstance(error, NgbenchError):
        return one_line(error), error.exit_code
    if isinstance(error, _BadCommandLine):
        message = " ".join(error.format_message().split()).rstrip(".").replace("Value error, ", "")
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "ngbench"
        return f"{message} (see {path} --help)", 2
    return (
        f"unexpected {type(error).__name__}{_place(error)}: {one_line(error)} (an error of ngbench: please report this "
        f"line with the output of ngbench env; {TRACEBACK_VARIABLE}=1 shows the traceback)"
    ), OUR_ERROR


def _place(error: BaseException) -> str:
    """Where it was raised, as far as it is known: the innermost line of this package."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(_PACKAGE)]
    if not ours:
        return ""
    return f" at {Path(ours[-1].filename).relative_to(_PACKAGE.parent).as_posix()}:{ours[-1].lineno}"
