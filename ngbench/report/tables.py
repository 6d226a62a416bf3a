"""The tables on the terminal: ``format_*`` builds renderables, ``print_*`` writes them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ngbench.escaping import terminal, terminal_lines
from ngbench.records.record import Document
from ngbench.report.advice import find_warnings
from ngbench.report.columns import (
    Column,
    break_label,
    format_breakdown,
    format_cost,
    format_hyperparameters,
    format_notes,
    format_progress,
)
from ngbench.report.diagnostics import format_diagnostics
from ngbench.report.heading import ORIGINS, arm_descriptions, data_descriptions, describe_conditions
from ngbench.report.summary import Arm, recorded_target, shared_seconds, summarise
from ngbench.report.update_costs import format_update_costs

__all__ = [
    "format_comparison",
    "format_heading",
    "format_notes",
    "format_run",
    "packed",
    "print_columns",
    "print_comparison",
    "print_run",
]

_STYLES = {
    "done": "green",
    "stopped early": "green",
    "diverged": "bold red",
    "failed": "bold red",
    "out of memory": "bold red",
    "killed": "bold red",
    "worse": "bold red",
    "better": "green",
    "inconclusive": "yellow",
}
_LABEL = 24
_LEAST_LABEL = 8
_LEAST_ROOM = 14
_LEAST_TEXT = 30
_GAP = 2


def print_comparison(
    document: Document,
    *,
    reference: str | None = None,
    target_loss: float | None = None,
    console: Console,
) -> None:
    """Print what ran, how far each arm got, what it cost, its cost per update by phase, and warnings.

    Args:
        document: runs of one task.
        reference: label of the arm that the others' step times are divided by; the first arm by default.
        target_loss: training loss to reach; the recorded one by default.
        console: where to; its width decides how many columns a table takes.

    Raises:
        NotComparableError: the runs belong to different tasks.
        UnknownNameError: no arm has the reference's label.
    """
    console.print(format_comparison(document, reference=reference, target_loss=target_loss, width=console.width))


def print_run(document: Document, *, target_loss: float | None = None, console: Console) -> None:
    """Print what a single arm did, over all its seeds: the same numbers, one below the other."""
    console.print(format_run(document, target_loss=target_loss, width=console.width))


def format_comparison(
    document: Document, *, reference: str | None = None, target_loss: float | None = None, width: int
) -> RenderableType:
    """The whole report of a comparison for a terminal of so many columns."""
    target = recorded_target(document) if target_loss is None else target_loss
    arms = summarise(document, reference=reference, target_loss=target)
    if not arms:
        return Text("no runs")
    parts: list[RenderableType] = [format_heading(document), Text()]
    parts += packed("Progress", format_progress(arms, target, shared_seconds(document)), width)
    parts += packed("Cost", format_cost(arms), width)
    parts += _breakdowns(arms, width)
    if diagnostics := format_diagnostics(arms):
        parts += packed("Diagnostics", diagnostics, width)
    if update_costs := format_update_costs(arms):
        parts += packed("Cost per update, measured and predicted", update_costs, width)
    parts += _footer(document, arms, reference, target)
    return Group(*parts)


def format_run(document: Document, *, target_loss: float | None = None, width: int) -> RenderableType:
    """The whole report of a single arm for a terminal of so many columns."""
    target = recorded_target(document) if target_loss is None else target_loss
    arms = summarise(document, target_loss=target)
    if len(arms) != 1:
        return format_comparison(document, target_loss=target, width=width)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for column in [*format_progress(arms, target, None)[1:], *format_cost(arms)[1:]]:
        table.add_row(Text(terminal(column.name)), _cell(column, terminal(column.cells[0])))
    return Group(
        format_heading(document),
        Text(),
        table,
        Text(),
        *_breakdowns(arms, width),
        *_footer(document, arms, None, target),
    )


def print_columns(title: str, columns: Sequence[Column], console: Console) -> None:
    """Print one table, in several parts where it is wider than the console."""
    for part in packed(title, columns, console.width):
        console.print(part)


def format_heading(document: Document) -> RenderableType:
    """What ran: task, data and their origin, device, dtype, threads, batch size, seeds, hyper-parameters."""
    first = document.runs[0]
    heading = Text()
    heading.append(terminal(first.task), style="bold")
    if first.task_options:
        heading.append(f" {terminal(format_hyperparameters(first.task_options))}")
    for origin, described in data_descriptions(document):
        data = Text(f"\ndata: {terminal(described)}")
        if origin == "stand-in":
            data.highlight_words([ORIGINS[origin]], style="bold yellow")
        heading.append(data)
    heading.append(f"\n{terminal(describe_conditions(document))}")
    arms = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    arms.add_column(overflow="fold")
    arms.add_column(overflow="fold", style="dim")
    for label, described in arm_descriptions(document):
        arms.add_row(Text(break_label(terminal(label))), Text(terminal(described)))
    return Group(heading, arms)


def packed(title: str, columns: Sequence[Column], width: int) -> Iterator[RenderableType]:
    """Tables of the columns in their order, each as wide as fits and each beginning with the first column.

    No cell is cut. What is wider than there is room for breaks between words, and a text takes what room is left.
    """
    label = max(_LEAST_LABEL, min(_LABEL, width - _LEAST_ROOM - _GAP))
    title, columns = terminal(title), [_printable(column) for column in columns]
    first = replace(columns[0], cells=[break_label(terminal(cell), label) for cell in columns[0].cells])
    room = width - _width(first) - _GAP
    rest = list(columns[1:])
    part = 0
    while rest:
        taken = [_narrowed(rest.pop(0), room)]
        left = room - _width(taken[0]) - _GAP
        while rest and (_width(rest[0]) <= left or (rest[0].left and left >= _LEAST_TEXT)):
            taken.append(_narrowed(rest.pop(0), left))
            left -= _width(taken[-1]) + _GAP
        yield _table(title if part == 0 else f"{title} (continued)", [first, *taken])
        yield Text()
        part += 1


def _printable(column: Column) -> Column:
    """The column, whose cells may have line breaks of ours."""
    return replace(column, name=terminal_lines(column.name), cells=[*map(terminal_lines, column.cells)])


def _narrowed(column: Column, room: int) -> Column:
    """The column with lines of at most so many characters, if its words allow it; words of a text are broken too."""

    def narrow(text: str) -> str:
        lines = [
            part
            for line in text.split("\n")
            for part in textwrap.wrap(line, max(room, 1), break_long_words=column.left, break_on_hyphens=False) or [""]
        ]
        return "\n".join(lines)

    if _width(column) <= room:
        return column
    return replace(column, name=narrow(column.name), cells=[narrow(cell) for cell in column.cells])


def _width(column: Column) -> int:
    return max(cell_len(line) for text in (column.name, *column.cells) for line in text.split("\n"))


def _table(title: str, columns: Sequence[Column]) -> Table:
    table = Table(
        title=Text(title, "bold"),
        title_justify="left",
        box=None,
        padding=(0, 2, 0, 0),
        pad_edge=False,
        header_style="dim",
    )
    for column in columns:
        table.add_column(
            Text(column.name),
            justify="left" if column.left else "right",
            vertical="bottom",
            no_wrap=True,
            min_width=_width(column),
        )
    for row in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*(_cell(column, cell) for column, cell in zip(columns, row, strict=True)))
    return table


def _cell(column: Column, cell: str) -> Text:
    return Text(cell, style=_STYLES.get(cell, "") if column.name in ("status", "verdict") else "")


def _breakdowns(arms: Sequence[Arm], width: int) -> Iterator[RenderableType]:
    for arm in arms:
        if arm.phases:
            yield from packed(f"Cost per update: {arm.label}", format_breakdown(arm), width)


def _footer(
    document: Document, arms: Sequence[Arm], reference: str | None, target: float | None
) -> Iterator[RenderableType]:
    for note in format_notes(arms):
        yield Text(terminal(note), style="dim")
    for warning in find_warnings(document, reference=reference, target_loss=target):
        yield Text.assemble(("Warning: ", "yellow"), terminal(warning))
