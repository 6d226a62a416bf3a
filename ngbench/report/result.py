"""What the Python API returns: a document that says, lists and draws what is in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ngbench.disk.files import write_text
from ngbench.errors import NgbenchError
from ngbench.records.documents import dump
from ngbench.records.record import Document
from ngbench.report import headline, view
from ngbench.report.blocks import Bars, Chart, Conclusion, Notes, Summary, Warnings
from ngbench.report.exports.csv import rows_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ResultDocument"]


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
        told = headline(self).rstrip(".") if whole else ""
        if told and not any(told in sentence for sentence in found):
            found.insert(0, f"{told[0].upper()}{told[1:]}.")
        return "\n".join(found)

    def to_frame(self) -> Any:
        """A row for each run and epoch, or for each measured step, layer and approximation, as ``--export-csv`` has it.

        Returns:
            A ``pandas.DataFrame`` if pandas is installed, else a list of mappings from columns to values.
        """
        rows = rows_of(self)
        try:
            import pandas
        except ImportError:
            return rows
        return pandas.DataFrame(rows)

    def figure(self, *, reference: str | None = None) -> Figure:
        """Its first chart, else its first bars, as a matplotlib figure, which a notebook shows.

        Raises:
            NgbenchError: there is nothing to draw.
        """
        from ngbench.report.renderers.figures import figure_of_bars, figure_of_chart

        blocks = view(self, reference=reference)
        for block in blocks:
            if isinstance(block, Chart) and block.panels:
                return figure_of_chart(block, (block.paper_axes or [axis.key for axis in block.axes])[0])
        for block in blocks:
            if isinstance(block, Bars):
                return figure_of_bars(block)
        raise NgbenchError("there is nothing to draw: no run finished an epoch")

    def save(self, path: str | Path) -> None:
        """Write it as JSON, which :func:`ngbench.load`, ``ngbench report`` and ``ngbench check`` read.

        Raises:
            OutputError: it cannot be written.
        """
        write_text(dump(self), Path(path))
