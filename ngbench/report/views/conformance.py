"""Whether plugins do what the benchmark relies on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ngbench.report.blocks import Block, CheckRow, Checks, Notes

if TYPE_CHECKING:
    from ngbench.experiments.conformance import Report, Row

__all__ = ["row", "summary", "view"]

_STATES = ("passed", "failed", "not applicable")


def view(reports: Sequence[Report]) -> list[Block]:
    """The rows of each plugin, and how many passed."""
    blocks: list[Block] = []
    for report in reports:
        blocks += [one for found in report.rows for one in row(found)] + [Notes([summary(report)])]
    return blocks


def row(found: Row) -> list[Block]:
    """One row, as it comes."""
    return [Checks([CheckRow(found.name, found.status, found.message)], _STATES)]


def summary(report: Report) -> str:
    """How many checks of a plugin passed, failed and did not apply."""
    counts: Counter[str] = Counter(found.status for found in report.rows)
    told = ", ".join(f"{counts[status]} {status}" for status in _STATES if counts[status])
    origin = f", {report.distribution}" if report.distribution else ""
    return f"{report.plugin} ({report.kind}{origin}): {told}"
