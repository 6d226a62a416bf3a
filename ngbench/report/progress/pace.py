"""How long something has been going on, and how long it will yet."""

from __future__ import annotations

import time
from collections.abc import Callable

from ngbench.units import format_seconds

__all__ = ["Pace"]

_LEAST_SECONDS = 2.0
"""After which a pace says something of the time that is left."""


class Pace:
    """Watches how a part of the whole grows with time, from when it begins to grow.

    Args:
        now: seconds that only ever grow.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._began: float | None = None
        self._grows_from: tuple[float, float] = (0.0, 0.0)

    def told(self, part: float) -> str:
        """The time since the first look, and the time left once that can be told: ``12 s, about 40 s left``."""
        now = self._now()
        if self._began is None:
            self._began, self._grows_from = now, (now, part)
        if part <= self._grows_from[1]:
            self._grows_from = now, part
        (since, first), passed = self._grows_from, _in_words(now - self._began)
        if part >= 1 or now - since < _LEAST_SECONDS:
            return passed
        return f"{passed}, about {_in_words((now - since) * (1 - part) / (part - first))} left"


def _in_words(seconds: float) -> str:
    return f"{seconds:.0f} s" if round(seconds) < 60 else format_seconds(seconds)
