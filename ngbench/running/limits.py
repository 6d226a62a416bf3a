"""What the numbers of a request may be. Loads no torch, so that the command line can check them while it parses."""

from __future__ import annotations

import re
from typing import Annotated, Any

from ngbench.errors import ParameterError
from ngbench.plugins.parameters import Range
from ngbench.spelling import spelled

__all__ = ["Count", "Seed", "Seeds", "Threads", "seconds"]

LONGEST = 1e9
"""Seconds of the longest time limit, about 32 years."""

Count = Annotated[int, Range(minimum=1, maximum=10**9)]
Seed = Annotated[int, Range(minimum=0, below=2**63)]
Seeds = Annotated[int, Range(minimum=1, maximum=10_000)]
"""A record for each is planned before anything runs."""
Threads = Annotated[int, Range(minimum=1, maximum=1024)]
"""More than any machine has cores; a million is more than a process can start."""

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}
_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?", re.ASCII)


def seconds(duration: Any) -> float:
    """Seconds meant by ``10m``, ``1h30m``, ``90s``, ``90`` or a number.

    Raises:
        ParameterError: it is no duration longer than zero.
    """
    if isinstance(duration, (int, float)) and not isinstance(duration, bool):
        meant = float(duration)
    else:
        match = _DURATION.fullmatch(str(duration).strip().replace(" ", ""))
        parts = match.groups() if match else ()
        meant = sum(float(part) * unit for part, unit in zip(parts, _UNITS.values(), strict=False) if part)
    if not 0 < meant <= LONGEST:
        raise ParameterError(
            f"{spelled('time_limit')}={duration} is not allowed, it must be a duration longer than 0 such as 90s, "
            f"10m or 1h30m, and at most {LONGEST:g} s"
        )
    return meant
