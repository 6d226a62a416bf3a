"""Journals in the manner of Optuna: a line for each change, of which a killed process may leave half of the last."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

__all__ = ["mend"]

logger = logging.getLogger(__name__)

_HEAD = b'{"op_code":'
_LONGEST_LINE = 1 << 20


def mend(path: Path) -> bool:
    """Bring the journal to its last whole line, so that the next one is not glued to half a line.

    A line that lacks its end alone is given one; what there is of another is cut off, and a warning says so. What does
    not begin as a line of a journal does is left alone. No other process may be writing.

    Returns:
        Whether the journal is empty or ends with a line that can be read.

    Raises:
        OSError: it cannot be read or written.
    """
    with path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - _LONGEST_LINE))
        *before, tail = file.read().rsplit(b"\n", 2)
        if not tail:
            return not before or _is_whole(before[-1])
        if _is_whole(tail):
            file.seek(end)
            file.write(b"\n")
        elif _HEAD.startswith(tail[: len(_HEAD)]) or not tail.strip(b"\0"):
            file.truncate(end - len(tail))
            logger.warning(
                "the last line of %s is cut off: only %d bytes of it had been written when a process was killed "
                "or the disk was full",
                path,
                len(tail),
            )
        else:
            return False
        file.flush()
        os.fsync(file.fileno())
    return True


def _is_whole(line: bytes) -> bool:
    try:
        return "op_code" in json.loads(line)
    except (ValueError, TypeError, RecursionError):
        return False
