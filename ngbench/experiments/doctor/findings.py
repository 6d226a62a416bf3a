"""A finding of ``ngbench doctor``: a fact, what it means for measurements, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

__all__ = ["NOTHING", "Finding", "State"]

NOTHING = "nothing to do"


class State(str, Enum):
    """How much a finding matters."""

    GOOD = "good"
    """As it should be."""
    NOTE = "note"
    """Worth knowing: it limits what can be measured here, or could not be found out."""
    BAD = "bad"
    """Measurements, or what they need, suffer from it."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        topic: what was looked at, the same words on every machine.
        state: how much it matters.
        fact: what was found.
        advice: what to do next.
        values: the numbers and names behind the fact, for programs.
    """

    topic: str
    state: State
    fact: str
    advice: str = NOTHING
    values: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The finding as JSON has it."""
        return {
            "topic": self.topic,
            "state": self.state.value,
            "fact": self.fact,
            "advice": self.advice,
            "values": dict(self.values),
        }
