"""What there is to see of a document: :func:`view` makes blocks of it, the renderers show them, exports write files."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ngbench.records.record import Document
    from ngbench.report.blocks import Block

__all__ = ["headline", "view"]

_VIEWS = {
    "run": "comparison",
    "comparison": "comparison",
    "gan": "gan",
    "fisher-error": "fisher_error",
    "search": "search",
    "study": "study",
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
    module = import_module(f"ngbench.report.views.{_VIEWS[_kind(document)]}")
    blocks: list[Block] = module.view(document, reference=reference, target_loss=target_loss)
    return blocks


def headline(document: Document) -> str:
    """The document's main quantity and who is best in it, in a few words; empty where nothing was measured."""
    module = import_module(f"ngbench.report.views.{_VIEWS[_kind(document)]}")
    told: str = module.headline(document)
    return told


def _kind(document: Document) -> str:
    from ngbench.report.extras import only_measured

    extra = document.model_extra or {}
    if "tuning" in extra:
        return "search"
    if "study" in extra and not document.runs:
        return "study"
    if document.runs and all(run.adversarial is not None for run in document.runs):
        return "gan"
    if len(document.runs) == 1 and only_measured(document.runs[0]):
        return "fisher-error"
    return "comparison"
