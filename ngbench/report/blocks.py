"""What a view is made of. A renderer shows each kind of block in its way; none of them computes a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from ngbench.units import DASH, counted, spread

__all__ = [
    "Axis",
    "Bar",
    "BarPart",
    "Bars",
    "Block",
    "ChangeRow",
    "Changes",
    "Chart",
    "CheckRow",
    "Checks",
    "Column",
    "Conclusion",
    "Counts",
    "Curve",
    "Fact",
    "Facts",
    "Heading",
    "Image",
    "ImageRow",
    "Images",
    "Measure",
    "Notes",
    "Series",
    "Summary",
    "Table",
    "Tone",
    "Warnings",
    "tone_of",
]

Tone = Literal["good", "bad", "doubt", "none"]

_MOST_IMAGES = 8

_TONES: dict[str, Tone] = {
    **dict.fromkeys(("done", "stopped early", "reproduced", "better", "good", "passed"), "good"),
    **dict.fromkeys(("diverged", "failed", "out of memory", "killed", "contradicted", "worse", "bad"), "bad"),
    **dict.fromkeys(("timeout", "interrupted", "running", "inconclusive", "note"), "doubt"),
    **dict.fromkeys(("not tested", "not applicable"), "none"),
}


def tone_of(text: str) -> Tone | None:
    """How a status or verdict is shown; ``None`` for what is none, or counts several.

    A verdict may go on with what it covers: ``reproduced on 1 of 9 cells``.
    """
    return _TONES.get(text.partition(" on ")[0])


@dataclass(frozen=True)
class Heading:
    """What the blocks after it are about; ``more`` stands beside it in plain letters, ``anchor`` is what links lead to.
    Level 2 begins a section."""

    text: str
    more: str = ""
    level: Literal[2, 3] = 2
    anchor: str = ""

    @property
    def whole(self) -> str:
        """In one line."""
        return f"{self.text} {self.more}".strip()


@dataclass(frozen=True)
class Fact:
    """A name and what there is to say of it; ``stressed`` is a word of the text that must not be overlooked.

    A text that is ``typed`` is to be copied as it is.
    """

    name: str
    text: str
    stressed: str = ""
    typed: bool = False


@dataclass(frozen=True)
class Facts:
    """What ran and how. Those of ``arms`` are named by labels, which users chose."""

    facts: Sequence[Fact]
    arms: bool = False


@dataclass(frozen=True)
class Column:
    """A column of text cells.

    Attributes:
        name: heading; a line break in it is where a narrow table may break it.
        cells: one per row.
        left: whether the cells line up on their left side instead of their right.
        toned: whether the cells are statuses or verdicts, which :func:`tone_of` colours.
        best: rows whose cells are the best of the column.
        key: what it is called by who asks for it (:data:`ngbench.report.columns.COLUMNS`); one without is always shown.
    """

    name: str
    cells: Sequence[str]
    left: bool = False
    toned: bool = False
    best: frozenset[int] = frozenset()
    key: str = ""

    @property
    def empty(self) -> bool:
        """Whether no row has a value."""
        return all(cell == DASH for cell in self.cells)


@dataclass(frozen=True)
class Table:
    """Rows whose first column names them.

    Attributes:
        title: what stands above it.
        columns: of as many cells each as there are rows.
        folded: whether a page shows it only to who asks for it.
        upright: whether it is of one thing, so that a terminal shows its cells one below the other.
        beside_chart: whether it only repeats a chart, for outputs that have that chart.
        parted_by: name of the column by whose cells a terminal parts the table.
        links: for each row, the anchor that it leads to.
    """

    title: str
    columns: Sequence[Column]
    folded: bool = False
    upright: bool = False
    beside_chart: bool = False
    parted_by: str = ""
    links: Sequence[str] = ()

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """Cell by cell."""
        return list(zip(*(column.cells for column in self.columns), strict=True))


@dataclass(frozen=True)
class Curve:
    """Values, where they lie on each axis, and the lowest and highest run where they are means over several."""

    x: Mapping[str, Sequence[float]]
    mean: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None


@dataclass(frozen=True)
class Series:
    """The curves of an arm by measure, over so many runs that ended well; ``ended`` are those that did not."""

    label: str
    runs: int
    views: Mapping[str, Curve]
    ended: Sequence[Series] = ()


@dataclass(frozen=True)
class Axis:
    """What values may be drawn against: whole numbers, or a time; ``zero`` is where it begins."""

    key: str
    label: str
    integer: bool = False
    time: bool = False
    zero: bool = False


@dataclass(frozen=True)
class Measure:
    """What may be drawn."""

    key: str
    label: str
    time: bool = False


@dataclass(frozen=True)
class Chart:
    """Curves of several arms. A page shows one measure at a time; on paper, ``panels`` stand side by side.

    Attributes:
        name: of its files and its element.
        caption: how to read it.
        axes: the first one unless the reader chooses another.
        measures: likewise.
        series: one for each arm.
        panels: the measures that are drawn on paper, and their titles.
        paper_axes: the axes that are drawn on paper; all by default.
        label: of the vertical axis on paper.
        shared_scale: whether the panels share it.
        scale: of that axis; ``auto`` is logarithmic where the values span a large range.
        about: lines under the figure: what ran, on which data, and what to beware of.
    """

    name: str
    caption: str
    axes: Sequence[Axis]
    measures: Sequence[Measure]
    series: Sequence[Series]
    panels: Mapping[str, str]
    paper_axes: Sequence[str] = ()
    label: str = ""
    shared_scale: bool = True
    scale: Literal["auto", "log", "symlog"] = "auto"
    about: Sequence[str] = ()


@dataclass(frozen=True)
class BarPart:
    """A part of a bar, and how its size reads."""

    name: str
    seconds: float
    read: str


@dataclass(frozen=True)
class Bar:
    """A bar."""

    label: str
    parts: Sequence[BarPart]


@dataclass(frozen=True)
class Bars:
    """A bar for each arm, of the time per step or iteration, in parts; the rest as of :class:`Chart`."""

    name: str
    caption: str
    parts: Sequence[str]
    bars: Sequence[Bar]
    per: str
    about: Sequence[str] = ()


@dataclass(frozen=True)
class ChangeRow:
    """A change with the ends of its interval, where it has one, and the largest that is allowed."""

    label: str
    value: float
    ends: tuple[float, float] | None
    limit: float | None
    tone: Tone


@dataclass(frozen=True)
class Changes:
    """Changes one below the other, on paper alone: elsewhere a table says the same; the rest as of :class:`Chart`."""

    name: str
    caption: str
    rows: Sequence[ChangeRow]
    label: str
    about: Sequence[str] = ()


@dataclass(frozen=True)
class Image:
    """An image of a record.

    Attributes:
        name: which of its row it is; empty of the only one.
        alt: what it shows.
        png: the file's content; ``None`` if it is not where the record says, or that is not below its directory.
        path: where the record says it is; empty if the record holds it.
        more: what else the sheet of the row says of it.
    """

    name: str
    alt: str
    png: bytes | None
    path: Path | str = ""
    more: str = ""

    @property
    def suffix(self) -> str:
        """Of the name of its own file, beside that of its row."""
        return f"-{self.name.replace(' ', '')}" if self.name else ""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, from the PNG's first chunk; nothing of an image that is not there."""
        png = self.png or bytes(24)
        return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")


