"""What became of the claims of a study, from the records of its runs alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

from ngbench.experiments.studies.claims import At, Claim, ScaleName, Side, moment_of, moment_text
from ngbench.experiments.studies.comparisons import NoValue, View, paired_points, seed_values, timed_difference
from ngbench.experiments.studies.models import Study
from ngbench.records.claim_rule import Relation, Tolerance, combine, judge, judge_points, parse_tolerance
from ngbench.records.claim_rule import estimate_difference as estimate
from ngbench.records.experiments import ClaimVerdict
from ngbench.records.quantities import ArmRun, quantity_of
from ngbench.records.statistics import UncertainValue
from ngbench.records.timing import busy_machine

__all__ = ["CellRuns", "ClaimPart", "ClaimResult", "evaluate"]


@dataclass(frozen=True)
class CellRuns:
    """What one comparison came to.

    Attributes:
        panel: its panel.
        batch_size: that it ran with.
        arms: for each arm that was to run there, its runs, one for each seed.
    """

    panel: str
    batch_size: int
    arms: Mapping[str, Sequence[ArmRun]]

    @property
    def name(self) -> str:
        """``PANEL-BATCH``, as directories and tables say it."""
        return f"{self.panel}-{self.batch_size}"


@dataclass(frozen=True)
class ClaimPart:
    """A claim about one pair of sides in one place.

    Attributes:
        subject: what is compared where, in words.
        verdict: on this pair.
        difference: left - right, with its interval.
        left: mean over seeds; ``None`` where there is no number.
        right: likewise.
        tolerance: τ in the unit of the difference.
        share: of the points that lie in the region, for a claim about every point.
        note: why there is no verdict.
        busy: whether it is about times that were measured on a busy machine.
    """

    subject: str
    verdict: ClaimVerdict
    difference: UncertainValue | None = None
    left: float | None = None
    right: float | None = None
    tolerance: float = 0.0
    share: float | None = None
    note: str = ""
    busy: bool = False


@dataclass(frozen=True)
class ClaimResult:
    """A claim and what became of it.

    Attributes:
        claim: as the study makes it.
        verdict: over all parts.
        parts: that were tested.
        note: why it was not tested.
    """

    claim: Claim
    verdict: ClaimVerdict
    parts: Sequence[ClaimPart]
    note: str = ""

    @property
    def decisive(self) -> ClaimPart | None:
        """The part that the verdict rests on: the first that has it, the one nearest to the boundary among equals."""
        alike = [part for part in self.parts if part.verdict is self.verdict] or list(self.parts)
        return min(alike, key=_distance, default=None)


def _distance(part: ClaimPart) -> float:
    if part.difference is None or not math.isfinite(part.difference.value):
        return math.inf
    return abs(part.difference.value) / max(abs(part.right or 0.0), 1e-300)


def evaluate(study: Study, scale: ScaleName, cells: Sequence[CellRuns]) -> list[ClaimResult]:
    """The verdict on each claim of the study.

    Args:
        study: with its claims.
        scale: at which it ran.
        cells: what ran.
    """
    return [_evaluate(claim, study, scale, cells) for claim in study.claims]


def _evaluate(claim: Claim, study: Study, scale: ScaleName, cells: Sequence[CellRuns]) -> ClaimResult:
    skip = study.scales.named(scale).skip
    if skip is not None:
        return ClaimResult(claim, ClaimVerdict.NOT_TESTED, [], skip)
    if scale not in claim.scales:
        return ClaimResult(claim, ClaimVerdict.NOT_TESTED, [], f"it is tested at the scale {' or '.join(claim.scales)}")
    scope = [
        cell
        for cell in cells
        if (claim.panels is None or cell.panel in claim.panels)
        and (claim.batch_sizes is None or cell.batch_size in claim.batch_sizes)
    ]
    parts = [_judge(claim, study, pair) for pair in _pairs(claim, scope, cells)]
    tested = [part for part in parts if part.verdict is not ClaimVerdict.NOT_TESTED]
    notes = list(dict.fromkeys(part.note for part in parts if part.note))
    verdict = combine([part.verdict for part in parts], claim.holds)
    if not tested:
        return ClaimResult(claim, verdict, [], notes[0] if notes else "none of its arms and panels ran")
    return ClaimResult(claim, verdict, tested)


@dataclass(frozen=True)
class _Term:
    """One side in one place."""

    side: Side
    cell: CellRuns | None

    def runs(self, arm: str) -> Sequence[ArmRun]:
        if self.cell is None:
            raise NoValue("the panel or batch size did not run", untested=True)
        if arm not in self.cell.arms:
            raise NoValue(f"{arm} did not run in {self.cell.name}", untested=True)
        if not self.cell.arms[arm]:
            raise NoValue(f"{arm} has no record in {self.cell.name}")
        return self.cell.arms[arm]

    def __str__(self) -> str:
        text = self.side.arm
        if self.side.divided_by is not None:
            text += f" / {self.side.divided_by}"
        if self.side.minus is not None:
            text += f" - {self.side.minus}"
        if self.side.measurement is not None:
            text = f"{self.side.measurement} of {text}"
        if self.side.at is not None:
            text += f" at {moment_text(self.side.at)}"
        return text if self.side.times is None else f"{self.side.times:g} × {text}"


@dataclass(frozen=True)
class _Pair:
    left: _Term
    relation: Relation
    right: _Term | float

    @property
    def subject(self) -> str:
        right = f"{self.right:g}" if isinstance(self.right, float) else str(self.right)
        places = [term.cell.name for term in (self.left, self.right) if isinstance(term, _Term) and term.cell]
        left, right = (
            (f"{self.left} ({places[0]})", f"{right} ({places[-1]})")
            if len(set(places)) > 1
            else (str(self.left), right)
        )
        where = f" ({places[0]})" if len(set(places)) == 1 else ""
        return f"{left} {self.relation.value.replace('_', ' ')} {right}{where}"


def _pairs(claim: Claim, scope: Sequence[CellRuns], cells: Sequence[CellRuns]) -> Iterator[_Pair]:
    """Each pair of sides in each place of the claim, once."""
    if claim.is_trend:
        yield from _trend_pairs(claim, scope)
        return
    seen = set()
    for cell in scope:
        for left, relation, right in _comparisons(claim):
            terms = [
                _Term(side, _cell_of(side, cell, cells)) if isinstance(side, Side) else side for side in (left, right)
            ]
            places = (
                *(
                    (term.side, term.cell.name if term.cell else "") if isinstance(term, _Term) else term
                    for term in terms
                ),
            )
            if places in seen:
                continue
            seen.add(places)
            yield _Pair(terms[0], relation, terms[1])  # type: ignore[arg-type]


def _comparisons(claim: Claim) -> Iterator[tuple[Side, Relation, Side | float]]:
    if claim.order is not None:
        groups = [[group] if isinstance(group, str) else list(group) for group in claim.order]
        for before, after in pairwise(groups):
            for left, right in product(before, after):
                yield Side(arm=left), Relation.BELOW, Side(arm=right)
        return
    assert claim.left is not None
    assert claim.right is not None
    assert isinstance(claim.relation, Relation)
    for left_side, right_side in product(_sides(claim.left), _sides(claim.right)):
        if left_side != right_side:
            yield (
                _as_side(left_side),
                claim.relation,
                right_side if isinstance(right_side, float) else _as_side(right_side),
            )


def _sides(given: str | float | Side | Sequence[str]) -> list[str | float | Side]:
    return list(given) if isinstance(given, tuple | list) else [given]  # type: ignore[list-item]


def _as_side(given: str | float | Side) -> Side:
    return given if isinstance(given, Side) else Side(arm=str(given))


def _cell_of(side: Side, cell: CellRuns, cells: Sequence[CellRuns]) -> CellRuns | None:
    panel, batch_size = side.panel or cell.panel, side.batch_size or cell.batch_size
    return next((other for other in cells if (other.panel, other.batch_size) == (panel, batch_size)), None)


def _trend_pairs(claim: Claim, scope: Sequence[CellRuns]) -> Iterator[_Pair]:
    """Each batch size beside the next smaller one of the same panel."""
    relation = Relation.BELOW if claim.relation == "falls_with_batch_size" else Relation.ABOVE
    assert claim.left is not None
    for panel in dict.fromkeys(cell.panel for cell in scope):
        sizes = sorted((cell for cell in scope if cell.panel == panel), key=lambda cell: cell.batch_size)
        for smaller, larger in pairwise(sizes):
            for given in _sides(claim.left):
                side = _as_side(given)
                yield _Pair(_Term(side, larger), relation, _Term(side, smaller))


def _judge(claim: Claim, study: Study, pair: _Pair) -> ClaimPart:
    tolerance = parse_tolerance(claim.tolerance)
    try:
        return _measured(claim, study, pair, tolerance)
    except NoValue as missing:
        verdict = ClaimVerdict.NOT_TESTED if missing.untested else ClaimVerdict.INCONCLUSIVE
        return ClaimPart(pair.subject, verdict, note=str(missing))


def _measured(claim: Claim, study: Study, pair: _Pair, tolerance: Tolerance) -> ClaimPart:
    at = moment_of(claim.at)
    left, right = _view(pair.left, claim, study), _view(pair.right, claim, study)
    if isinstance(at, At) and at.every is not None:
        return _every(pair, at, left, right, tolerance)
    difference: UncertainValue | None
    if (paired := timed_difference(left, right)) is not None:
        difference, left_value, right_value = paired
    else:
        lefts, rights = seed_values(left, right)
        seeds = [seed for seed in lefts if seed in rights]
        if not seeds:
            raise NoValue("no seed gave a number on both sides")
        difference = estimate([_minus(lefts[seed], rights[seed]) for seed in seeds], exact=left.measurement.exact)
        left_value, right_value = (math.fsum(side[seed] for seed in seeds) / len(seeds) for side in (lefts, rights))
    amount = tolerance.of(right_value) if math.isfinite(right_value) else 0.0
    verdict = judge(difference, pair.relation, amount)
    timed = left.measurement.compares_absolute_times and any(
        busy_machine([run.record])
        for view in (left, right)
        for run in (*view.runs, *(view.divided_by or ()), *(view.minus or ()))
    )
    return ClaimPart(pair.subject, verdict, difference, left_value, right_value, amount, busy=timed)


def _view(term: _Term | float, claim: Claim, study: Study) -> View:
    side = term.side if isinstance(term, _Term) else None
    name = (side.measurement if side else None) or claim.measurement
    at = moment_of((side.at if side else None) or claim.at)
    measurement = quantity_of(name, study.measure)
    if not isinstance(term, _Term) or side is None:
        return View(measurement, at, times=float(term))  # type: ignore[arg-type]
    divisor = None if side.divided_by is None else term.runs(side.divided_by)
    minus = None if side.minus is None else term.runs(side.minus)
    return View(measurement, at, term.runs(side.arm), divisor, minus, 1.0 if side.times is None else side.times)


def _minus(left: float, right: float) -> float:
    if math.isinf(left) and left == right:
        raise NoValue("both sides diverged")
    return left - right


def _every(pair: _Pair, at: At, left: View, right: View, tolerance: Tolerance) -> ClaimPart:
    by_seed = paired_points(left, right, at.after)
    points = [
        [(_minus(a, b), tolerance.of(b) if math.isfinite(b) else 0.0) for a, b in run] for run in by_seed.values()
    ]
    verdict, share = judge_points(points, pair.relation, at.share)
    if share is None:
        raise NoValue("no point was measured on both sides")
    differences = [d for run in points for d, _ in run]
    sides = [(a, b) for run in by_seed.values() for a, b in run]
    spread = UncertainValue(
        math.fsum(differences) / len(differences), min(differences), max(differences), len(differences)
    )
    means = [math.fsum(side) / len(side) for side in zip(*sides, strict=True)]
    return ClaimPart(pair.subject, verdict, spread, means[0], means[1], tolerance.of(means[1]), share)
