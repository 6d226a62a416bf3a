"""Who works on a trial, and whether it still does.

A process that was killed says nothing. On its own machine the system knows that it is gone; from another machine that
is judged by its last sign of life.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from typing import Any

import psutil

__all__ = ["HEARTBEAT_SECONDS", "is_alive", "this_worker"]

HEARTBEAT_SECONDS = 60.0
"""Time between two signs of life of a worker."""

STALE_SECONDS = 600.0
"""After so long without one, a worker on another machine counts as dead."""

# Process start times are known to a clock tick, from a boot time that clock adjustments move.
_START_TOLERANCE = 2.0


def this_worker() -> dict[str, Any]:
    """What tells this process from all others: where it runs, its id, and since when."""
    return {"host": _host(), "pid": os.getpid(), "started": psutil.Process().create_time()}


@cache
def _host() -> str:
    """The machine's name; with containers, the space in which its process ids mean something."""
    space = ""
    with suppress(OSError):
        space = os.readlink("/proc/self/ns/pid")
    return f"{socket.gethostname()} {space}".strip()


def is_alive(worker: Mapping[str, Any], last_sign: float, now: float | None = None) -> bool:
    """Whether the worker may still be at work.

    Args:
        worker: what :func:`this_worker` said in it.
        last_sign: when it was last heard of, in seconds since 1970, by a clock that may be off by up to
            :data:`STALE_SECONDS`; a sign from further in the future is none.
        now: the present time, likewise; the clock's by default.
    """
    if worker["host"] != _host():
        return abs((time.time() if now is None else now) - last_sign) < STALE_SECONDS
    try:
        process = psutil.Process(worker["pid"])
        started, status = process.create_time(), process.status()
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
    return abs(started - worker["started"]) < _START_TOLERANCE and status != psutil.STATUS_ZOMBIE
