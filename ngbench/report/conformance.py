"""The rows of a conformance test on the terminal, as JSON, and in one line."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from ngbench.escaping import terminal

if TYPE_CHECKING:
    from ngbench.experiments.conformance import Report, Row

__all__ = ["format_conformance_json", "format_conformance_row", "format_summary", "print_conformance_row"]

_STYLES = {"passed": "green", "failed": "bold red", "not applicable": "dim"}
_STATUS_WIDTH = max(map(len, _STYLES))
_NAME_WIDTH = 26
_TABLE_WIDTH = 80


def print_conformance_row(row: Row, *, console: Console) -> None:
    """Print one row, its message beside its name however long it is."""
    console.print(format_conformance_row(row, width=console.width))


def format_conformance_row(row: Row, *, width: int) -> RenderableType:
    """Status, name and message in columns that are the same for all rows, or below each other if that is narrow."""
    style = _STYLES[row.status]
    dim = "dim" if row.status == "not applicable" else ""
    if width < _TABLE_WIDTH:
        return Text.assemble(
            (row.status, style),
            f"  {terminal(row.name)}",
            f"\n  {terminal(row.message)}" if row.message else "",
            style=dim,
        )
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=_STATUS_WIDTH)
    table.add_column(width=_NAME_WIDTH)
    table.add_column(overflow="fold")
    table.add_row(
        Text(row.status, style=style), Text(terminal(row.name), style=dim), Text(terminal(row.message), style=dim)
    )
    return table


def format_summary(report: Report) -> str:
    """How many checks of a plugin passed, failed and did not apply."""
    counts: Counter[str] = Counter(row.status for row in report.rows)
    told = ", ".join(f"{counts[status]} {status}" for status in _STYLES if counts[status])
    origin = f", {report.distribution}" if report.distribution else ""
    return f"{report.plugin} ({report.kind}{origin}): {told}"


def format_conformance_json(reports: Sequence[Report]) -> str:
    """All rows of all plugins: name, status, message and measured values of each."""
    document: dict[str, Any] = {
        "reports": [
            {
                "plugin": report.plugin,
                "kind": report.kind,
                "distribution": report.distribution,
                "failed": [row.name for row in report.failed],
                "checks": [asdict(row) | {"values": dict(row.values)} for row in report.rows],
            }
            for report in reports
        ]
    }
    return json.dumps(document, indent=2, allow_nan=False) + "\n"
