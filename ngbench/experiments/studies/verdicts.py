"""The claims of a study as a report's page and a terminal show them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from ngbench.experiments.studies.evaluation import ClaimResult, Part
from ngbench.records.claims import Verdict, parse_tolerance
from ngbench.report.columns import Column
from ngbench.report.page.extras import Claim as ClaimRecord
from ngbench.units import DASH, format_number, format_share

__all__ = ["claim_record", "count_verdicts", "format_verdicts"]


def claim_record(study: str, result: ClaimResult) -> ClaimRecord:
    """The claim as a record holds it, with all pairs of arms and places that it was tested on."""
    part = result.decisive
    return ClaimRecord(
        study=study,
        claim=f"{result.claim.name}: {result.claim.says}",
        verdict=result.verdict.value,
        interval=_interval(part),
        observed=_observed(result),
        tolerance=str(parse_tolerance(result.claim.tolerance)),
        name=result.claim.name,
        parts=[_part_record(one) for one in result.parts],
    )


def _interval(part: Part | None) -> tuple[float, float] | None:
    if part is None or part.difference is None or part.difference.low is None or part.difference.high is None:
        return None
    ends = (part.difference.low, part.difference.high)
    return ends if all(map(math.isfinite, ends)) else None


def _part_record(part: Part) -> dict[str, Any]:
    found = part.difference
    return {
        "subject": part.subject,
        "verdict": part.verdict.value,
        "left": part.left,
        "right": part.right,
        "difference": None if found is None else found.value,
        "interval": _interval(part),
        "n": None if found is None else found.n,
        "tolerance": part.tolerance,
        "share": part.share,
        "note": part.note,
        "busy_machine": part.busy,
    }


def _observed(result: ClaimResult) -> str:
    part = result.decisive
    if part is None:
        return result.note
    text = f"{part.subject}: {_numbers(part)}"
    if len(result.parts) > 1:
        held = sum(one.verdict is Verdict.REPRODUCED for one in result.parts)
        text = f"{held} of {len(result.parts)} hold; {text}"
    return text


def _numbers(part: Part) -> str:
    if part.note:
        return part.note
    text = f"{format_number(part.left, 4)}, {format_number(part.right, 4)}"
    if part.share is not None:
        text += f" on average, at {format_share(part.share)} of the points"
    if part.difference is not None and math.isinf(part.difference.value):
        text += " (∞: diverged)"
    if part.busy:
        text += " (measured on a busy machine)"
    return text


def format_verdicts(records: Sequence[ClaimRecord]) -> list[Column]:
    """One row for each claim."""
    return [
        Column("claim", [str((record.model_extra or {}).get("name", record.claim)) for record in records], left=True),
        Column("verdict", [record.verdict for record in records], left=True),
        Column("interval", [_shown_interval(record) for record in records]),
        Column("tolerance", [str(record.tolerance) for record in records]),
        Column("observed", [str(record.observed or DASH) for record in records], left=True),
    ]


def _shown_interval(record: ClaimRecord) -> str:
    if record.interval is None:
        return DASH
    return " to ".join(format_number(end, 4) for end in record.interval)


def count_verdicts(records: Sequence[ClaimRecord]) -> str:
    """How many claims came out how, in words.

    >>> count_verdicts([ClaimRecord(study="s", claim="c", verdict="reproduced")] * 2)
    '2 reproduced'
    """
    counts = Counter(record.verdict for record in records)
    known = [verdict.value for verdict in Verdict if counts[verdict.value]]
    return ", ".join(f"{counts[verdict]} {verdict}" for verdict in known) or "no claims"
