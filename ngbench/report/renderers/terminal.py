"""Blocks on the terminal: :func:`render` builds what rich prints, :func:`show` prints it."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from ngbench.escaping import terminal, terminal_lines
from ngbench.report.blocks import (
    Bars,
    Block,
    Chart,
    CheckRow,
    Checks,
    Column,
    Conclusion,
    Counts,
    Facts,
    Heading,
    Images,
    Notes,
    Summary,
    Table,
    Tone,
    Warnings,
    tone_of,
)
from ngbench.report.columns import by_importance
from ngbench.units import break_label

__all__ = ["show"]

_STYLES: dict[Tone, str] = {"good": "green", "bad": "bold red", "doubt": "yellow", "none": "dim"}
_LABEL = 24
_LEAST_LABEL = 8
_LEAST_ROOM = 14
_LEAST_TEXT = 30
_GAP = 2
_CHECK_NAME = 26
_LEAST_CHECK, _LEAST_ADVISED = 36, 72
"""Columns that rows of checks leave for what was found, and for that and what to do."""
_DRAWN = (Chart, Bars, Images)


def show(blocks: Sequence[Block], console: Console) -> None:
    """Print the blocks; the console's width decides how many columns a table takes."""
    console.print(render(blocks, console.width))


def render(blocks: Sequence[Block], width: int) -> Group:
    """The blocks for a terminal of so many columns. Charts and images are for other outputs."""
    kept = [one for one in blocks if not isinstance(one, _DRAWN) and not (isinstance(one, Table) and one.beside_chart)]
    # What is seen without scrolling back is what comes last.
    shown = [one for section in _sections(kept) for one in sorted(section, key=_place)]
    parts: list[RenderableType] = []
    left_out: dict[str, None] = {}
    for before, block in pairwise([None, *shown, None]):
        if left_out and not isinstance(block, Table):
            names = ", ".join(left_out)
            parts.append(Text(f"Left out for want of room: {names} (--columns NAMES, or all)", style="dim"))
            left_out.clear()
        if isinstance(block, Table | Notes | Counts | Summary) and isinstance(before, Heading | Facts | Warnings):
            parts.append(Text())
        if isinstance(before, Table) and before.upright and not (isinstance(block, Table) and block.upright):
            parts.append(Text())
        if isinstance(block, Table) and not block.upright and not block.parted_by:
            block, without = _fitting(block, width)
            left_out |= dict.fromkeys(without)
        parts += _shown(block, width) if block is not None else ()
    return Group(*parts)


def _fitting(block: Table, width: int) -> tuple[Table, list[str]]:
    """The table with the most important columns that fit side by side, and the names of the others."""
    needed = sum(_GAP + _width(column) for column in block.columns[1:] if not column.key)
    room = width - needed - _width(_names(block.columns[0], width))
    left_out: list[Column] = []
    for column in by_importance(block.columns[1:]):
        if _GAP + _width(column) <= room:
            room -= _GAP + _width(column)
        else:
            left_out.append(column)
    kept = [column for column in block.columns if all(column is not one for one in left_out)]
    return replace(block, columns=kept), [column.key for column in left_out]


def _sections(blocks: Sequence[Block]) -> Iterator[list[Block]]:
    section: list[Block] = []
    for block in blocks:
        if isinstance(block, Heading) and section:
            yield section
            section = []
        section.append(block)
    yield section


def _place(block: Block) -> int:
    """What ran, the details, what was found, and what it comes to."""
    match block:
        case Heading() | Facts():
            return 0
        case Table(folded=True):
            return 1
        case Summary() | Conclusion():
            return 3
    return 2


