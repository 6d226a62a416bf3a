"""The command that this process was called with, as it can be typed again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["called_as", "command_line"]

_COMMAND: ContextVar[str | None] = ContextVar("command", default=None)


@contextmanager
def called_as(command: Sequence[str]) -> Iterator[None]:
    """What is recorded inside was made by this command."""
    token = _COMMAND.set(shlex.join(command))
    try:
        yield
    finally:
        _COMMAND.reset(token)


def command_line() -> str | None:
    """The command, quoted for a shell; ``None`` in a process of Python that called no command."""
    return _COMMAND.get()
