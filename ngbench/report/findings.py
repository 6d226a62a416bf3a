"""The findings of ``ngbench doctor`` on the terminal and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ngbench.escaping import terminal
from ngbench.experiments.doctor.findings import Finding, State

__all__ = ["findings_json", "format_findings", "print_findings"]

_STYLES = {State.GOOD: "green", State.NOTE: "yellow", State.BAD: "bold red"}

_LEAST_TEXT = 36
"""Columns that a table must leave for what was found and what to do."""
_GAP = 2


def print_findings(findings: Sequence[Finding], *, console: Console) -> None:
    """Print a row for each finding, and how many need attention."""
    console.print(format_findings(findings, width=console.width))


def format_findings(findings: Sequence[Finding], *, width: int) -> RenderableType:
    """The table, or a paragraph for each finding where that is too narrow, and the line under it."""
    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("what", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("found", overflow="fold", ratio=3)
    table.add_column("what to do next", overflow="fold", ratio=2)
    for finding in findings:
        state = Text(finding.state.value, _STYLES[finding.state])
        table.add_row(
            Text(terminal(finding.topic)), state, Text(terminal(finding.fact)), Text(terminal(finding.advice))
        )
    topics = max((cell_len(terminal(finding.topic)) for finding in findings), default=0)
    if width - topics - max(len(state.value) for state in State) - 3 * _GAP < _LEAST_TEXT:
        shown: RenderableType = Group(*map(_paragraph, findings))
    else:
        shown = table
    counts = {state: sum(finding.state is state for finding in findings) for state in State}
    words = ", ".join(f"{count} {state.value}" for state, count in counts.items() if count)
    return Group(shown, Text(f"\n{len(findings)} findings: {words}"))


def _paragraph(finding: Finding) -> Text:
    lines = [terminal(finding.fact), f"→ {terminal(finding.advice)}" if finding.advice else ""]
    state = (finding.state.value, _STYLES[finding.state])
    return Text.assemble(terminal(finding.topic), "  ", state, *(f"\n  {line}" for line in lines if line))


def findings_json(findings: Sequence[Finding], environment: Mapping[str, Any]) -> str:
    """The findings, and the environment in which they were made, as a JSON document with a newline at its end."""
    content = {"environment": dict(environment), "findings": [finding.as_dict() for finding in findings]}
    return json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
