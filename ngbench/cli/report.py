"""``ngbench report``: one page of any set of records."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ngbench.cli import completion, declared
from ngbench.cli.outputs import Outputs
from ngbench.disk.files import given_path
from ngbench.report.columns import chosen, given_columns
from ngbench.running.option_fields import options_of

__all__ = ["report"]

_HTML = (".html", ".htm")
_MARKDOWN = (".md", ".markdown")


def report(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...",
            parser=given_path,
            help="Directories that --output wrote, or files that --export-json wrote.",
        ),
    ],
    output: Annotated[
        Path | None,
        declared.path(
            "--output",
            metavar="FILE",
            help="The page: .html, or .md with PNG figures in FILE-figures.",
            shown="report.html, unless --figures is given",
        ),
    ] = None,
    figures: Annotated[
        Path | None,
        declared.path(
            "--figures",
            metavar="DIR|NAME.svg",
            help="Draw all figures: PNG files in DIR, or NAME-*.svg beside NAME.svg (.png, .pdf).",
        ),
    ] = None,
    title: Annotated[str, typer.Option("--title", metavar="TEXT", help="Title of the page.")] = "ngbench report",
    reference: Annotated[
        str | None,
        typer.Option("--reference", metavar="ARM", help="Arm that ratios refer to.  [default: each section's first]"),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            "--columns",
            metavar="NAMES",
            parser=given_columns,
            autocompletion=completion.columns,
            help=options_of(Outputs)["columns"].help,
            show_default="all",
        ),
    ] = None,
    target_loss: Annotated[
        float | None,
        declared.number("--target-loss", "Training loss to reach.", metavar="LOSS", shown="the recorded one"),
    ] = None,
) -> None:
    """Make one page of any set of records, or draw their figures.

    The page holds everything that the records say: tables, interactive curves by epoch, update and time, the
    cost of an update by phase, Fisher errors, sample images, claims with their verdicts, and where it all ran.
    It is one file and loads nothing. A run that is found twice counts once; tasks become sections.

    Example: ngbench report results more-results --output page.html
    """
    from ngbench.cli.reporting import raise_last
    from ngbench.disk.files import check_destination, check_directory, write_text
    from ngbench.errors import ParameterError, RecordError, UnknownNameError
    from ngbench.escaping import terminal
    from ngbench.report.page.contents import describe_report, missing_images, report_blocks
    from ngbench.report.page.record_files import read_sources
    from ngbench.report.page.sections import gather
    from ngbench.report.renderers import html, markdown
    from ngbench.report.renderers.figures import check_place

    if output is None and figures is None:
        output = Path("report.html")
    suffix = "" if output is None else output.suffix.lower()
    if output is not None:
        if suffix not in _HTML + _MARKDOWN:
            raise ParameterError(f"output={output} is not allowed, its name must end in .html or .md")
        check_destination(output)
        if suffix in _MARKDOWN:
            check_directory(markdown.figures_directory(output))
    if figures is not None:
        check_place(figures)
    sources, errors = read_sources(paths)
    if errors:
        raise_last(errors)
    found = gather(sources)
    labels = {run.label for section in found.sections if section.document for run in section.document.runs}
    if reference is not None and reference not in labels:
        raise UnknownNameError("reference arm", reference, labels)
    if figures is not None:
        from ngbench.report.page.drawing import draw_report

        drawn = draw_report(found, figures, reference=reference)
        if not drawn:
            raise RecordError("there is nothing to draw in these records")
        print("\n".join(map(str, drawn)))
    if output is None:
        return
    blocks = chosen(report_blocks(found, reference=reference, target_loss=target_loss), columns)
    if suffix in _HTML:
        text = html.render(blocks, title=title, lead=describe_report(found))
    else:
        text = markdown.render(blocks, title=title, lead=describe_report(found), file=output)
    write_text(text, output)
    for path in missing_images(blocks):
        said = terminal(f"there is no image {path!r} below the directory of its record; the page says so")
        print(f"Warning: {said}.", file=sys.stderr)
    print(output)
