"""What stands between this machine and measurements that can be trusted."""

from __future__ import annotations

from ngbench.records.experiments import FindingState
from ngbench.records.record import Document
from ngbench.report.blocks import Block, CheckRow, Checks, Conclusion, Counts

__all__ = ["headline", "view"]

_WORST_FIRST = (FindingState.BAD, FindingState.NOTE, FindingState.GOOD)


def view(document: Document, *, reference: str | None = None, target_loss: float | None = None) -> list[Block]:
    """A row for each finding, the worst first, and how many need attention."""
    assert document.doctor is not None
    findings = [one for state in _WORST_FIRST for one in document.doctor.findings if one.state is state]
    checks = [
        CheckRow(one.topic, one.state.value, one.fact, "" if one.state is FindingState.GOOD else one.advice)
        for one in findings
    ]
    bad = [one.topic for one in findings if one.state is FindingState.BAD]
    found: list[Block] = [Checks(checks, [state.value for state in FindingState]), _counts(document)]
    return [*found, Conclusion(f"Bad: {', '.join(bad)}", "bad")] if bad else found


def headline(document: Document) -> str:
    """How many findings need attention."""
    return str(_counts(document))


def _counts(document: Document) -> Counts:
    assert document.doctor is not None
    counts = [(state.value, sum(one.state is state for one in document.doctor.findings)) for state in _WORST_FIRST]
    return Counts([(name, count) for name, count in counts if count], of="finding")
