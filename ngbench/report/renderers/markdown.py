"""Blocks as Markdown with GitHub tables, with or without their figures as files beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from ngbench.escaping import markdown, markdown_code
from ngbench.report.blocks import (
    Bars,
    Block,
    Changes,
    Chart,
    Checks,
    Column,
    Conclusion,
    Counts,
    Fact,
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

__all__ = ["figures_directory", "render"]

_SIGNS: dict[Tone, str] = {"good": "✅ ", "bad": "❌ ", "doubt": "❔ ", "none": ""}


def figures_directory(file: Path) -> Path:
    """The directory that the figures of a Markdown file are written to: its name, with ``-figures``."""
    return file.with_name(f"{file.stem}-figures")


def render(blocks: Sequence[Block], *, title: str = "", lead: str = "", file: Path | None = None) -> str:
    """The blocks as text.

    Args:
        blocks: to show.
        title: of all.
        lead: how much there is, in one line.
        file: where the text will be written; its figures are written beside it, and links to them are relative to it.
            Without, there are none.

    Raises:
        OutputError: a figure cannot be written.
    """
    outcomes = [block for block in blocks if isinstance(block, Conclusion)]
    parts = [f"# {markdown(title)}" if title else "", markdown(lead)]
    parts += [f"### ngbench: {markdown(one.text)}" for one in outcomes]
    section = 0
    for block in blocks:
        section += isinstance(block, Heading) and block.level == 2
        parts += _shown(block, file, section)
    joined = ""
    for part in filter(None, (part.strip("\n") for part in parts)):
        # Items of lists that follow each other are one list.
        one_list = part.startswith("- ") and joined.rpartition("\n")[2].startswith("- ")
        joined += part if not joined else f"\n{part}" if one_list else f"\n\n{part}"
    return f"{joined}\n"


def _shown(block: Block, file: Path | None, section: int) -> Iterator[str]:
    match block:
        case Heading():
            yield f"{'#' * block.level} {markdown(block.whole)}"
        case Facts():
            yield "\n".join(
                f"- {_name(fact, block)}: {(markdown_code if fact.typed else markdown)(fact.text)}"
                for fact in block.facts
            )
        case Table():
            if file is not None or not block.beside_chart:
                yield f"### {markdown(block.title)}" if block.title else ""
                yield _table(block.columns)
        case Checks():
            yield _table(_columns(block))
        case Counts():
            yield markdown(str(block))
        case Summary():
            yield "\n".join(f"- **{markdown(sentence)}**" for sentence in block.sentences)
        case Notes():
            yield "\n".join(f"- {markdown(note)}" for note in block.notes)
        case Warnings():
            yield "\n".join(f"- **{block.word}:** {markdown(warning)}" for warning in block.warnings)
        case Chart() | Bars() | Changes() | Images():
            if file is not None:
                yield from _figures(block, file, section)


def _name(fact: Fact, block: Facts) -> str:
    return markdown_code(fact.name) if block.arms else markdown(fact.name[:1].upper() + fact.name[1:])


def _table(columns: Sequence[Column]) -> str:
    from tabulate import tabulate

    headers = [markdown(column.name) for column in columns]
    rows = zip(*([_cell(column, *of_row) for of_row in enumerate(column.cells)] for column in columns), strict=True)
    align = ["left" if column.left else "right" for column in columns]
    return str(tabulate(list(rows), headers, tablefmt="github", colalign=align, disable_numparse=True))


def _cell(column: Column, row: int, cell: str) -> str:
    tone = tone_of(cell) if column.name == "verdict" else None
    text = (_SIGNS[tone] if tone else "") + markdown(cell)
    return f"**{text}**" if row in column.best else text


def _columns(block: Checks) -> list[Column]:
    columns = [
        Column("what", [check.name for check in block.checks], left=True),
        Column("verdict", [check.state for check in block.checks], left=True, toned=True),
        Column("found", [check.text for check in block.checks], left=True),
        Column("what to do next", [check.advice for check in block.checks], left=True),
    ]
    return [column for column in columns if any(column.cells)]


def _figures(block: Chart | Bars | Changes | Images, file: Path, section: int) -> Iterator[str]:
    """Links to the figures, which are drawn into a directory of the section."""
    from ngbench.report.renderers.figures import draw_block, write_images

    directory = figures_directory(file) / f"{max(section - 1, 0):02d}"
    if not isinstance(block, Images):
        for path in draw_block(block, directory):
            yield _link(file, path, path.stem.replace("_", " "))
        return
    yield f"### {markdown(block.title)}"
    for row, paths in zip(block.rows, write_images(block, directory), strict=True):
        lines = [f"{markdown(row.label)}:", ""]
        for image, written in zip(row.shown, paths, strict=True):
            if written is None:
                missing = f"there is no image {markdown(str(image.path))} below the directory of its record"
                lines.append(f"- {markdown(image.name)}: {missing}")
            else:
                lines.append(f"- {markdown(image.name)}: {_link(file, written, image.alt)}")
        yield "\n".join(lines)


def _link(file: Path, figure: Path, text: str) -> str:
    return f"![{markdown(text)}]({quote(figure.relative_to(file.parent).as_posix())})"
