"""Pieces of HTML: everything that comes from a record is escaped here."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from ngbench.report.columns import Column
from ngbench.report.page.extras import Sample
from ngbench.units import DASH

__all__ = ["chart", "counted", "embedded", "escape", "sample", "table", "unordered"]

_TONES = {
    "done": "good",
    "stopped early": "good",
    "reproduced": "good",
    "diverged": "bad",
    "failed": "bad",
    "out of memory": "bad",
    "killed": "bad",
    "contradicted": "bad",
    "timeout": "doubt",
    "interrupted": "doubt",
    "running": "doubt",
    "inconclusive": "doubt",
    "not tested at this scale": "none",
}
_SIGNS = {"good": "✓", "bad": "✗", "doubt": "?", "none": "–"}
_LONG = 16
_WRAPPED = {
    "claim": "wrap prose",
    "observed": "wrap",
    "verdict": "wrap",
    "status": "wrap",
    "lowest final\ntrain loss": "wrap",
}


def embedded(value: Any) -> str:
    """The value as JSON that no parser of HTML can read an end of the script element in."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def table(columns: Sequence[Column], caption: str, *, links: Sequence[str] = ()) -> str:
    """A table whose first column holds the headings of its rows, which lead to the elements of these names."""
    headings = "".join(
        f'<th scope="col"{_side(column)}>{escape(column.name).replace(chr(10), "<br>")}</th>' for column in columns
    )
    rows = "".join(f"<tr>{_row(columns, at, links)}</tr>" for at in range(len(columns[0].cells)))
    opening = '<table class="linked">' if links else "<table>"
    shown = (
        f"{opening}<caption>{escape(caption)}</caption><thead><tr>{headings}</tr></thead><tbody>{rows}</tbody></table>"
    )
    # A region that scrolls sideways has to be within reach of the keyboard.
    return f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(caption)}">{shown}</div>'


def _breakable(label: str) -> str:
    """The label, with a line's end allowed where it would be read well."""
    return re.sub(r"(?<=[,:@])(?=\S)", "<wbr>", escape(label, quote=False))


def _side(column: Column) -> str:
    return ' class="left"' if column.left else ""


def _row(columns: Sequence[Column], at: int, links: Sequence[str]) -> str:
    first, *rest = columns
    named = "left long" if len(first.cells[at]) > _LONG else "left"
    heading = _breakable(first.cells[at])
    if links:
        heading = f'<a href="#{links[at]}">{heading}</a>'
    cells = [f'<th scope="row" class="{named}">{heading}</th>']
    for column in rest:
        classes = [name for name in ("left" if column.left else "", _WRAPPED.get(column.name, "")) if name]
        opening = f'<td class="{" ".join(classes)}">' if classes else "<td>"
        cells.append(f"{opening}{_cell(column, column.cells[at])}</td>")
    return "".join(cells)


def _cell(column: Column, text: str) -> str:
    tone = _TONES.get(text) if column.name in ("status", "verdict") else None
    return toned(text, tone) if tone else escape(text)


def toned(text: str, tone: str) -> str:
    """The text in the tone's colour, with a sign for who does not see it."""
    return f'<span class="{tone}"><span aria-hidden="true">{_SIGNS[tone]}</span>&nbsp;{escape(text)}</span>'


def counted(verdict: str, count: int) -> str:
    """How many claims have the verdict."""
    return toned(f"{count} {verdict}", _TONES.get(verdict, "none"))


def unordered(items: Iterable[str], name: str) -> str:
    """A list of pieces of HTML; nothing of no pieces."""
    rows = "".join(f"<li>{item}</li>" for item in items)
    return f'<ul class="{name}">{rows}</ul>' if rows else ""


def chart(name: str, kind: str, caption: str) -> str:
    """Where the script draws the chart of this name."""
    return f'<figure class="chart" id="{name}" data-chart="{kind}"><figcaption>{escape(caption)}</figcaption></figure>'


def sample(image: Sample) -> str:
    """The image as part of the page, or where it should have been."""
    caption = f"<figcaption>epoch {image.epoch}</figcaption>"
    if image.png is None or image.size is None:
        return (
            f'<figure><div class="missing">There is no image {escape(str(image.path or DASH))} '
            f"below the directory of its record</div>{caption}</figure>"
        )
    width, height = image.size
    content = base64.b64encode(image.png).decode("ascii")
    return (
        f'<figure><img src="data:image/png;base64,{content}" width="{width}" height="{height}" '
        f'alt="Samples after epoch {image.epoch}">{caption}</figure>'
    )