@dataclass(frozen=True)
class ImageRow:
    """Images of one run, or a figure that was drawn before.

    Attributes:
        name: of its files.
        label: whose they are.
        images: in their order.
        title: of the sheet that shows them side by side; a figure has none.
    """

    name: str
    label: str
    images: Sequence[Image]
    title: str = ""

    @property
    def shown(self) -> list[Image]:
        """As many as a page has room for, the first and the last among them."""
        return spread(self.images, _MOST_IMAGES)


@dataclass(frozen=True)
class Images:
    """Images of several runs."""

    title: str
    rows: Sequence[ImageRow]


@dataclass(frozen=True)
class Counts:
    """How many of what came out how; ``of`` is what is counted, where that has to be said."""

    counts: Sequence[tuple[str, int]]
    of: str = ""

    def __str__(self) -> str:
        told = ", ".join(f"{count} {name}" for name, count in self.counts)
        return f"{counted(sum(count for _, count in self.counts), self.of)}: {told}" if self.of else told


@dataclass(frozen=True)
class CheckRow:
    """Something that was looked at: how it is, what was found, and what to do next."""

    name: str
    state: str
    text: str
    advice: str = ""


@dataclass(frozen=True)
class Checks:
    """Rows that may be shown one by one, as they come: each is laid out knowing all ``states``, not the other rows."""

    checks: Sequence[CheckRow]
    states: Sequence[str]


@dataclass(frozen=True)
class Notes:
    """What the numbers mean: a sentence each."""

    notes: Sequence[str]


@dataclass(frozen=True)
class Warnings:
    """What to beware of: a sentence or two each, after a word that says so."""

    warnings: Sequence[str]
    word: str = "Warning"
    tone: Tone = "doubt"


@dataclass(frozen=True)
class Summary:
    """What the tables come to, a sentence each. A terminal, whose last lines are what is seen, ends in it."""

    sentences: Sequence[str]


@dataclass(frozen=True)
class Conclusion:
    """What it all comes to, in one line."""

    text: str
    tone: Tone


Block: TypeAlias = (
    Heading
    | Facts
    | Table
    | Chart
    | Bars
    | Changes
    | Images
    | Counts
    | Checks
    | Notes
    | Warnings
    | Summary
    | Conclusion
)
