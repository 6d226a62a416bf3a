"""The phases of a training step, and the protocol by which an optimizer reports them.

``PHASES`` fixes the vocabulary. An optimizer that wants its cost broken down has an attribute ``phase`` that
it enters around its own work::

    with self.phase("accumulate"):
        ...

It is :data:`no_phase` until a recorder replaces it; an optimizer without the attribute is timed as a whole,
under the name ``step``. Phases nest: the time of an inner phase is not counted in the outer one.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

__all__ = ["PHASES", "PhaseContext", "no_phase"]

PHASES = (
    "forward",
    "backward",
    "curvature_backward",
    "accumulate",
    "refresh",
    "precondition",
    "update",
    "step",
)

PhaseContext = Callable[[str], AbstractContextManager[None]]

_NULL = nullcontext()


def no_phase(name: str) -> AbstractContextManager[None]:
    """The phase context of an optimizer that nobody measures."""
    return _NULL
