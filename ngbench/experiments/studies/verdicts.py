"""What became of the claims of a study, as a record holds it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from ngbench.experiments.studies.evaluation import ClaimPart, ClaimResult
from ngbench.records.claim_rule import parse_tolerance, table_p_value
from ngbench.records.studies import (
    BasisRecord,
    ClaimPartRecord,
    ClaimRecord,
    ClaimVerdict,
)
from ngbench.units import format_number, format_share

__all__ = ["claim_record"]


def claim_record(study: str, result: ClaimResult, *, sequential: bool = False) -> ClaimRecord:
    """The claim as a record holds it, with all pairs of arms and places that it is about."""
    part, tested = result.decisive, result.tested
    tables = table_p_value(result.looks, sequential=sequential) if result.looks else None
    return ClaimRecord(
        study=study,
        claim=f"{result.claim.name}: {result.claim.says}",
        name=result.claim.name,
        kind=result.claim.shown_kind,
        holds=result.claim.holds,
        verdict=result.verdict,
        reason=result.reason or None,
        cells=len(_cells(result.parts)),
        cells_tested=len(_cells(tested)),
        pairs=len(result.parts),
        pairs_tested=len(tested),
        scale=_scale(part),
        interval=_interval(part, result.level),
        level=result.level,
        p_value=None if tables is None else float(tables),
        seeds_needed=result.seeds_needed,
        observed=_observed(result),
        tolerance=str(parse_tolerance(result.claim.tolerance)),
        basis=_least([one.basis for one in tested or result.parts if one.basis is not None]),
        published=result.published,
        parts=[_part_record(one, result.level) for one in result.parts],
    )


def _cells(parts: Sequence[ClaimPart]) -> set[str]:
    return {cell for part in parts for cell in part.pair.cells}


def _scale(part: ClaimPart | None) -> Literal["difference", "ratio"]:
    return "ratio" if part is not None and part.found is not None and part.found.in_logarithms else "difference"


def _interval(part: ClaimPart | None, level: float | None) -> tuple[float, float] | None:
    if part is None or part.found is None or level is None:
        return None
    found = part.found
    estimate = found.evidence.estimate
    ends = found.spread if estimate is None else estimate.interval(level)
    if estimate is None and ends is None:
        # Each run tells by itself.
        ends = (found.difference, found.difference)
    if ends is None or not all(map(math.isfinite, ends)):
        return None
    return _shown(ends[0], part), _shown(ends[1], part)


def _shown(value: float, part: ClaimPart) -> float:
    """The difference, as a ratio if it is one of logarithms; what is beyond numbers is infinite."""
    if _scale(part) == "difference":
        return value
    return math.exp(value) if value < 700 else math.inf


def _part_record(part: ClaimPart, level: float | None) -> ClaimPartRecord:
    found = part.found
    return ClaimPartRecord(
        subject=part.pair.subject,
        verdict=part.verdict,
        left=None if found is None else found.sides[0],
        right=None if found is None else found.sides[1],
        scale=_scale(part),
        effect=None if found is None else _shown(found.difference, part),
        interval=_interval(part, level),
        n=None if found is None else found.seeds,
        tolerance=None if found is None else _tolerance(part),
        share=None if found is None else found.share,
        note=part.reason,
        busy_machine=part.busy,
        cells=part.pair.cells,
        basis=part.basis,
        published=part.published,
    )


def _tolerance(part: ClaimPart) -> float:
    assert part.found is not None
    amount = part.found.evidence.tolerance
    return math.expm1(amount) if part.found.in_logarithms else amount


def _least(bases: Sequence[BasisRecord]) -> BasisRecord | None:
    """What the weakest of the parts rests on."""
    if not bases:
        return None

    def least(name: str) -> Any:
        return min((value for basis in bases if (value := getattr(basis, name)) is not None), default=None)

    counts = {name: least(name) for name in ("seeds", "epochs", "of_published", "published_epochs", "estimates")}
    settings = {arm: origin for basis in bases for arm, origin in basis.settings.items()}
    return BasisRecord(**counts, settings=settings, data=sorted({origin for basis in bases for origin in basis.data}))


def _observed(result: ClaimResult) -> str:
    part = result.decisive
    if part is None:
        return result.reason
    text = f"{part.pair.subject}: {_numbers(part)}"
    tested = result.tested
    if len(tested) > 1:
        held = sum(one.verdict is ClaimVerdict.REPRODUCED for one in tested)
        text = f"{held} of {len(tested)} hold; {text}"
    return text


def _numbers(part: ClaimPart) -> str:
    found = part.found
    assert found is not None
    text = f"{format_number(found.sides[0], 4)}, {format_number(found.sides[1], 4)}"
    if found.share is not None:
        text += f" on average, at {format_share(found.share)} of the points"
    if math.isinf(found.difference):
        text += " (∞: diverged)"
    if part.busy:
        text += " (measured on a busy machine)"
    return text
