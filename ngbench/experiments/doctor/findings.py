"""A finding of ``ngbench doctor``: a fact, what it means for measurements, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ngbench.records.environment import describe_environment
from ngbench.records.experiments import DoctorRecord, FindingRecord, FindingState
from ngbench.records.record import Document

__all__ = ["NOTHING", "Finding", "findings_document"]

NOTHING = "nothing to do"


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
    state: FindingState
    fact: str
    advice: str = NOTHING
    values: Mapping[str, Any] = field(default_factory=dict)

    def as_record(self) -> FindingRecord:
        """The finding as a document has it."""
        return FindingRecord(
            topic=self.topic, state=self.state, fact=self.fact, advice=self.advice, values=dict(self.values)
        )


def findings_document(findings: Sequence[Finding]) -> Document:
    """The findings, and the environment in which they were made."""
    found = DoctorRecord(findings=[finding.as_record() for finding in findings])
    return Document(environment=describe_environment(), runs=[], doctor=found)
