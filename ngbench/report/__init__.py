"""What there is to see of a document: :func:`view` makes blocks of it, the renderers show them, exports write files."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ngbench.records.record import Document
    from ngbench.report.blocks import Block

__all__ = ["headline", "shortened", "view"]

_VIEWS = {
    "run": "comparison",
    "comparison": "comparison",
    "gan": "gan",
    "fisher-error": "fisher_error",
    "search": "search",
    "study": "study",
    "gate": "gate",
    "doctor": "doctor",
    "conformance": "conformance",
}


def view(document: Document, *, reference: str | None = None, target_loss: float | None = None) -> list[Block]:
    """What the document has to say, whatever kind it is of.

    Args:
        document: what to show; it is all that is read.
        reference: label of the arm that ratios refer to; the document's first arm by default.
        target_loss: training loss to reach; the recorded one by default.

    Raises:
        NotComparableError: its runs belong to different tasks.
        UnknownNameError: no arm has the reference's label.
    """
    module = import_module(f"ngbench.report.views.{_VIEWS[document.kind]}")
    blocks: list[Block] = module.view(document, reference=reference, target_loss=target_loss)
    return blocks


def shortened(blocks: Sequence[Block]) -> list[Block]:
    """The first table, what to beware of, and what it all comes to."""
    from ngbench.report.blocks import Conclusion, Summary, Table, Warnings

    first = next((block for block in blocks if isinstance(block, Table)), None)
    return [block for block in blocks if block is first or isinstance(block, Warnings | Summary | Conclusion)]


def headline(document: Document) -> str:
    """The document's main quantity and who is best in it, in a few words; empty where nothing was measured."""
    module = import_module(f"ngbench.report.views.{_VIEWS[document.kind]}")
    told: str = module.headline(document)
    return told