def _shown(block: Block, width: int) -> Iterator[RenderableType]:
    match block:
        case Heading():
            yield Text.assemble((terminal(block.text), "bold"), f" {terminal(block.more)}" if block.more else "")
        case Facts():
            yield from [_arms(block)] if block.arms else _facts(block)
        case Table(upright=True):
            yield _upright(block)
        case Table():
            yield from _parted(block, width) if block.parted_by else _packed(block.title, block.columns, width)
        case Checks():
            yield from (_check(one, block, width) for one in block.checks)
        case Counts():
            yield Text(terminal(str(block)))
        case Notes():
            yield from (Text(terminal(note), style="dim") for note in block.notes)
        case Warnings():
            style = _STYLES[block.tone]
            yield from (Text.assemble((f"{block.word}: ", style), terminal(one)) for one in block.warnings)
        case Conclusion():
            yield Text(terminal(block.text), style=f"bold {_STYLES[block.tone].rpartition(' ')[2]}")
        case Summary():
            yield Text("Summary", style="bold")
            yield from (Text(terminal(sentence)) for sentence in block.sentences)


def _facts(block: Facts) -> Iterator[Text]:
    for fact in block.facts:
        text = Text(f"{terminal(fact.name)}: {terminal(fact.text)}")
        if fact.stressed:
            text.highlight_words([fact.stressed], style="bold yellow")
        yield text


def _arms(block: Facts) -> RichTable:
    arms = _grid()
    arms.add_column(overflow="fold")
    arms.add_column(overflow="fold", style="dim")
    for fact in block.facts:
        arms.add_row(Text(break_label(terminal(fact.name))), Text(terminal(fact.text)))
    return arms


def _grid() -> RichTable:
    return RichTable(box=None, show_header=False, padding=(0, _GAP, 0, 0), pad_edge=False)


def _upright(block: Table) -> RichTable:
    """The cells of the one row below each other; its title and its name are those of all that is shown."""
    table = _grid()
    table.add_column(style="dim", no_wrap=True, min_width=_LABEL)
    table.add_column(overflow="fold")
    for column in block.columns[1:]:
        table.add_row(Text(terminal(column.name)), _cell(column, 0, terminal(column.cells[0])))
    return table


def _parted(block: Table, width: int) -> Iterator[RenderableType]:
    """A table for each cell of a column, which stands above it, with the verdict beside the name of the row."""
    (parting,) = (column for column in block.columns if column.name == block.parted_by)
    first, *rest = (column for column in block.columns if column is not parting)
    columns = [first, *sorted(rest, key=lambda column: not column.toned)]
    for label in dict.fromkeys(parting.cells):
        rows = [at for at, cell in enumerate(parting.cells) if cell == label]
        ours = [
            replace(
                column,
                cells=[column.cells[at] for at in rows],
                best=frozenset(new for new, at in enumerate(rows) if at in column.best),
            )
            for column in columns
        ]
        yield from _packed(label, ours, width)


def _packed(title: str, columns: Sequence[Column], width: int) -> Iterator[RenderableType]:
    """Tables of the columns in their order, each as wide as fits and each beginning with the first column.

    No cell is cut. What is wider than there is room for breaks between words, and a text takes what room is left.
    """
    title, columns = terminal(title), [_printable(column) for column in columns]
    first = _names(columns[0], width)
    room = width - _width(first) - _GAP
    rest = list(columns[1:])
    part = 0
    while rest:
        taken = [_narrowed(rest.pop(0), room)]
        left = room - _width(taken[0]) - _GAP
        while rest and (_width(rest[0]) <= left or (rest[0].left and left >= _LEAST_TEXT)):
            taken.append(_narrowed(rest.pop(0), left))
            left -= _width(taken[-1]) + _GAP
        yield _table(title if part == 0 else f"{title} (continued)".strip(), [first, *taken])
        yield Text()
        part += 1


