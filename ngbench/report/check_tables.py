"""The comparison with a baseline on the terminal and as Markdown for a pull request."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ngbench.escaping import markdown
from ngbench.report.check_columns import format_check, format_outcome, format_remarks
from ngbench.report.columns import Column
from ngbench.report.exports import format_table
from ngbench.results.gate import Report
from ngbench.results.verdict import Verdict

__all__ = ["format_report", "format_report_markdown", "print_report"]

_STYLES = {
    Verdict.WORSE.value: "bold red",
    Verdict.BETTER.value: "green",
    Verdict.INCONCLUSIVE.value: "yellow",
}
_SIGNS = {
    Verdict.WORSE.value: "❌ worse",
    Verdict.BETTER.value: "✅ better",
    Verdict.INCONCLUSIVE.value: "❔ inconclusive",
}


def print_report(report: Report, *, console: Console) -> None:
    """Print what got better, worse or stayed, what could not be compared, and the outcome in one line."""
    console.print(format_report(report))


def format_report(report: Report) -> RenderableType:
    """The report for a terminal."""
    parts: list[RenderableType] = []
    if report.comparisons:
        for table in _tables(format_check(report)):
            parts += [table, Text()]
    parts += [Text(remark) for remark in format_remarks(report)]
    parts += [Text.assemble(("Not comparable: ", "bold red"), str(problem)) for problem in report.problems]
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


def _tables(columns: list[Column]) -> Iterator[Table]:
    """A table for each arm, whose name stands above it instead of beside each row."""
    arms = columns[1].cells
    shown = [columns[0], *columns[2:]]
    for arm in dict.fromkeys(arms):
        table = Table(
            title=Text(arm, "bold"),
            title_justify="left",
            box=None,
            padding=(0, 2, 0, 0),
            pad_edge=False,
            header_style="dim",
        )
        for column in shown:
            folds = column.name == "metric"
            table.add_column(
                column.name, justify="left" if column.left else "right", no_wrap=not folds, overflow="fold"
            )
        for at in (at for at, label in enumerate(arms) if label == arm):
            *cells, verdict = (column.cells[at] for column in shown)
            cells = [cells[0], *(cell.replace(" (", "\n(") for cell in cells[1:])]
            table.add_row(*map(Text, cells), Text(verdict, _STYLES.get(verdict, "")))
        yield table
