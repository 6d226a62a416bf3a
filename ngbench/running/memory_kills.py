"""Whether the system killed a process because memory ran out, as far as it can be known."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

__all__ = ["memory_kills"]

_OURS = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")
_SYSTEM = Path("/proc/vmstat")


def memory_kills() -> int | None:
    """How many processes the system has killed for memory: of our control group, else of the machine.

    Two calls with the same number between which a process died say that this was not why. ``None`` where the system
    does not count (other systems than Linux).
    """
    for path in _counters():
        with suppress(OSError, ValueError):
            for line in path.read_text(encoding="ascii").splitlines():
                name, _, value = line.partition(" ")
                if name == "oom_kill":
                    return int(value)
    return None


def _counters() -> Iterator[Path]:
    lines: list[str] = []
    with suppress(OSError, ValueError):
        lines = _OURS.read_text(encoding="utf-8").splitlines()
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if number == "0" and not controllers:
            # Version 2 of control groups; the counter includes the groups below.
            yield _GROUPS / group.lstrip("/") / "memory.events"
        elif "memory" in controllers.split(","):
            yield _GROUPS / "memory" / group.lstrip("/") / "memory.oom_control"
    yield _SYSTEM
