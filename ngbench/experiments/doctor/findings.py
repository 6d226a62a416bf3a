"""A finding of ``ngbench doctor``: a fact, what it means for measurements, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ngbench.records.environment import describe_environment
from ngbench.records.experiments import DoctorRecord, FindingRecord, FindingState
from ngbench.records.record import Document

__all__ = ["NOTHING", "finding", "findings_document"]

NOTHING = "nothing to do"


def finding(
    topic: str, state: FindingState, fact: str, advice: str = NOTHING, values: Mapping[str, Any] | None = None
) -> FindingRecord:
    """One thing that was looked at."""
    return FindingRecord(topic=topic, state=state, fact=fact, advice=advice, values=dict(values or {}))


def findings_document(findings: Sequence[FindingRecord]) -> Document:
    """The findings, and the environment in which they were made."""
    return Document(environment=describe_environment(), runs=[], doctor=DoctorRecord(findings=list(findings)))
