"""A study: what it asks, on what scale it ran, and what became of its claims."""

from __future__ import annotations

from base64 import b64decode
from collections import Counter
from collections.abc import Iterable, Sequence

from ngbench.records.claim_rule import discoveries
from ngbench.records.record import Document
from ngbench.records.studies import (
    BasisRecord,
    ClaimRecord,
    ClaimVerdict,
    StudyRecord,
    claim_kind_help,
)
from ngbench.report.blocks import Block, Column, Counts, Fact, Facts, Heading, Image, ImageRow, Images, Notes, Table
from ngbench.units import DASH, format_number, format_seconds

__all__ = ["claims_by_kind", "claims_table", "count_verdicts", "headline", "view"]


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
        *([Fact("seeds", _looks(study))] if study.looks else []),
    ]
    blocks: list[Block] = [Heading(f"{study.study}: {study.title or DASH}"), Facts(facts)]
    if study.figure is not None:
        image = Image("", f"The figure of {study.study}, with the published curves beside it", b64decode(study.figure))
        blocks.append(Images("Figure", [ImageRow(study.study, study.study, [image])]))
    claims = study.claims
    blocks += [Table("Claims", claims_table(claims)), Notes([claim.claim for claim in claims])]
    if any(claim.basis is not None or claim.published.end is not None for claim in claims):
        blocks.append(Table("What the verdicts rest on", _bases_table(claims)))
    return [*blocks, *claims_by_kind(claims), count_verdicts(claims)]


def _looks(study: StudyRecord) -> str:
    """After how many seeds claims were judged."""
    numbers = ", then ".join(map(str, study.looks))
    added = " (added until every claim is decided)" if study.sequential else ""
    return f"{numbers}{added}{f'; {study.ended}' if study.ended else ''}"


def claims_table(claims: Sequence[ClaimRecord], *, studies: bool = False) -> list[Column]:
    """One row for each claim, with what was observed; ``studies`` says whose it is."""
    columns = [
        Column("claim", [claim.shown_name for claim in claims], left=True),
        Column("verdict", [claim.shown_verdict for claim in claims], left=True, toned=True),
        *_on_thesis(claims),
        Column(_intervals(claims), [_interval(claim) for claim in claims]),
        Column("tolerance", [_shown(claim.tolerance) for claim in claims]),
        Column("observed", [_shown(claim.observed) for claim in claims], left=True),
    ]
    if studies:
        columns.insert(0, Column("study", [claim.study for claim in claims], left=True))
        columns[1] = Column("claim", [claim.claim for claim in claims], left=True)
    return columns


def _bases_table(claims: Sequence[ClaimRecord]) -> list[Column]:
    bases = [claim.basis or BasisRecord(seeds=0) for claim in claims]
    columns = [
        Column("claim", [claim.shown_name for claim in claims], left=True),
        Column("kind", [claim.kind or DASH for claim in claims], left=True),
        Column("pairs", [f"{claim.pairs_tested} of {claim.pairs}" for claim in claims]),
        Column("seeds", [_seeds(claim) for claim in claims]),
        Column("epochs", [_count(basis.epochs) for basis in bases]),
        Column("of the\nthesis'", [_of_published(basis) for basis in bases]),
        Column("horizon", [_count(claim.published.horizon) for claim in claims]),
        Column("estimates", [_count(basis.estimates) for basis in bases]),
        Column("settings", [_words(basis.settings.values()) for basis in bases], left=True),
        Column("data", [_words(basis.data) for basis in bases], left=True),
    ]
    return [column for column in columns if not column.empty]


def _on_thesis(claims: Sequence[ClaimRecord]) -> list[Column]:
    """What the published curves say of the claims, where there are any."""
    here, end = ([getattr(claim.published, when) or DASH for claim in claims] for when in ("here", "end"))
    columns = [
        Column("the thesis\nat this epoch", list(map(str, here)), left=True, toned=True),
        Column("the thesis\nat its end", list(map(str, end)), left=True, toned=True),
    ]
    return [] if all(column.empty for column in columns) else columns


def _seeds(claim: ClaimRecord) -> str:
    if claim.basis is None:
        return DASH
    needed = f", needs {claim.seeds_needed}" if claim.seeds_needed is not None else ""
    return f"{claim.basis.seeds}{needed}"


def _of_published(basis: BasisRecord) -> str:
    if basis.of_published is None:
        return DASH
    return f"{format_number(basis.of_published, 3)} of {basis.published_epochs}"


def _count(count: int | None) -> str:
    return DASH if count is None else str(count)


def _words(words: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(words)) or DASH


def _shown(value: float | str | None) -> str:
    return value if isinstance(value, str) else format_number(value, 4)


def _intervals(claims: Sequence[ClaimRecord]) -> str:
    """What intervals are called: with their confidence, where it is one."""
    levels = {claim.level for claim in claims if claim.level is not None}
    return f"{100 * (1 - levels.pop()):g} %\ninterval" if len(levels) == 1 else "interval"


def _interval(claim: ClaimRecord) -> str:
    if claim.interval is None or None in claim.interval:
        return DASH
    times = "× " if claim.scale == "ratio" else ""
    return times + " to ".join(format_number(end, 4) for end in claim.interval)


def claims_by_kind(claims: Sequence[ClaimRecord]) -> list[Table]:
    """A table, where kinds are known: how many claims of each came out how, and how many of those decided are so at a
    false discovery rate of 5 % (Benjamini and Hochberg, over the claims of the kind)."""
    kinds = [kind for kind in claim_kind_help if any(claim.kind == kind for claim in claims)]
    of_kind = [[claim for claim in claims if claim.kind == kind] for kind in kinds]
    found = [discoveries([claim.p_value for claim in group if claim.p_value is not None]) for group in of_kind]
    names = [name for name, _ in count_verdicts(claims).counts]
    columns = [
        Column("kind", kinds, left=True),
        *(Column(name, [str(dict(count_verdicts(group).counts).get(name, 0)) for group in of_kind]) for name in names),
        Column("decided at a false\ndiscovery rate of 5 %", [str(sum(decided)) for decided in found]),
    ]
    return [Table("Claims by kind", columns)] if kinds else []


def count_verdicts(claims: Sequence[ClaimRecord]) -> Counts:
    """How many claims came out how."""
    counts = Counter(f"{claim.verdict}{' in part' if claim.in_part else ''}" for claim in claims)
    names = [f"{verdict}{part}" for verdict in ClaimVerdict for part in ("", " in part")]
    return Counts([(name, counts[name]) for name in names if counts[name]] or [("claims", 0)])


def headline(document: Document) -> str:
    """How many claims came out how."""
    return str(count_verdicts([claim for study in document.studies for claim in study.claims]))
