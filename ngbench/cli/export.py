"""``ngbench export``: records for other programs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ngbench.cli import declared
from ngbench.disk.files import given_path

if TYPE_CHECKING:
    from ngbench.records.record import Document

__all__ = ["export"]


class TableOption(str, Enum):
    """Which tidy table is written; the names of :data:`ngbench.report.exports.tidy.TABLES`."""

    epochs = "epochs"
    steps = "steps"
    costs = "costs"
    phases = "phases"
    fisher_errors = "fisher-errors"
    trials = "trials"
    claims = "claims"
    changes = "changes"
    findings = "findings"
    checks = "checks"


def export(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...",
            parser=given_path,
            help="Directories that --output wrote, or files that --export-json wrote.",
        ),
    ],
    table: Annotated[
        TableOption | None,
        typer.Option(
            "--table",
            help="What --csv, --parquet and --json hold: losses by epoch, times by step, costs of arms, their phases, "
            "errors of approximations, trials of a search, claims of a study, changes from a baseline, findings of "
            "doctor, or checks of plugins.",
            show_default="epochs, or what else there is",
        ),
    ] = None,
    csv: Annotated[str | None, declared.written("--csv", "Write the table as CSV; - is stdout.", None)] = None,
    parquet: Annotated[
        Path | None, declared.path("--parquet", metavar="FILE", help="Write the table as Parquet; needs pyarrow.")
    ] = None,
    json: Annotated[
        str | None, declared.written("--json", "Write the table as a JSON array of rows; - is stdout.", None)
    ] = None,
    tensorboard: Annotated[
        Path | None,
        declared.path("--tensorboard", metavar="DIR", help="Write an event file for each run; needs tensorboard."),
    ] = None,
    pytest_benchmark: Annotated[
        str | None,
        declared.written("--pytest-benchmark", "Write what steps cost as pytest-benchmark's JSON; - is stdout.", None),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            "--reference", metavar="ARM", help="Arm that ratios refer to. (default: each task's first, by name of file)"
        ),
    ] = None,
) -> None:
    """Write records for other programs: tidy tables, TensorBoard's events, pytest-benchmark's JSON.

    A tidy table has a row for each observation and a column for each variable, options and hyper-parameters included
    (docs/reports.md names them). In pytest-benchmark's JSON each task has a group for the whole step, for plain and
    refresh steps, and for each phase, in which the arms stand side by side; a round is a turn of the comparison. A run
    that is found twice counts once.

    Example: ngbench export results --table costs --csv costs.csv
    """
    from ngbench.cli.reporting import check_exports, do_each, raise_last
    from ngbench.disk.files import STANDARD_OUTPUT, check_directory, entries, is_directory, write_bytes, write_text
    from ngbench.errors import OutputError, ParameterError, RecordError, UnknownNameError
    from ngbench.report.exports import formats
    from ngbench.report.exports.tensorboard import write_events
    from ngbench.report.exports.tidy import tidy_sections
    from ngbench.report.page.record_files import read_sources
    from ngbench.report.page.sections import gather

    tables = {"csv": csv, "parquet": parquet, "json": json}
    if not any((*tables.values(), tensorboard, pytest_benchmark)):
        raise ParameterError("say what to write: --csv, --parquet, --json, --tensorboard or --pytest-benchmark")
    check_exports(csv, json, pytest_benchmark, None if parquet is None else str(parquet))
    if parquet is not None:
        if str(parquet) == STANDARD_OUTPUT:
            raise ParameterError("--parquet - is not allowed: Parquet is no text, give a file")
        formats.refuse_without("pyarrow", "--parquet")
    if tensorboard is not None:
        formats.refuse_without("tensorboard", "--tensorboard")
        check_directory(tensorboard)
        if is_directory(tensorboard) and entries(tensorboard):
            raise OutputError(f"the directory {str(tensorboard)!r} is already used; give another")
    sources, errors = read_sources(paths)
    if errors:
        raise_last(errors)
    found = gather(sources).sections
    sections = [(one.title, part) for one in found for part in (one.document, one.measured) if part is not None]
    labels = {run.label for _, document in sections for run in document.runs}
    if reference is not None and reference not in labels:
        raise UnknownNameError("reference arm", reference, labels)
    steps = []
    if any(tables.values()):
        made = tidy_sections(sections, None if table is None else table.value, reference=reference)
        if not made.rows:
            raise RecordError(f"{_named(paths)} hold nothing for {'a table' if table is None else table.value}")
        if csv is not None:
            steps.append(lambda: write_text(formats.format_csv(made), csv))
        if json is not None:
            steps.append(lambda: write_text(formats.format_json(made), json))
        if parquet is not None:
            steps.append(lambda: write_bytes(formats.format_parquet(made), parquet))
    if tensorboard is not None:
        steps.append(lambda: write_events(sections, tensorboard))
    if pytest_benchmark is not None:
        steps.append(lambda: _write_benchmarks(sections, paths, reference, pytest_benchmark))
    do_each(*steps)


def _named(paths: Sequence[Path]) -> str:
    return f"the records of {', '.join(repr(str(path)) for path in paths)}"


def _write_benchmarks(
    sections: Sequence[tuple[str, Document]], paths: Sequence[Path], reference: str | None, destination: str
) -> None:
    from ngbench.disk.files import write_text
    from ngbench.errors import RecordError
    from ngbench.escaping import terminal
    from ngbench.report.exports.pytest_benchmark import format_pytest_benchmark

    runs = [(title, run) for title, document in sections for run in document.runs]
    if not any(run.steps.seconds for _, run in runs):
        raise RecordError(f"there is no step in {_named(paths)}")
    text = format_pytest_benchmark(dict(sections), reference=reference)
    for title, run in runs:
        if not run.steps.seconds:
            said = terminal(f"{run.label}, seed {run.seed}, of {title} took no step and is left out")
            print(f"Warning: {said}.", file=sys.stderr)
    write_text(text, destination)
