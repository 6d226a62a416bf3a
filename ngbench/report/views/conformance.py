"""Whether plugins do what the benchmark relies on."""

from __future__ import annotations

from collections import Counter

from ngbench.records.experiments import CheckRecord, PluginRecord
from ngbench.records.record import Document
from ngbench.report.blocks import Block, CheckRow, Checks, Notes

__all__ = ["headline", "rows", "summary", "view"]

_STATES = ("passed", "failed", "not applicable")


def view(document: Document, *, reference: str | None = None, target_loss: float | None = None) -> list[Block]:
    """The rows of each plugin, and how many passed."""
    assert document.conformance is not None
    return [
        block for plugin in document.conformance.plugins for block in (rows(*plugin.checks), Notes([summary(plugin)]))
    ]


def rows(*checks: CheckRecord) -> Checks:
    """A row for each check: of one alone as it comes, or of all."""
    return Checks([CheckRow(one.name, one.status, one.message) for one in checks], _STATES)


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
