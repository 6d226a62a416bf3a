"""Where the results of a command go, as its options say."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ngbench.cli.keeping import closing, opening
from ngbench.cli.reporting import check_exports, console_for_results, say
from ngbench.disk.files import STANDARD_OUTPUT, given_destination, given_path
from ngbench.errors import ParameterError
from ngbench.records.results import RESULTS, new_directory
from ngbench.report.columns import COLUMNS, chosen, given_columns
from ngbench.running.option_fields import option

if TYPE_CHECKING:
    from ngbench.experiments.runs import Place
    from ngbench.records.experiments import GateRecord
    from ngbench.records.record import Document

__all__ = ["Outputs", "kept_in"]

_RESULTS = "Results"


@dataclass(frozen=True)
class Outputs:
    """Where results go; ``None`` is nowhere, ``-`` is standard output. ``made``: nobody named the directory."""

    directory: Path | None = option(
        None,
        "Keep a record and a checkpoint of each run here, written as it goes.",
        metavar="DIR",
        panel=_RESULTS,
        flags=("--output",),
        convert=given_path,
        shown_default=f"a new one in {RESULTS}",
    )
    no_output: bool = option(False, "Keep no records and no checkpoints.", panel=_RESULTS)
    resume: bool = option(False, "Continue the runs that the output directory has.", panel=_RESULTS)
    json: str | None = option(
        None,
        "Write the records; - is stdout.",
        metavar="FILE",
        panel=_RESULTS,
        flags=("--export-json",),
        convert=given_destination,
    )
    csv: str | None = option(
        None,
        "Write a row for each run and epoch, or each measured step of Fisher errors; - is stdout.",
        metavar="FILE",
        panel=_RESULTS,
        flags=("--export-csv",),
        convert=given_destination,
    )
    markdown: str | None = option(
        None,
        "Write the tables; - is stdout.",
        metavar="FILE",
        panel=_RESULTS,
        flags=("--export-markdown",),
        convert=given_destination,
    )
    figures: Path | None = option(
        None,
        "Draw what was measured, against epochs, updates and time: PNG files in DIR, or NAME-*.svg beside NAME.svg "
        "(.png, .pdf).",
        metavar="DIR|NAME.svg",
        panel=_RESULTS,
        convert=given_path,
    )

    brief: bool = option(
        False, "Print one table, what to beware of and the summary; all else is in exports and records.", panel=_RESULTS
    )
    columns: str | None = option(
        None,
        "Columns of the tables, with commas between them, called as what they show: "
        f"{', '.join(COLUMNS[:2])}, step_time and so on.",
        metavar="NAMES|all",
        panel=_RESULTS,
        shown_default="the most important ones that fit",
        convert=given_columns,
    )
    made: bool = False

    @contextmanager
    def settled(self, subject: str) -> Iterator[Outputs]:
        """With the directory of the records, a new one if none was named and one is wanted.

        Args:
            subject: what the results are of, as the name of a new directory says it.

        Raises:
            OutputError: naming what could not be written in the end.
            ParameterError: two exports go to standard output, or there is nothing to resume from.
        """
        check_exports(self.json, self.csv, self.markdown, within=self.directory)
        if self.figures is not None:
            from ngbench.report.renderers.figures import check_place

            check_place(self.figures)
        self.place.check()
        with kept_in(self.directory, subject, nowhere=self.no_output) as directory:
            yield replace(self, directory=directory, made=self.directory is None)

    @property
    def place(self) -> Place:
        """Of the records."""
        from ngbench.experiments.runs import Place

        said = opening(self.directory) if self.made and self.directory is not None else ()
        return Place(self.directory, self.resume, introduction=tuple(said))

    @property
    def origin(self) -> Path | None:
        """The directory that sample images are kept in, and their paths relative to: that of the records, so that a
        resumed run finds them, or that of the figures."""
        beside = self.directory
        if beside is None and self.figures is not None:
            from ngbench.report.renderers.figures import check_place

            beside = check_place(self.figures)
        return None if beside is None else beside.absolute()

    @property
    def use_stdout(self) -> bool:
        """Whether an export goes to standard output, which then holds nothing else."""
        return STANDARD_OUTPUT in (self.json, self.csv, self.markdown)

    def annotate(self, gate: GateRecord) -> None:
        """Print annotations of a workflow, whose log holds both streams: the one without an export keeps that clean."""
        from ngbench.report.exports.gate import format_annotations
        from ngbench.streams import write_commands

        write_commands(format_annotations(gate), sys.stderr if self.use_stdout else sys.stdout)

    def steps(self, document: Document, *, reference: str | None, unfinished: bool) -> list[Callable[[], object]]:
        """What writes all that was asked for, then prints what there is to see.

        Args:
            document: what was found.
            reference: the arm that ratios refer to; the first by default.
            unfinished: whether runs are left to go on with.
        """

        from ngbench.report import shortened, view
        from ngbench.report.exports.destinations import export_steps
        from ngbench.report.renderers import terminal

        written = export_steps(
            document,
            json=self.json,
            csv=self.csv,
            markdown_file=self.markdown,
            figures=self.figures,
            reference=reference,
            origin=self.origin,
        )
        console = console_for_results(on_stderr=self.use_stdout)

        def show() -> None:
            blocks = view(document, reference=reference)
            terminal.show(chosen(shortened(blocks) if self.brief else blocks, self.columns), console)

        def tell() -> None:
            for line in [] if self.directory is None else closing(self.directory, unfinished=unfinished):
                say(console, line)

        return [*written, show, tell]


@contextmanager
def kept_in(directory: Path | None, subject: str, *, nowhere: bool) -> Iterator[Path | None]:
    """The directory that was named, else a new one called after the ``subject``; ``None`` if results go ``nowhere``.

    Raises:
        OutputError: it cannot be made.
        ParameterError: one was named all the same.
    """
    if directory is not None and nowhere:
        raise ParameterError("--output and --no-output exclude each other")
    if directory is not None or nowhere:
        yield directory
        return
    with new_directory(subject, "--output DIR keeps them elsewhere, --no-output nowhere") as made:
        yield made
