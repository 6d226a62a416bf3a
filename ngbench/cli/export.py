"""``ngbench export``: records in the format of another tool."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ngbench.cli import declared
from ngbench.disk.files import given_path

__all__ = ["export"]


def export(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...",
            parser=given_path,
            help="Directories that --output wrote, or files that --export-json wrote.",
        ),
    ],
    pytest_benchmark: Annotated[
        str,
        declared.written("--pytest-benchmark", "Write pytest-benchmark's JSON; - is stdout.", None),
    ],
    reference: Annotated[
        str | None,
        typer.Option(
            "--reference", metavar="ARM", help="Arm that ratios refer to. (default: each task's first, by name of file)"
        ),
    ] = None,
) -> None:
    """Write what steps cost as pytest-benchmark's JSON, which its compare command reads.

    Each task has a group for the whole step (step_time), for plain and refresh steps, and for each phase, in which the
    arms stand side by side. A round is a turn of the comparison: seconds of a step, or of a call of the phase, on
    average over the turn. Ratios to the reference arm, with intervals, and operations are in extra_info. A run that
    is found twice counts once. Needs pytest-benchmark, which the extra
    pytest of ngbench installs.

    Example: ngbench export results --pytest-benchmark results-pytest.json, then pytest-benchmark compare
    main-pytest.json results-pytest.json
    """
    from ngbench.cli.reporting import raise_last
    from ngbench.disk.files import check_destination, write_text
    from ngbench.errors import RecordError, UnknownNameError
    from ngbench.escaping import terminal
    from ngbench.report.exports.pytest_benchmark import format_pytest_benchmark
    from ngbench.report.page.record_files import read_sources
    from ngbench.report.page.sections import gather

    check_destination(pytest_benchmark)
    sources, errors = read_sources(paths)
    if errors:
        raise_last(errors)
    sections = {section.title: section.document for section in gather(sources).sections if section.document}
    runs = [(title, run) for title, document in sections.items() for run in document.runs]
    labels = {run.label for _, run in runs}
    if reference is not None and reference not in labels:
        raise UnknownNameError("reference arm", reference, labels)
    if not any(run.steps.seconds for _, run in runs):
        raise RecordError(f"there is no step in the records of {', '.join(repr(str(path)) for path in paths)}")
    text = format_pytest_benchmark(sections, reference=reference)
    for title, run in runs:
        if not run.steps.seconds:
            said = terminal(f"{run.label}, seed {run.seed}, of {title} took no step and is left out")
            print(f"Warning: {said}.", file=sys.stderr)
    write_text(text, pytest_benchmark)