def _names(column: Column, width: int) -> Column:
    """The column of row names, which break where their parts do, unless a part has no room in half of the width."""
    cells = [terminal(cell) for cell in column.cells]
    longest = max((cell_len(part) for cell in cells for part in re.split(r"[,:@+]", cell)), default=0)
    least = max(_LEAST_LABEL, min(_LABEL, width - _LEAST_ROOM - _GAP))
    return replace(column, cells=[break_label(cell, max(least, min(longest + 1, width // 2))) for cell in cells])


def _printable(column: Column) -> Column:
    """The column, whose cells may have line breaks of ours."""
    return replace(column, name=terminal_lines(column.name), cells=[*map(terminal_lines, column.cells)])


def _narrowed(column: Column, room: int) -> Column:
    """The column with lines of at most so many characters, if its words allow it; words of a text are broken too."""

    def narrow(text: str) -> str:
        wrapper = textwrap.TextWrapper(max(room, 1), break_long_words=column.left, break_on_hyphens=column.left)
        lines = [part for line in text.split("\n") for part in wrapper.wrap(line) or [""]]
        return "\n".join(lines)

    if _width(column) <= room:
        return column
    return replace(column, name=narrow(column.name), cells=[narrow(cell) for cell in column.cells])


def _width(column: Column) -> int:
    return max(cell_len(line) for text in (column.name, *column.cells) for line in text.split("\n"))


def _table(title: str, columns: Sequence[Column]) -> RichTable:
    table = RichTable(
        title=Text(title, "bold"),
        title_justify="left",
        box=None,
        padding=(0, _GAP, 0, 0),
        pad_edge=False,
        header_style="dim",
    )
    # Sentences are read from their first line; numbers stand on the last line of their row's name.
    prose = any(column.left and not column.toned and "\n" in "".join(column.cells) for column in columns[1:])
    for column in columns:
        table.add_column(
            Text(column.name),
            justify="left" if column.left else "right",
            vertical="top" if prose else "bottom",
            no_wrap=True,
            min_width=_width(column),
        )
    for at, row in enumerate(zip(*(column.cells for column in columns), strict=True)):
        table.add_row(*(_cell(column, at, cell) for column, cell in zip(columns, row, strict=True)))
    return table


def _cell(column: Column, row: int, cell: str) -> Text:
    return Text(cell, style=_style(cell) if column.toned else "bold" if row in column.best else "")


def _style(state: str) -> str:
    tone = tone_of(state)
    return "" if tone is None else _STYLES[tone]


def _check(check: CheckRow, block: Checks, width: int) -> RenderableType:
    """State, name, what was found and what to do, in columns that are the same for all rows, or below each other."""
    dim = "dim" if tone_of(check.state) == "none" else ""
    name, text, advice = terminal(check.name), terminal(check.text), terminal(check.advice)
    states = max(map(len, block.states))
    longest, most = (max(cell_len(terminal(getattr(one, part))) for one in block.checks) for part in ("text", "advice"))
    if width - states - _CHECK_NAME - 3 * _GAP < (_LEAST_ADVISED if most else _LEAST_CHECK):
        head = Text.assemble((check.state, _style(check.state)), f"  {name}", style=dim)
        below = [Text(line, style=dim) for line in (text, f"→ {advice}" if advice else "") if line]
        return Group(head, *(Padding(line, (0, 0, 0, _GAP)) for line in below))
    # What has room enough is as wide as it is; a pipe has no end of it.
    fits = states + _CHECK_NAME + longest + most + 3 * _GAP <= width
    grid = RichTable.grid(padding=(0, _GAP, 0, 0), expand=bool(most) and not fits)
    grid.add_column(width=states)
    grid.add_column(width=_CHECK_NAME, overflow="fold")
    row = [Text(check.state, style=_style(check.state)), Text(name, style=dim), Text(text, style=dim)]
    if not most:
        grid.add_column(overflow="fold")
    elif fits:
        grid.add_column(width=longest)
        grid.add_column(width=most)
    else:
        grid.add_column(overflow="fold", ratio=3)
        grid.add_column(overflow="fold", ratio=2)
    if most:
        row.append(Text(advice, style=dim))
    grid.add_row(*row)
    return grid
