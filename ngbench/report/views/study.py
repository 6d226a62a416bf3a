"""A study: what it asks, on what scale it ran, and what became of its claims."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ngbench.records.claims import Verdict
from ngbench.records.record import Document
from ngbench.report.blocks import Block, Column, Counts, Fact, Facts, Heading, Image, ImageRow, Images, Notes, Table
from ngbench.report.extras import Claim, claims_of
from ngbench.units import DASH, format_number, format_seconds

__all__ = ["claims_table", "count_verdicts", "headline", "view"]


def view(document: Document, *, reference: str | None = None, target_loss: float | None = None) -> list[Block]:
    """The study's title, source, scale and question, its figure with the published curves, and its claims."""
    study = document.model_extra or {}
    claims = claims_of(document)
    facts = [
        Fact("source", str(study.get("source", DASH))),
        Fact("scale", str(study.get("scale", DASH))),
        Fact("question", str(study.get("question", DASH))),
        Fact("time", format_seconds(study.get("seconds"))),
    ]
    blocks: list[Block] = [Heading(f"{study['study']}: {study['title']}"), Facts(facts)]
    if (figure := study.get("figure_png")) is not None:
        image = Image("", f"The figure of {study['study']}, with the published curves beside it", figure)
        blocks.append(Images("Figure", [ImageRow(f"{study['study']}", study["study"], [image])]))
    blocks += [Table("Claims", claims_table(claims)), Notes([claim.claim for claim in claims]), count_verdicts(claims)]
    return blocks


def claims_table(claims: Sequence[Claim], *, studies: bool = False) -> list[Column]:
    """One row for each claim, with what was observed; ``studies`` says whose it is."""
    columns = [
        Column("claim", [str((claim.model_extra or {}).get("name", claim.claim)) for claim in claims], left=True),
        Column("verdict", [claim.verdict for claim in claims], left=True, toned=True),
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


def _interval(claim: Claim) -> str:
    if claim.interval is None or None in claim.interval:
        return DASH
    return " to ".join(format_number(end, 4) for end in claim.interval)


def count_verdicts(claims: Sequence[Claim]) -> Counts:
    """How many claims came out how; a verdict that this version does not know comes last."""
    counts = Counter(claim.verdict for claim in claims)
    known = [verdict.value for verdict in Verdict]
    order = [*known, *sorted(set(counts) - set(known))]
    return Counts([(verdict, counts[verdict]) for verdict in order if counts[verdict]] or [("claims", 0)])


def headline(document: Document) -> str:
    """How many claims came out how."""
    return str(count_verdicts(claims_of(document)))
