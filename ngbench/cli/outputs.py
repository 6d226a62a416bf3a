"""Where the results of a command go, as its options say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ngbench.cli.reporting import check_exports, console_for_results
from ngbench.disk.files import STANDARD_OUTPUT, check_directory, given_destination, given_path
from ngbench.report.columns import COLUMNS, chosen, given_columns
from ngbench.running.option_fields import option

if TYPE_CHECKING:
    from ngbench.experiments.runs import Place
    from ngbench.records.record import Document

__all__ = ["Outputs"]

_RESULTS = "Results"


@dataclass(frozen=True)
class Outputs:
    """Where results go; ``None`` is nowhere, ``-`` is standard output."""

    directory: Path | None = option(
        None,
        "Keep a record and a checkpoint of each run here, written as it goes.",
        metavar="DIR",
        panel=_RESULTS,
        flags=("--output",),
        convert=given_path,
    )
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
        "Write one row for each run and epoch; - is stdout.",
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
        "Draw what was measured, against epochs, updates and time, as PNG files.",
        metavar="DIR",
        panel=_RESULTS,
        convert=given_path,
    )

    brief: bool = option(
        False, "Print one table, what to beware of and the summary; all else is in exports and records.", panel=_RESULTS
    )

    columns: str | None = option(
        None,
        f"Columns of the tables, with commas between them, or all; they are called {', '.join(COLUMNS[:4])} and so on.",
        metavar="NAMES|all",
        panel=_RESULTS,
        shown_default="the most important ones that fit",
        convert=given_columns,
    )

    def check(self) -> None:
        """Refuse what could not be written in the end.

        Raises:
            OutputError: naming it.
            ParameterError: two exports go to standard output, or there is nothing to resume from.
        """
        check_exports(self.json, self.csv, self.markdown, within=self.directory)
        if self.figures is not None:
            check_directory(self.figures)
        self.place.check()

    @property
    def place(self) -> Place:
        """Of the records."""
        from ngbench.experiments.runs import Place

        return Place(self.directory, self.resume)

    @property
    def use_stdout(self) -> bool:
        """Whether an export goes to standard output, which then holds nothing else."""
        return STANDARD_OUTPUT in (self.json, self.csv, self.markdown)

    def steps(
        self, document: Document, *, reference: str | None = None, origin: Path | None = None
    ) -> list[Callable[[], object]]:
        """What writes all that was asked for, then prints what there is to see.

        Args:
            document: what was found.
            reference: the arm that ratios refer to; the first by default.
            origin: the directory that paths of sample images are relative to.
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
            origin=origin,
        )
        console = console_for_results(on_stderr=self.use_stdout)

        def show() -> None:
            blocks = view(document, reference=reference)
            terminal.show(chosen(shortened(blocks) if self.brief else blocks, self.columns), console)

        return [*written, show]
