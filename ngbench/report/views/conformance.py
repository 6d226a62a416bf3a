"""Whether plugins do what the benchmark relies on."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ngbench.records.experiments import CheckRecord, PluginRecord
from ngbench.records.record import Document
from ngbench.report.blocks import Block, CheckRow, Checks, Notes

if TYPE_CHECKING:
    from ngbench.experiments.conformance import CheckResult

__all__ = ["headline", "row", "summary", "view"]

_STATES = ("passed", "failed", "not applicable")


def view(document: Document, *, reference: str | None = None, target_loss: float | None = None) -> list[Block]:
    """The rows of each plugin, and how many passed."""
    assert document.conformance is not None
    blocks: list[Block] = []
    for plugin in document.conformance.plugins:
        blocks += [one for found in plugin.checks for one in row(found)] + [Notes([summary(plugin)])]
    return blocks


def row(found: CheckRecord | CheckResult) -> list[Block]:
    """One row, as it comes."""
    return [Checks([CheckRow(found.name, found.status, found.message)], _STATES)]


def summary(plugin: PluginRecord) -> str:
    """How many checks of a plugin passed, failed and did not apply."""
    counts: Counter[str] = Counter(found.status for found in plugin.checks)
    told = ", ".join(f"{counts[status]} {status}" for status in _STATES if counts[status])
    origin = f", {plugin.distribution}" if plugin.distribution else ""
    return f"{plugin.plugin} ({plugin.kind}{origin}): {told}"


def headline(document: Document) -> str:
    """How many checks passed, failed and did not apply."""
    assert document.conformance is not None
    return "; ".join(map(summary, document.conformance.plugins))
