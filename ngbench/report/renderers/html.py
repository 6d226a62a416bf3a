"""Blocks as one HTML page that loads nothing."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from ngbench import __version__
from ngbench.report.blocks import Bars, Block, Chart, Column, Facts, Heading, Summary, Warnings, tone_of

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["render"]

_ASSETS = files("ngbench.report.renderers") / "assets"
_SCRIPTS = ("elements.js", "lines.js", "bars.js", "tables.js", "page.js")
_LONG = 60
"""Characters of a sentence: its column gets room for several words a line."""
_DIGITS = 7


@dataclass(frozen=True)
class _Section:
    """What stands below a heading."""

    name: str
    heading: Heading | None
    blocks: list[Block] = field(default_factory=list)


def render(blocks: Sequence[Block], *, title: str, lead: str = "") -> str:
    """The whole page.

    Args:
        blocks: to show; a heading of level 2 begins a section.
        title: of the page.
        lead: how much there is, in one line.
    """
    sections = [*_sections(blocks)]
    charts = {
        f"{section.name}-{block.name}": _rounded(asdict(block))
        for section in sections
        for block in section.blocks
        if isinstance(block, Chart | Bars)
    }
    # A table leads to the sections where there is one.
    linked = {link for block in blocks for link in getattr(block, "links", ())}
    style = _asset("page.css")
    # In a function of its own, so that the parts share their names with each other and with nothing else.
    script = '(() => {\n"use strict";\n\n' + "\n".join(map(_asset, _SCRIPTS)) + "})();"
    page = (
        _environment()
        .get_template("page.html")
        .render(
            title=title,
            lead=lead,
            sections=sections,
            contents=[section for section in sections if section.heading and section.name not in linked],
            version=__version__,
            data=_safe(_embedded(charts)),
            style=_safe(style),
            script=_safe(script),
            style_digest=_digest(style),
            script_digest=_digest(script),
        )
    )
    # A record may hold half of a surrogate pair, which has no encoding.
    return page.encode("utf-8", "replace").decode("utf-8")


def _sections(blocks: Sequence[Block]) -> Iterator[_Section]:
    """The blocks cut at headings; what to beware of stands below the facts, where it is read before the numbers."""
    parts: list[tuple[Heading | None, list[Block]]] = [(None, [])]
    for block in blocks:
        if isinstance(block, Heading) and block.level == 2:
            parts.append((block, []))
        else:
            parts[-1][1].append(block)
    for at, (heading, own) in enumerate(parts):
        warnings = [block for block in own if isinstance(block, Warnings)]
        rest = [block for block in own if not isinstance(block, Warnings)]
        facts = next((at for at, block in enumerate(rest) if not isinstance(block, Facts | Summary)), len(rest))
        ordered = [*rest[:facts], *warnings, *rest[facts:]]
        if ordered or heading:
            yield _Section((heading and heading.anchor) or f"section-{max(at - 1, 0)}", heading, ordered)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("ngbench.report.renderers"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "begin_upper": lambda text: text[:1].upper() + text[1:],
        "breakable": _breakable,
        "cell_class": _cell_class,
        "data_url": lambda png: f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}",
        "tone": tone_of,
    }
    return made


def _safe(text: str) -> str:
    """Text that is HTML: ours alone."""
    from markupsafe import Markup

    return Markup(text)


def _breakable(label: str) -> str:
    """The label, with a line's end allowed where it would be read well."""
    from markupsafe import escape

    return _safe("<wbr>").join(escape(piece) for piece in re.split(r"(?<=[,:@])(?=\S)", label))


def _cell_class(column: Column) -> str:
    """How a cell of the column may break."""
    if not column.left:
        return ""
    prose = " prose" if max(map(len, column.cells), default=0) > _LONG else ""
    return _safe(f' class="left wrap{prose}"')


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """How the page's content policy names the one style and the one script that may act."""
    return base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _embedded(value: Any) -> str:
    """The value as JSON that no parser of HTML can read an end of the script element in."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _rounded(value: Any) -> Any:
    """The value with more digits than a screen shows, fewer than make the page large."""
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS - 1}e}")
    if isinstance(value, Mapping):
        return {key: _rounded(part) for key, part in value.items()}
    return [_rounded(part) for part in value] if isinstance(value, list | tuple) else value
