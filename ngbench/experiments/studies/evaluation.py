"""What became of the claims of a study, from the records of its runs alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ngbench.experiments.studies.claims import At, Claim, ScaleName, moment_of
from ngbench.experiments.studies.comparisons import NoValue, View, paired_points, seed_values, timed_ratio
from ngbench.experiments.studies.models import Study
from ngbench.experiments.studies.pairs import CellRuns, ClaimPair, Term, pairs_of
from ngbench.experiments.studies.sufficiency import (
    basis_of,
    published_epochs_reached,
    why_too_few_points,
    why_untested,
)
from ngbench.records.claim_rule import (
    Evidence,
    Tails,
    Tolerance,
    combine,
    judge_differences,
    judge_points,
    level_at,
    pair_verdicts,
    parse_tolerance,
    seeds_needed,
    verdict_of,
)
from ngbench.records.quantities import quantity_of
from ngbench.records.studies import BasisRecord, ClaimVerdict, OnPublishedRecord
from ngbench.records.timing import busy_machine
from ngbench.units import counted

__all__ = ["ClaimPart", "ClaimResult", "evaluate"]


@dataclass(frozen=True)
class PairFinding:
    """What the runs of a pair show.

    Attributes:
        evidence: for and against.
        sides: of the left and of the right, the mean over seeds.
        in_logarithms: whether differences are those of logarithms, so that they stand for ratios.
        difference: the mean, of logarithms if so.
        seeds: that it rests on.
        spread: the least and the greatest difference, for a claim about every point.
        share: of the points that lie in the region, for such a claim.
    """

    evidence: Evidence
    sides: tuple[float, float]
    in_logarithms: bool
    difference: float
    seeds: int
    spread: tuple[float, float] | None = None
    share: float | None = None


@dataclass(frozen=True)
class ClaimPart:
    """A claim about one pair of sides in one place.

    Attributes:
        pair: what is compared.
        found: ``None`` where nothing was.
        reason: why it was not tested; empty where it was.
        basis: what it rests on; ``None`` where nothing ran.
        published: the same pair on the published curves.
        verdict: on this pair, beside the others.
        busy: whether it is about times that were measured on a busy machine.
    """

    pair: ClaimPair
    found: PairFinding | None = None
    reason: str = ""
    basis: BasisRecord | None = None
    published: OnPublishedRecord = field(default_factory=OnPublishedRecord)
    verdict: ClaimVerdict = ClaimVerdict.NOT_TESTED
    busy: bool = False


@dataclass(frozen=True)
class ClaimResult:
    """A claim and what became of it.

    Attributes:
        claim: as the study makes it.
        verdict: over all parts that were tested.
        parts: all pairs that it is about.
        reason: why it was not tested.
        published: over the parts on the published curves.
        looks: for and against, by the number of seeds at each look.
        level: of both tests together.
        seeds_needed: to decide it.
    """

    claim: Claim
    verdict: ClaimVerdict
    parts: Sequence[ClaimPart]
    reason: str = ""
    published: OnPublishedRecord = field(default_factory=OnPublishedRecord)
    looks: Mapping[int, Tails] = field(default_factory=dict)
    level: float | None = None
    seeds_needed: int | None = None

    @property
    def tested(self) -> list[ClaimPart]:
        """The parts that were."""
        return [part for part in self.parts if part.verdict is not ClaimVerdict.NOT_TESTED]

    @property
    def decisive(self) -> ClaimPart | None:
        """The part that is farthest from what the claim says, or, of a contradicted claim about any, nearest."""
        found = [(part.found.evidence.tails, part) for part in self.tested if part.found is not None]
        farthest = max(found, key=lambda one: (one[0].reproduced, -one[0].contradicted), default=None)
        nearest = min(found, key=lambda one: one[0].reproduced, default=None)
        chosen = nearest if self.claim.holds == "any" else farthest
        return None if chosen is None else chosen[1]

    @property
    def is_open(self) -> bool:
        """Whether more seeds could decide it."""
        return self.verdict is ClaimVerdict.INCONCLUSIVE and any(
            part.found is not None and part.found.evidence.estimate is not None for part in self.tested
        )


def evaluate(
    study: Study,
    scale: ScaleName,
    cells: Sequence[CellRuns],
    *,
    sequential: bool = False,
    before: Sequence[ClaimResult] = (),
) -> list[ClaimResult]:
    """The verdict on each claim of the study.

    Args:
        study: with its claims.
        scale: at which it ran.
        cells: all that the study has, with the runs that were made.
        sequential: whether seeds are added until claims are decided.
        before: of the look before this one: what it decided stands.
    """
    held = {result.claim.name: result for result in before}
    return [
        held[claim.name]
        if claim.name in held and not held[claim.name].is_open
        else _evaluate(claim, study, scale, cells, sequential, held.get(claim.name))
        for claim in study.claims
    ]


def _evaluate(
    claim: Claim,
    study: Study,
    scale: ScaleName,
    cells: Sequence[CellRuns],
    sequential: bool,
    before: ClaimResult | None,
) -> ClaimResult:
    outside = study.scales.named(scale).skip or ""
    if not outside and scale not in claim.scales:
        outside = f"not at this scale, but at {' or '.join(claim.scales)}"
    pairs = list(pairs_of(claim, cells))
    on_published = [_on_published(claim, study, pair) for pair in pairs]
    end = _combined(claim, [found.end for found in on_published])
    parts = [
        _part(claim, study, pair, outside, found, found.end if claim.holds == "all" else end)
        for pair, found in zip(pairs, on_published, strict=True)
    ]
    published = _over_parts(claim, parts)
    tested = [part for part in parts if not part.reason and part.found is not None]
    if not tested:
        reasons = list(dict.fromkeys(part.reason for part in parts)) or [outside or "none of its arms and panels ran"]
        more = f" (and {counted(len(reasons) - 1, 'other reason')})" if len(reasons) > 1 else ""
        return ClaimResult(claim, ClaimVerdict.NOT_TESTED, parts, f"{reasons[0]}{more}", published)
    evidence = [part.found.evidence for part in tested if part.found is not None]
    seeds = max(part.found.seeds for part in tested if part.found is not None)
    level = level_at(seeds, sequential=sequential)
    tails = combine(Tails(*zip(*(one.tails for one in evidence), strict=True)), claim.holds)
    verdict = verdict_of(tails, level)
    each = iter(pair_verdicts([one.tails for one in evidence], claim.holds, level))
    inconclusive = verdict is ClaimVerdict.INCONCLUSIVE
    return ClaimResult(
        claim,
        verdict,
        [replace(part, verdict=next(each)) if part in tested else part for part in parts],
        published=published,
        looks={**(before.looks if before else {}), seeds: tails},
        level=level,
        seeds_needed=seeds_needed(evidence, claim.holds, sequential=sequential) if inconclusive else None,
    )


def _over_parts(claim: Claim, parts: Sequence[ClaimPart]) -> OnPublishedRecord:
    """The claim on the published curves: ``here`` for the pairs that ran, ``end`` for all."""

    horizons = [part.published.horizon for part in parts if part.published.end is not None]
    known = [horizon for horizon in horizons if horizon is not None]
    return OnPublishedRecord(
        here=_combined(claim, [part.published.here for part in parts]),
        end=_combined(claim, [part.published.end for part in parts]),
        horizon=max(known, default=None) if claim.holds != "all" or len(known) == len(horizons) else None,
    )


def _combined(claim: Claim, verdicts: Sequence[ClaimVerdict | None]) -> ClaimVerdict | None:
    """The verdict on a claim from those on its pairs, about which there is no doubt; ``None`` where none is known."""
    known = [float(verdict is not ClaimVerdict.REPRODUCED) for verdict in verdicts if verdict is not None]
    if not known:
        return None
    tails = combine(Tails(known, [1 - p for p in known]), claim.holds)
    return verdict_of(tails, level_at(len(known), sequential=False))


def _part(
    claim: Claim,
    study: Study,
    pair: ClaimPair,
    outside: str,
    published: OnPublishedRecord,
    thesis: ClaimVerdict | None,
) -> ClaimPart:
    """The pair, judged by itself.

    Args:
        claim: that it is one of.
        study: with the claim.
        pair: what is compared.
        outside: why the claim is not tested at all, if it is not.
        published: the pair on the published curves.
        thesis: what these say at their end: of the pair, or of the claim where not all pairs must hold.
    """
    try:
        runs = pair.runs()
    except NoValue as missing:
        return ClaimPart(pair, reason=outside or str(missing), published=published)
    basis = basis_of(pair, runs)
    # Some published runs are shorter than those beside them.
    last = basis.published_epochs or 0
    reached = {cell: min(int(epochs), last) for cell, epochs in published_epochs_reached(pair).items()}
    if reached:
        published = published.model_copy(update={"here": _published_verdict(claim, study, pair, reached)})
    timed = quantity_of(claim.measurement, study.measure).compares_absolute_times
    busy = timed and any(busy_machine([run.record]) for of_arm in runs.values() for run in of_arm)
    part = ClaimPart(pair, None, outside, basis, published, busy=busy)
    try:
        part = replace(part, found=_measured(claim, study, pair))
    except NoValue as missing:
        return replace(part, reason=outside or str(missing))
    return replace(part, reason=outside or why_untested(claim, runs, basis, published.horizon, thesis))


def _on_published(claim: Claim, study: Study, pair: ClaimPair) -> OnPublishedRecord:
    """The pair at the end of the published curves, and from which of their epochs on they bear it out."""
    arms = [arm for term in pair.terms for arm in term.published]
    if not arms or not all(term.published for term in pair.terms):
        return OnPublishedRecord()
    last = min(arm.epochs()[-1] for arm in arms)
    epochs = sorted({epoch for arm in arms for epoch in arm.epochs() if epoch <= last})
    verdicts = [_published_verdict(claim, study, pair, dict.fromkeys(pair.cells, epoch)) for epoch in epochs]
    held = len(epochs)
    while held and verdicts[held - 1] is ClaimVerdict.REPRODUCED:
        held -= 1
    # What an epoch costs is the same from the first to the last.
    known = claim.shown_kind == "training" and held < len(epochs)
    return OnPublishedRecord(end=verdicts[-1], horizon=epochs[held] if known else None)


def _published_verdict(claim: Claim, study: Study, pair: ClaimPair, until: Mapping[str, int]) -> ClaimVerdict | None:
    """The verdict on the published curves up to an epoch of each cell; ``None`` where they are not known there."""
    own_time = isinstance(claim.at, At) and (claim.at.step is not None or isinstance(claim.at.seconds, float))
    if own_time or not all(until.values()):
        return None
    try:
        found = _measured(claim, study, pair.as_published(until), exact=True)
    except NoValue:
        return None
    return verdict_of(found.evidence.tails, 0.1)


def _measured(claim: Claim, study: Study, pair: ClaimPair, *, exact: bool = False) -> PairFinding:
    """What the runs of the pair show.

    Args:
        claim: what is measured, and when.
        study: how.
        pair: of what.
        exact: whether each run tells by itself.

    Raises:
        NoValue: a number is missing.
    """
    tolerance = parse_tolerance(claim.tolerance)
    left, right = (_view(term, claim, study) for term in (pair.left, pair.right))
    if isinstance(left.at, At) and left.at.every is not None:
        return _every(claim, pair, left.at, left, right, tolerance)
    if tolerance.of_ratios and (timed := timed_ratio(left, right)) is not None:
        estimate, ours, theirs = timed
        evidence = Evidence.of(estimate, pair.relation, math.log1p(tolerance.amount))
        return PairFinding(evidence, (ours, theirs), True, estimate.value, estimate.seeds)
    lefts, rights = seed_values(left, right)
    seeds = [seed for seed in lefts if seed in rights]
    if not seeds:
        raise NoValue("no seed gave a number on both sides")
    means = [math.fsum(side[seed] for seed in seeds) / len(seeds) for side in (lefts, rights)]
    compared = [(lefts[seed], rights[seed]) for seed in seeds]
    logarithms = _comparable_by_ratio(compared, left, right, tolerance)
    differences = [_minus(*both, logarithms=logarithms) for both in compared]
    amount = _amount(tolerance, means[1], logarithms=logarithms)
    exact = exact or left.measurement.exact
    evidence = judge_differences(differences, pair.relation, amount, exact=exact)
    return PairFinding(evidence, (means[0], means[1]), logarithms, math.fsum(differences) / len(seeds), len(seeds))


def _comparable_by_ratio(
    compared: Sequence[tuple[float, float]], left: View, right: View, tolerance: Tolerance
) -> bool:
    """Whether the numbers are positive, no differences themselves, and the tolerance is not one in their unit."""
    sound = tolerance.of_ratios and left.minus is None and right.minus is None
    return sound and all(a > 0 and b > 0 for a, b in compared)


def _minus(left: float, right: float, *, logarithms: bool) -> float:
    if math.isinf(left) and left == right:
        raise NoValue("both sides diverged")
    return math.log(left) - math.log(right) if logarithms else left - right


def _amount(tolerance: Tolerance, right: float, *, logarithms: bool) -> float:
    if logarithms:
        return math.log1p(tolerance.amount)
    return tolerance.of(right) if math.isfinite(right) else 0.0


def _view(term: Term | float, claim: Claim, study: Study) -> View:
    side = term.side if isinstance(term, Term) else None
    name = (side.measurement if side else None) or claim.measurement
    at = moment_of((side.at if side else None) or claim.at)
    measurement = quantity_of(name, study.measure)
    if not isinstance(term, Term) or side is None:
        return View(measurement, at, times=float(term))  # type: ignore[arg-type]
    divisor = None if side.divided_by is None else term.runs(side.divided_by)
    minus = None if side.minus is None else term.runs(side.minus)
    return View(measurement, at, term.runs(side.arm), divisor, minus, 1.0 if side.times is None else side.times)


def _every(claim: Claim, pair: ClaimPair, at: At, left: View, right: View, tolerance: Tolerance) -> PairFinding:
    by_seed = [run for run in paired_points(left, right, at.after).values() if run]
    if not by_seed:
        raise NoValue("no point was measured on both sides")
    if few := why_too_few_points(claim, by_seed):
        raise NoValue(few)
    compared = [both for run in by_seed for both in run]
    logarithms = _comparable_by_ratio(compared, left, right, tolerance)
    points = [
        [(_minus(a, b, logarithms=logarithms), _amount(tolerance, b, logarithms=logarithms)) for a, b in run]
        for run in by_seed
    ]
    evidence, share = judge_points(points, pair.relation, at.share)
    differences = [d for run in points for d, _ in run]
    means = [math.fsum(side) / len(side) for side in zip(*compared, strict=True)]
    middle = math.fsum(differences) / len(differences)
    spread = (min(differences), max(differences))
    return PairFinding(evidence, (means[0], means[1]), logarithms, middle, len(by_seed), spread, share)
