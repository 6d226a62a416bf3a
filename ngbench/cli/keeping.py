"""What a command says of the directory that it keeps results in."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from ngbench.records.command_line import command_line

__all__ = ["closing", "opening"]


def opening(directory: Path, *, resume: bool = True) -> Iterator[str]:
    """Where the results go that no place was named for, and what goes on with them, even if the process is killed.

    Args:
        directory: that holds them.
        resume: whether the same command needs ``--resume`` to go on with them.
    """
    yield f"results go to {directory}"
    yield f"after an interruption: {_again(directory, resume=resume)}"


def closing(directory: Path, *, unfinished: bool, resume: bool = True) -> Iterator[str]:
    """How to see the results and, if something is left to do, how to go on; arguments as for :func:`opening`."""
    yield f"Results: ngbench report {shlex.quote(str(directory))}"
    if unfinished:
        yield f"To go on: {_again(directory, resume=resume)}"


def _again(directory: Path, *, resume: bool) -> str:
    """The command of this process, with the directory."""
    words = shlex.split(command_line() or "")
    # What follows two dashes is no option.
    end = words.index("--") if "--" in words else len(words)
    added = ["--resume"] if resume and "--resume" not in words[:end] else []
    added += [] if any(word.split("=")[0] == "--output" for word in words[:end]) else ["--output", str(directory)]
    return shlex.join([*words[:end], *added, *words[end:]])
