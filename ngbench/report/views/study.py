"""A study: what it asks, on what scale it ran, and what became of its claims."""

from __future__ import annotations

from base64 import b64decode
from collections import Counter
from collections.abc import Sequence

from ngbench.records.experiments import ClaimRecord, ClaimVerdict, StudyRecord
from ngbench.records.record import Document
from ngbench.report.blocks import Block, Column, Counts, Fact, Facts, Heading, Image, ImageRow, Images, Notes, Table
from ngbench.units import DASH, format_number, format_seconds

__all__ = ["claims_table", "count_verdicts", "headline", "view"]


def view(document: Document, *, reference: str | None = None, target_loss: float | None = None) -> list[Block]:
    """The study's title, source, scale and question, its figure with the published curves, and its claims."""
    blocks: list[Block] = []
    for study in document.studies:
        blocks += _study(study)
    return blocks


def _study(study: StudyRecord) -> list[Block]:
    facts = [
        Fact("source", study.source or DASH),
        Fact("scale", study.scale or DASH),
        Fact("question", study.question or DASH),
        Fact("time", format_seconds(study.seconds)),
    ]
    blocks: list[Block] = [Heading(f"{study.study}: {study.title or DASH}"), Facts(facts)]
    if study.figure is not None:
        image = Image("", f"The figure of {study.study}, with the published curves beside it", b64decode(study.figure))
        blocks.append(Images("Figure", [ImageRow(study.study, study.study, [image])]))
    claims = study.claims
    blocks += [Table("Claims", claims_table(claims)), Notes([claim.claim for claim in claims]), count_verdicts(claims)]
    return blocks


def claims_table(claims: Sequence[ClaimRecord], *, studies: bool = False) -> list[Column]:
    """One row for each claim, with what was observed; ``studies`` says whose it is."""
    columns = [
        Column("claim", [claim.shown_name for claim in claims], left=True),
        Column("verdict", [claim.verdict.value for claim in claims], left=True, toned=True),
        Column("interval", [_interval(claim) for claim in claims]),
        Column("tolerance", [_shown(claim.tolerance) for claim in claims]),
        Column("observed", [_shown(claim.observed) for claim in claims], left=True),
    ]
    if studies:
        columns.insert(0, Column("study", [claim.study for claim in claims], left=True))
        columns[1] = Column("claim", [claim.claim for claim in claims], left=True)
    return columns


def _shown(value: float | str | None) -> str:
    return value if isinstance(value, str) else format_number(value, 4)


def _interval(claim: ClaimRecord) -> str:
    if claim.interval is None or None in claim.interval:
        return DASH
    return " to ".join(format_number(end, 4) for end in claim.interval)


def count_verdicts(claims: Sequence[ClaimRecord]) -> Counts:
    """How many claims came out how."""
    counts = Counter(claim.verdict for claim in claims)
    return Counts([(verdict.value, counts[verdict]) for verdict in ClaimVerdict if counts[verdict]] or [("claims", 0)])


def headline(document: Document) -> str:
    """How many claims came out how."""
    return str(count_verdicts([claim for study in document.studies for claim in study.claims]))
