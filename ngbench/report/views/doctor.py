"""What stands between this machine and measurements that can be trusted."""

from __future__ import annotations

from collections.abc import Sequence

from ngbench.experiments.doctor.findings import Finding, State
from ngbench.report.blocks import Block, CheckRow, Checks, Counts

__all__ = ["view"]


def view(findings: Sequence[Finding]) -> list[Block]:
    """A row for each finding, and how many need attention."""
    checks = [CheckRow(one.topic, one.state.value, one.fact, one.advice) for one in findings]
    counts = [(state.value, sum(one.state is state for one in findings)) for state in State]
    found = Counts([(name, count) for name, count in counts if count], of="finding")
    return [Checks(checks, [state.value for state in State]), found]
