"""The comparison with a baseline on the terminal and as Markdown for a pull request."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from rich.console import Console, Group, RenderableType
from rich.text import Text

from ngbench.escaping import markdown, terminal
from ngbench.records.gate import Report
from ngbench.records.verdict import Verdict
from ngbench.report.check_columns import format_check, format_outcome, format_remarks
from ngbench.report.columns import Column
from ngbench.report.exports import format_table
from ngbench.report.tables import packed

__all__ = ["format_report", "format_report_markdown", "print_report"]

_SIGNS = {
    Verdict.WORSE.value: "❌ worse",
    Verdict.BETTER.value: "✅ better",
    Verdict.INCONCLUSIVE.value: "❔ inconclusive",
}


def print_report(report: Report, *, console: Console) -> None:
    """Print what got better, worse or stayed, what could not be compared, and the outcome in one line."""
    console.print(format_report(report, width=console.width))


def format_report(report: Report, *, width: int) -> RenderableType:
    """The report for a terminal of so many columns."""
    parts: list[RenderableType] = []
    if report.comparisons:
        parts += _tables(format_check(report), width)
    parts += [Text(terminal(remark)) for remark in format_remarks(report)]
    parts += [Text.assemble(("Not comparable: ", "bold red"), terminal(str(problem))) for problem in report.problems]
    failed = report.error is not None
    parts.append(Text(format_outcome(report), style="bold red" if failed else "bold green"))
    return Group(*parts)


def format_report_markdown(report: Report) -> str:
    """The report as Markdown with a GitHub table."""
    parts = [f"### ngbench: {format_outcome(report)}"]
    if report.comparisons:
        columns = format_check(report)
        verdicts = columns[-1]
        columns[-1] = Column(verdicts.name, [_SIGNS.get(cell, cell) for cell in verdicts.cells], left=True)
        parts.append(format_table(columns))
    remarks = [f"- {markdown(remark)}" for remark in format_remarks(report)]
    remarks += [f"- **Not comparable:** {markdown(str(problem))}" for problem in report.problems]
    parts.append("\n".join(remarks))
    return "\n\n".join(part for part in parts if part) + "\n"


def _tables(columns: list[Column], width: int) -> Iterator[RenderableType]:
    """A table for each arm, whose name stands above it instead of beside each row."""
    metric, arm, *numbers, verdict = columns
    shown = [metric, verdict, *numbers]
    for label in dict.fromkeys(arm.cells):
        rows = [at for at, cell in enumerate(arm.cells) if cell == label]
        # The interval stands under its change, so that more columns fit beside each other.
        cells = [[column.cells[at].replace(" (+", "\n(+").replace(" (−", "\n(−") for at in rows] for column in shown]
        yield from packed(
            label, [replace(column, cells=ours) for column, ours in zip(shown, cells, strict=True)], width
        )
