"""What became of the claims of a study, as a record holds it."""

from __future__ import annotations

import math

from ngbench.experiments.studies.evaluation import ClaimPart, ClaimResult
from ngbench.records.claim_rule import parse_tolerance
from ngbench.records.experiments import ClaimPartRecord, ClaimRecord, ClaimVerdict
from ngbench.units import format_number, format_share

__all__ = ["claim_record"]


def claim_record(study: str, result: ClaimResult) -> ClaimRecord:
    """The claim as a record holds it, with all pairs of arms and places that it was tested on."""
    part = result.decisive
    return ClaimRecord(
        study=study,
        claim=f"{result.claim.name}: {result.claim.says}",
        verdict=result.verdict,
        interval=_interval(part),
        observed=_observed(result),
        tolerance=str(parse_tolerance(result.claim.tolerance)),
        name=result.claim.name,
        parts=[_part_record(one) for one in result.parts],
    )


def _interval(part: ClaimPart | None) -> tuple[float, float] | None:
    if part is None or part.difference is None or part.difference.low is None or part.difference.high is None:
        return None
    ends = (part.difference.low, part.difference.high)
    return ends if all(map(math.isfinite, ends)) else None


def _part_record(part: ClaimPart) -> ClaimPartRecord:
    found = part.difference
    return ClaimPartRecord(
        subject=part.subject,
        verdict=part.verdict,
        left=part.left,
        right=part.right,
        difference=None if found is None else found.value,
        interval=_interval(part),
        n=None if found is None else found.n,
        tolerance=part.tolerance,
        share=part.share,
        note=part.note,
        busy_machine=part.busy,
    )


def _observed(result: ClaimResult) -> str:
    part = result.decisive
    if part is None:
        return result.note
    text = f"{part.subject}: {_numbers(part)}"
    if len(result.parts) > 1:
        held = sum(one.verdict is ClaimVerdict.REPRODUCED for one in result.parts)
        text = f"{held} of {len(result.parts)} hold; {text}"
    return text


def _numbers(part: ClaimPart) -> str:
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
