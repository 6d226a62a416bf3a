"""Standard output and standard error that outlast whatever they lead to.

A stream may be closed, lead to a full disk, to a reader that went away, or have an encoding without the character that
is written. None of that may end a command before its results are kept, or change its verdict. So characters are
replaced, and what the system refuses is kept for :func:`write_out` and for the end of the program instead of raised.
Both streams may be the log of a workflow, in which no line of ours is a command that was not meant to be one.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any, TextIO

from ngbench.errors import OutputError
from ngbench.escaping import WorkflowLog

__all__ = ["lasting_streams", "result_apart", "stdout_problem", "write_commands", "write_out"]


class _Lasting:
    """A text stream that keeps the first error of the system in ``problem``, and goes on into nothing."""

    def __init__(self, stream: TextIO, problem: OSError | None = None) -> None:
        self._stream = stream
        self.problem = problem
        self.told = False
        self._log = WorkflowLog()

    def write(self, text: str) -> int:
        self.write_commands(self._log.passed(text))
        return len(text)

    def write_commands(self, text: str) -> None:
        """Write as it is what may be meant for the runner of a workflow."""
        with self._outlasted():
            self._stream.write(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        with self._outlasted():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextmanager
    def _outlasted(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._give_up(error)
        except ValueError:
            # Somebody's code closed it.
            if not self._stream.closed:
                raise
            self._give_up(OSError(errno.EBADF, "it is closed"))

    def _give_up(self, error: OSError) -> None:
        self.problem = self.problem or error
        # What is in the buffer would be refused again, at the latest when the interpreter ends.
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


@contextmanager
def lasting_streams() -> Iterator[None]:
    """Within it, writing to ``sys.stdout`` and ``sys.stderr`` raises nothing."""
    _fill_descriptors()
    before = sys.stdout, sys.stderr
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        sys.stdout, sys.stderr = (_lasting(stream, nowhere) for stream in before)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            sys.stdout, sys.stderr = before


@contextmanager
def result_apart() -> Iterator[None]:
    """Within it, ``sys.stdout`` alone leads to standard output: its descriptor is for code of others.

    A library that writes to descriptor 1, or a program that it starts, would otherwise write into a result. What they
    write goes to standard error.
    """
    stream = sys.stdout
    try:
        ours = os.dup(1)
    except OSError:
        # It is closed.
        yield
        return
    if _descriptor(stream) == 1:
        with suppress(OSError):
            stream.flush()
        sys.stdout = open(ours, "w", encoding=stream.encoding, errors=stream.errors, closefd=False)  # noqa: SIM115
        sys.stdout.reconfigure(line_buffering=bool(stream.line_buffering))
    _lead_astray()
    try:
        yield
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        sys.stdout = stream
        os.dup2(ours, 1)
        os.close(ours)


def _descriptor(stream: TextIO | None) -> int | None:
    try:
        return None if stream is None else stream.fileno()
    except (OSError, ValueError):
        return None


def _lead_astray() -> None:
    try:
        os.dup2(2, 1)
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.close(nowhere)


def write_out(text: str) -> None:
    """Write what was asked for on standard output, where it can be lost.

    Raises:
        OutputError: it is closed or the system refuses it. A reader who goes away has read all that was wanted.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        raise OutputError(_sentence(error)) from error
    problem = stdout_problem()
    if problem is not None:
        raise OutputError(problem)


def write_commands(text: str, stream: IO[str]) -> None:
    """Write whole lines that the runner of a GitHub workflow is to take for commands; it takes nothing else for one.

    Args:
        text: of :func:`ngbench.escaping.workflow_command`.
        stream: standard output or standard error.
    """
    write: Any = getattr(stream, "write_commands", stream.write)
    write(text)
    stream.flush()


def stdout_problem() -> str | None:
    """Why standard output could not take what was written, in one sentence, the first time that this is asked."""
    stream: Any = sys.stdout
    if not isinstance(stream, _Lasting) or stream.told:
        return None
    if stream.problem is None or isinstance(stream.problem, BrokenPipeError):
        return None
    stream.told = True
    return _sentence(stream.problem)


def _sentence(error: OSError) -> str:
    return f"cannot write to standard output: {error.strerror or error}"


def _lasting(stream: TextIO | None, nowhere: TextIO) -> Any:
    if stream is None:
        return _Lasting(nowhere, OSError(errno.EBADF, "it is closed"))
    with suppress(AttributeError, ValueError):
        stream.reconfigure(errors="replace")  # type: ignore[attr-defined]
    return _Lasting(stream)


def _fill_descriptors() -> None:
    """Keep a file that is opened later from becoming standard output, where that is closed."""
    while True:
        descriptor = os.open(os.devnull, os.O_RDWR)
        if descriptor > 2:
            os.close(descriptor)
            return
        os.set_inheritable(descriptor, True)
