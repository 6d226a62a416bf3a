"""How the caller writes an argument, for messages: an option on the command line, a keyword in Python."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["are_options", "argument", "as_options", "spelled"]

_OPTIONS = {
    "optimizers": "--optimizer",
    "spaces": "--search or --space",
    "task_options": "--set",
}
"""Options that are not called as their keyword is."""

_options = False


@contextmanager
def as_options() -> Iterator[None]:
    """Within this, messages are for who gave options."""
    global _options
    before, _options = _options, True
    try:
        yield
    finally:
        _options = before


def are_options() -> bool:
    """Whether messages are for who gave options."""
    return _options


def spelled(name: str) -> str:
    """The name of an argument, without what marks it as one.

    >>> spelled("batch_size")
    'batch_size'
    """
    return name.replace("_", "-") if _options else name


def argument(name: str, value: str | int | None = None) -> str:
    """An argument, alone or with a value, as the caller gives it.

    >>> argument("batch_size"), argument("device", "cpu")
    ('`batch_size`', "`device='cpu'`")
    >>> with as_options():
    ...     argument("batch_size"), argument("device", "cpu"), argument("task_options")
    ('--batch-size', '--device cpu', '--set')
    """
    if not _options:
        return f"`{name}`" if value is None else f"`{name}={value!r}`"
    option = _OPTIONS.get(name, f"--{spelled(name)}")
    return option if value is None else f"{option} {value}"
