"""What the Python API returns: a document that says, lists and draws what is in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ngbench.disk.files import write_text
from ngbench.errors import UnknownNameError, UsageError
from ngbench.records.documents import dump
from ngbench.records.record import Document
from ngbench.report import headline, view
from ngbench.report.blocks import (
    Bars,
    Changes,
    Chart,
    Checks,
    Conclusion,
    Images,
    Notes,
    Summary,
    Warnings,
    tone_of,
)
from ngbench.report.exports.tidy import TABLES, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ResultDocument"]


_NO_FIGURE = {
    "search": "no trial has a value",
    "study": "no figure lies beside the study",
    "gate": "no metric has a change relative to its baseline",
    "doctor": "findings about a machine are words",
    "conformance": "checks of a plugin are passed or failed",
    "fisher-error": "no error was measured",
}


class ResultDocument(Document):
    """The records of an experiment, as ``--export-json`` writes them, and what there is to see of them."""

    @classmethod
    def of(cls, document: Document) -> ResultDocument:
        """The same document, with more to ask it."""
        held = {**document.__dict__, **(document.model_extra or {})}
        return cls.model_construct(document.model_fields_set, **held)

    def summary(self, *, reference: str | None = None) -> str:
        """What it comes to, in sentences: those that a command ends with.

        Args:
            reference: label of the arm that ratios refer to; the first by default.

        Raises:
            UnknownNameError: no arm has that label.
        """
        blocks = view(self, reference=reference)
        found = [sentence for block in blocks if isinstance(block, Summary) for sentence in block.sentences]
        whole = not found
        for block in blocks:
            if isinstance(block, Notes):
                found += block.notes
            elif isinstance(block, Warnings):
                found += [f"{block.word}: {warning}" for warning in block.warnings]
            elif isinstance(block, Conclusion):
                found.append(block.text)
            elif isinstance(block, Checks):
                doubtful = [check for check in block.checks if tone_of(check.state) in ("bad", "doubt")]
                found += [f"{one.name}: {one.text}{f' → {one.advice}' if one.advice else ''}" for one in doubtful]
        told = headline(self).rstrip(".") if whole else ""
        if told and not any(told in sentence for sentence in found):
            found.insert(0, f"{told[0].upper()}{told[1:]}.")
        return "\n".join(found)

    def to_frame(self, table: str | None = None) -> Any:
        """One of its tables, as ``ngbench export --csv`` writes them.

        Args:
            table: its name, as in ``ngbench export --table``. By default it is that of runs and epochs, or of Fisher
                errors, trials, claims, changes, findings or checks, whatever the document is about.

        Returns:
            A ``pandas.DataFrame`` if pandas is installed, else a list of mappings from columns to values.

        Raises:
            UnknownNameError: there is no such table.
        """
        if table is not None and table not in TABLES:
            raise UnknownNameError("table", table, TABLES)
        found = tidy(self, table)
        try:
            import pandas
        except ImportError:
            return list(found.rows)
        return pandas.DataFrame(found.rows, columns=found.names)

    def figure(self, *, reference: str | None = None) -> Figure:
        """Its first chart, else its bars, its changes from a baseline or the figures of its studies, for matplotlib; a
        notebook shows it.

        Raises:
            UsageError: there is nothing to draw; it says what there is instead.
        """
        from ngbench.report.renderers.figures import (
            figure_of_bars,
            figure_of_changes,
            figure_of_chart,
            figure_of_images,
        )

        blocks = view(self, reference=reference)
        for block in blocks:
            if isinstance(block, Chart) and block.panels:
                return figure_of_chart(block, (block.paper_axes or [axis.key for axis in block.axes])[0])
        for block in blocks:
            if isinstance(block, Bars):
                return figure_of_bars(block)
            if isinstance(block, Changes):
                return figure_of_changes(block)
        if drawn := [block for block in blocks if self.studies and isinstance(block, Images)]:
            return figure_of_images(drawn)
        why = _NO_FIGURE.get(self.kind, "no run finished an epoch")
        raise UsageError(f"there is nothing to draw: {why}; summary() and to_frame() say what there is")

    def save(self, path: str | Path) -> None:
        """Write it as JSON, which :func:`ngbench.load`, ``ngbench report`` and ``ngbench check`` read.

        Raises:
            OutputError: it cannot be written.
        """
        write_text(dump(self), Path(path))
