"""The report as Markdown, with its figures as PNG files in a directory beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from ngbench.arms import file_slug
from ngbench.disk.files import make_directory, write_bytes
from ngbench.escaping import markdown
from ngbench.report.exports import format_markdown, format_table
from ngbench.report.figures import draw_curves
from ngbench.report.page.columns import (
    count_verdicts,
    format_claims,
    format_environments,
    format_epochs,
    format_fisher_error,
    format_overview,
)
from ngbench.report.page.fisher_figures import draw_fisher_error
from ngbench.report.page.html import describe_report
from ngbench.report.page.sections import Report, SampleRow, Section
from ngbench.report.summary import arms_of, summarise

__all__ = ["figures_directory", "format_markdown_report"]


def figures_directory(file: Path) -> Path:
    """The directory that the figures of a Markdown report are written to: its name, with ``-figures``."""
    return file.with_name(f"{file.stem}-figures")


def format_markdown_report(
    report: Report,
    file: Path,
    *,
    title: str,
    reference: str | None = None,
    target_loss: float | None = None,
) -> str:
    """The text of the report, whose figures this writes beside the file that it is meant for.

    Args:
        report: what to show.
        file: where the text will be written; links to figures are relative to it.
        title: of the report.
        reference: label of the arm that others are compared with, in the sections that have it.
        target_loss: training loss to reach; the recorded one by default.

    Raises:
        OutputError: a figure cannot be written.
    """
    parts = [f"# {markdown(title)}", describe_report(report)]
    if len(report.sections) > 1:
        parts.append(format_table(format_overview(report.sections)))
    if report.claims:
        counts = ", ".join(f"{count} {markdown(verdict)}" for verdict, count in count_verdicts(report.claims))
        parts += ["## Claims", counts, format_table(format_claims(report.claims))]
    for at, section in enumerate(report.sections):
        parts += _section(section, file, f"{at:02d}-{file_slug(section.title)}", reference, target_loss)
    parts += ["## Environment", format_table(format_environments(report.environments))]
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def _section(
    section: Section, file: Path, slug: str, reference: str | None, target_loss: float | None
) -> Iterator[str]:
    directory = figures_directory(file) / slug
    document = section.document
    if document is None:
        yield f"## {markdown(section.title)}"
    else:
        known = reference if reference in arms_of(document) else None
        heading, rest = format_markdown(document, reference=known, target_loss=target_loss).split("\n", 1)
        yield from (f"## {markdown(section.title)}" if heading.startswith("## ") else heading, rest)
        for path in draw_curves(document, directory, axes=("epoch", "step", "time")):
            yield _link(file, path, path.stem.replace("_", " "))
        epochs = format_epochs(summarise(document))
        if epochs:
            yield from ("### Training loss by epoch", format_table(epochs))
    if section.remarks:
        yield "\n".join(f"- {markdown(remark)}" for remark in section.remarks)
    for at, measured in enumerate(section.fisher_errors):
        name = measured.heading
        drawn = draw_fisher_error(measured.error, f"{section.title} · {name}", directory / f"fisher-error-{at}.png")
        yield from (f"### Fisher error: {markdown(name)}", markdown(measured.conditions))
        yield from (format_table(format_fisher_error(measured.error)), _link(file, drawn, name))
    if section.samples:
        yield "### Samples"
        yield from (_samples(row, file, directory) for row in section.samples)


def _samples(row: SampleRow, file: Path, directory: Path) -> str:
    lines = [f"{markdown(row.label)}, seed {row.seed}:", ""]
    for sample in row.samples:
        if sample.png is None:
            missing = markdown(str(sample.path))
            lines.append(f"- epoch {sample.epoch}: there is no image {missing} below the directory of its record")
            continue
        path = directory / f"samples-{file_slug(row.label)}-seed{row.seed}-epoch{sample.epoch}.png"
        make_directory(directory)
        write_bytes(sample.png, path)
        lines.append(f"- epoch {sample.epoch}: {_link(file, path, f'samples after epoch {sample.epoch}')}")
    return "\n".join(lines)


def _link(file: Path, figure: Path, text: str) -> str:
    return f"![{markdown(text)}]({quote(figure.relative_to(file.parent).as_posix())})"
