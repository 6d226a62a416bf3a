"""What a verdict rests on, and why runs may say nothing of a claim."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from ngbench.experiments.studies.claims import Claim
from ngbench.experiments.studies.pairs import ClaimPair
from ngbench.records.quantities import ArmRun
from ngbench.records.record import RunRecord
from ngbench.records.statistics import curvature_estimates
from ngbench.records.studies import BasisRecord, ClaimVerdict
from ngbench.units import format_number

__all__ = ["basis_of", "published_epochs_reached", "why_too_few_points", "why_untested"]

FEWEST_POINTS = 10
"""Of a run, for a claim about every one of them."""
_GAIN = 0.01
"""By which part a network that has trained is below the best constant prediction."""
_UNFINISHED = {
    "interrupted": "was interrupted",
    "running": "was interrupted",
    "killed": "was killed",
    "failed": "failed",
    "out_of_memory": "ran out of memory",
}

_Real = TypeVar("_Real", int, float)
Runs = Mapping[str, Sequence[ArmRun]]


def basis_of(pair: ClaimPair, runs: Runs) -> BasisRecord:
    """What a verdict on the pair rests on."""
    records = [run.record for of_arm in runs.values() for run in of_arm]
    reached = published_epochs_reached(pair)
    lasts = [arm.epochs()[-1] for term in pair.terms for arm in term.published]
    return BasisRecord(
        seeds=min(map(len, runs.values())),
        epochs=_least(record.history.epoch[-1] for record in records if record.history.epoch),
        of_published=_least(reached.values()),
        published_epochs=_least(lasts) if reached else None,
        estimates=_least(count for record in records if (count := curvature_estimates(record)) is not None),
        settings={run.record.label: run.record.settings for [run, *_] in runs.values() if run.approximation is None},
        data=sorted({record.data.origin for record in records}),
    )


def _least(values: Iterable[_Real]) -> _Real | None:
    return min(values, default=None)


def published_epochs_reached(pair: ClaimPair) -> dict[str, float]:
    """For each cell of the pair, how many epochs of the published runs have as many examples as the shortest run had.

    Empty where a run of one of its arms is not published. An epoch here may be one of a part of the examples.
    """
    if not all(term.published for term in pair.terms):
        return {}
    found: dict[str, float] = {}
    for term in pair.terms:
        for published, arm in zip(term.published, term.side.arms, strict=True):
            for run in term.runs(arm):
                seen = _examples_seen(run.record) / published.examples
                found[term.cell.name] = min(seen, found.get(term.cell.name, math.inf))
    return found


def _examples_seen(record: RunRecord) -> int:
    history = record.history
    if not history.epoch:
        return 0
    return min(history.step[-1] * record.batch_size, history.epoch[-1] * record.data.train_examples)


def why_untested(claim: Claim, runs: Runs, basis: BasisRecord, horizon: int | None, thesis: ClaimVerdict | None) -> str:
    """Why these runs say nothing of the claim; empty where they do.

    Args:
        claim: one about training needs more than others.
        runs: of each arm.
        basis: what a verdict would rest on.
        horizon: the epoch from which the published curves bear it out, if they do. Before it runs that reproduce them
            would contradict the claim.
        thesis: what these curves say at their end.
    """
    for arm, of_arm in runs.items():
        for run in of_arm:
            if run.record.status in _UNFINISHED:
                return f"{arm} {_UNFINISHED[run.record.status]}"
    if claim.shown_kind != "training":
        return ""
    if thesis is ClaimVerdict.CONTRADICTED:
        return "the thesis' own curves contradict it"
    if horizon is not None and (basis.of_published or 0.0) < horizon:
        reached = format_number(basis.of_published, 3)
        return f"before the horizon: {reached} of the {horizon} epochs that the thesis' own curves need"
    for arm, of_arm in runs.items():
        if constant := _untrained(of_arm):
            loss, best = (format_number(number, 4) for number in constant)
            return f"{arm} is untrained: its loss {loss} is not 1 % below {best}, that of the best constant prediction"
    if basis.estimates is not None and basis.estimates < claim.estimates:
        return f"the curvature was estimated {basis.estimates} times, fewer than {claim.estimates}"
    return ""


def _untrained(runs: Sequence[ArmRun]) -> tuple[float, float] | None:
    """The mean of the last losses and that of a constant prediction, where the first is no lower."""
    pairs = [
        (run.record.history.train_loss[-1], run.record.constant_loss)
        for run in runs
        if run.record.history.train_loss and not run.diverged
    ]
    known = [(loss, constant) for loss, constant in pairs if loss is not None and constant is not None]
    if not known:
        return None
    loss, constant = (math.fsum(side) / len(known) for side in zip(*known, strict=True))
    return (loss, constant) if loss > (1 - _GAIN) * constant else None


def why_too_few_points(claim: Claim, points: Sequence[Sequence[object]]) -> str:
    """Why a claim about every point is not tested; empty where there are enough, or each is proven."""
    least = min(map(len, points), default=0)
    if claim.shown_kind in ("theorem", "count") or least >= FEWEST_POINTS:
        return ""
    return f"measured at {least} points of a run, fewer than {FEWEST_POINTS}"
