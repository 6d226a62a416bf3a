"""Whether a claim holds: one rule for all claims, from what runs show.

A claim says where the difference ``d = left - right`` lies; of positive quantities it is that of their logarithms.
Around zero there is the tolerance ``τ``, within which two numbers are level; each relation is a region of the line that
it cuts in three::

            -τ        0        τ
    ─────────┼─────────────────┼─────────
      below  │      level      │  above
    ───────── at_most ─────────┤
             ├─────────── at_least ──────

Each pair of sides gives two p-values (:class:`Tails`): of one-sided t-tests that ``d`` lies in the region and that it
lies outside; ``level`` takes two tests (Schuirmann, *J. Pharmacokinet. Biopharm.* 15, 1987). The pairs of a claim are
combined by partial conjunction (Benjamini and Heller, *Biometrics* 64, 2008): for a claim about *all* pairs the largest
p-value reproduces it, and the smallest, times their number as in Holm's first step, contradicts it.

The number of seeds is fixed beforehand, and each of the two tests has 5 %; or seeds are added until the claim is
decided, after :data:`LOOKS`, and both tests together have 5 % over all looks. What noise hides is *inconclusive*.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy.special import stdtr, stdtrit

from ngbench.curvature.bounds import NonNegative
from ngbench.errors import ParameterError
from ngbench.records.studies import ClaimVerdict
from ngbench.values import Refused, alternatives, first_match

__all__ = [
    "LOOKS",
    "Evidence",
    "Holds",
    "MeanDifference",
    "Relation",
    "Tails",
    "Tolerance",
    "combine",
    "discoveries",
    "judge_differences",
    "judge_points",
    "level_at",
    "pair_verdicts",
    "parse_tolerance",
    "seeds_needed",
    "table_p_value",
    "verdict_of",
]

LOOKS: Mapping[int, float] = {3: 0.0066, 5: 0.0110, 8: 0.0177, 12: 0.0266}
"""The numbers of seeds after which a sequence of runs is looked at, and the level of both tests together at each. They
rise as the looks do, so that early ones cost little; over all four they decide 5 % of claims about equal arms."""
ONE_LOOK = 0.10
"""The level of both tests together, where the number of seeds was fixed beforehand: 5 % each."""
MOST_SEEDS = 1000
"""More seeds than that nobody would run."""
FALSE_DISCOVERIES = 0.05

Holds = Literal["all", "any", "most"]


class Relation(str, Enum):
    """Where the difference of a claim lies."""

    BELOW = "below"
    """``d < -τ``"""
    ABOVE = "above"
    """``d > τ``"""
    LEVEL = "level"
    """``-τ <= d <= τ``"""
    AT_MOST = "at_most"
    """``d <= τ``"""
    AT_LEAST = "at_least"
    """``d >= -τ``"""


@dataclass(frozen=True)
class Tolerance:
    """Differences that count as none: a number, or a part of what is compared with.

    Attributes:
        amount: not negative.
        relative: whether it is a part of the right side.
    """

    amount: float
    relative: bool

    @property
    def of_ratios(self) -> bool:
        """Whether it says something of the ratio of two numbers: none does, and a part does."""
        return self.relative or self.amount == 0

    def of(self, right: float) -> float:
        """τ beside this value."""
        return self.amount * abs(right) if self.relative else self.amount

    def __str__(self) -> str:
        return f"{100 * self.amount:g}%" if self.relative else f"{self.amount:g}"


_AMOUNT = alternatives(NonNegative)


def parse_tolerance(given: float | str) -> Tolerance:
    """The tolerance that a number or a text such as ``"2%"`` means.

    >>> parse_tolerance("2%")
    Tolerance(amount=0.02, relative=True)

    Raises:
        ParameterError: it is neither, or negative.
    """
    text = str(given).strip()
    try:
        amount = first_match(_AMOUNT, text.removesuffix("%"))
    except Refused:
        raise ParameterError(
            f"tolerance={given} is not allowed, it must be a number >= 0 or a percentage such as 2%"
        ) from None
    return Tolerance(amount / 100, True) if text.endswith("%") else Tolerance(amount, False)


class Tails(NamedTuple):
    """The p-values for and against a claim: numbers, or arrays of them.

    Attributes:
        reproduced: how likely runs like these are, where it does not hold.
        contradicted: how likely they are, where it does.
    """

    reproduced: Any
    contradicted: Any


UNKNOWN = Tails(1.0, 1.0)


@dataclass(frozen=True)
class MeanDifference:
    """A difference as runs show it; its fields may be arrays.

    Attributes:
        value: the mean.
        error: its standard error; NaN of one seed, which says nothing of how the next one would come out.
        degrees: of freedom of the error.
        seeds: that it rests on.
    """

    value: Any
    error: Any
    degrees: Any
    seeds: int

    def tails(self, relation: Relation, tolerance: float = 0.0) -> Tails:
        """The p-values of the tests that the difference lies in the region, and outside.

        Three seeds put KFAC 0.020 to 0.030 below Adam:

        >>> gain = MeanDifference(-0.025, 0.003, 2, 3)
        >>> [f"{p:.3f}" for p in gain.tails(Relation.BELOW)]
        ['0.007', '0.993']

        A tolerance is what counts as level: of a gain that small "below" is not true, and "at most" is.

        >>> [f"{p:.3f}" for p in (*gain.tails(Relation.BELOW, 0.05), *gain.tails(Relation.AT_MOST, 0.05))]
        ['0.993', '0.007', '0.001', '0.999']
        """
        # At an end of the region without noise two numbers are level.
        under, over_under = self._tails(self.value + tolerance, math.inf)
        under_over, over = self._tails(self.value - tolerance, -math.inf)
        if relation is Relation.LEVEL:
            return Tails(np.maximum(under_over, over_under), np.minimum(under, over))
        return {
            Relation.BELOW: Tails(under, over_under),
            Relation.AT_LEAST: Tails(over_under, under),
            Relation.AT_MOST: Tails(under_over, over),
            Relation.ABOVE: Tails(over, under_over),
        }[relation]

    def _tails(self, distance: Any, without_any: float) -> tuple[Any, Any]:
        """P-values that the distance is negative, and that it is positive."""
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.divide(distance, self.error)
        t = np.where((np.asarray(self.error) == 0) & (np.asarray(distance) == 0), without_any, t)
        # Of what has no error there is no p-value.
        return tuple(np.where(np.isnan(t), 1.0, stdtr(self.degrees, side)) for side in (t, -t))  # type: ignore[return-value]

    def interval(self, level: float) -> tuple[float, float] | None:
        """The interval that the tests of this level together reject what lies outside of; none of one seed."""
        if math.isnan(self.error):
            return None
        half = float(stdtrit(self.degrees, 1 - level / 2)) * self.error
        return self.value - half, self.value + half

    def with_seeds(self, seeds: int) -> MeanDifference:
        """The same mean and scatter, from another number of seeds."""
        more = seeds / self.seeds
        return MeanDifference(self.value, self.error / math.sqrt(more), (self.degrees + 1) * more - 1, seeds)


@dataclass(frozen=True)
class Evidence:
    """What runs show of one pair of sides.

    Attributes:
        tails: for and against.
        estimate: where the verdict depends on how seeds scatter; ``None`` where each run tells by itself.
        relation: where the difference should lie.
        tolerance: τ in the unit of the difference.
    """

    tails: Tails
    estimate: MeanDifference | None
    relation: Relation
    tolerance: float

    @classmethod
    def of(cls, estimate: MeanDifference, relation: Relation, tolerance: float) -> Evidence:
        """What an estimate shows."""
        return cls(_floats(estimate.tails(relation, tolerance)), estimate, relation, tolerance)

    def with_seeds(self, seeds: int) -> Tails:
        """For and against, if so many seeds came out like these."""
        if self.estimate is None or math.isnan(self.estimate.error):
            return self.tails
        return self.estimate.with_seeds(seeds).tails(self.relation, self.tolerance)


def _floats(tails: Tails) -> Tails:
    return Tails(float(tails.reproduced), float(tails.contradicted))


def judge_differences(
    differences: Sequence[float], relation: Relation, tolerance: float = 0.0, *, exact: bool = False
) -> Evidence:
    """What the differences of seeds show.

    Args:
        differences: ``left - right``, one for each seed that both arms ran, at least one. Seeds pair the arms: they
            share initial weights, data and their order. An infinite one belongs to a seed with which an arm diverged.
        relation: where the claim says that they lie.
        tolerance: τ >= 0, in the unit of the differences.
        exact: for what is counted and not measured, such as operations: each run tells by itself.

    >>> print(verdict_of(judge_differences([-0.02, -0.03, -0.025], Relation.BELOW).tails, ONE_LOOK))
    reproduced
    >>> print(verdict_of(judge_differences([-0.02], Relation.BELOW).tails, ONE_LOOK))
    inconclusive
    >>> print(verdict_of(judge_differences([-4.0], Relation.BELOW, exact=True).tails, ONE_LOOK))
    reproduced

    Where an arm diverges with every seed there is no doubt. Where it does with some there is no mean, and where all
    seeds differ by the same there is no scatter: the seeds' median is tested by their signs.

    >>> print(verdict_of(judge_differences([math.inf, math.inf], Relation.BELOW).tails, ONE_LOOK))
    contradicted
    >>> judge_differences([math.inf, math.inf, math.inf, 0.1, 0.2], Relation.BELOW).tails.contradicted
    0.03125
    """
    n = len(differences)
    infinite = any(map(math.isinf, differences))
    alike = n > 1 and len(set(differences)) == 1
    if exact or (infinite and alike):
        return Evidence(_told_by_each([_holds(d, relation, tolerance) for d in differences]), None, relation, tolerance)
    # Numbers of epochs often differ alike, which is no proof that all seeds would.
    if infinite or (alike and differences[0] != 0):
        held = sum(_holds(d, relation, tolerance) for d in differences)
        return Evidence(Tails(_sign_test(held, n), _sign_test(n - held, n)), None, relation, tolerance)
    error = float(np.std(differences, ddof=1)) / math.sqrt(n) if n > 1 else math.nan
    return Evidence.of(MeanDifference(math.fsum(differences) / n, error, max(n - 1, 1), n), relation, tolerance)


def _sign_test(successes: int, n: int) -> float:
    return math.ldexp(sum(math.comb(n, k) for k in range(successes, n + 1)), -n)


def _told_by_each(borne_out: Sequence[bool]) -> Tails:
    """Where each run bears the claim out or does not; runs that disagree leave it open."""
    return Tails(0.0 if all(borne_out) else 1.0, 1.0 if any(borne_out) else 0.0)


def _holds(difference: float, relation: Relation, tolerance: float) -> bool:
    if relation is Relation.BELOW:
        return difference < -tolerance
    if relation is Relation.ABOVE:
        return difference > tolerance
    if relation is Relation.AT_MOST:
        return difference <= tolerance
    if relation is Relation.AT_LEAST:
        return difference >= -tolerance
    return -tolerance <= difference <= tolerance


def judge_points(
    points: Sequence[Sequence[tuple[float, float]]], relation: Relation, share: float = 1.0
) -> tuple[Evidence, float]:
    """What every point of every run shows, such as "the gap is negative throughout training".

    Args:
        points: for each seed, ``(d, τ)`` at each point, at least one in all.
        relation: where each ``d`` lies.
        share: of a run's points that must lie there.

    Such a claim is about the run itself and no mean, so that one run tests it: each seed's run bears it out or not.

    Returns:
        The evidence, and the smallest share of any seed.

    >>> evidence, share = judge_points([[(-1.0, 0.0), (0.5, 0.0)]], Relation.BELOW)
    >>> evidence.tails, share
    (Tails(reproduced=1.0, contradicted=0.0), 0.5)
    """
    shares = [sum(_holds(d, relation, tolerance) for d, tolerance in run) / len(run) for run in points if run]
    tails = _told_by_each([found >= share for found in shares])
    return Evidence(tails, None, relation, 0.0), min(shares)


def combine(tails: Tails, holds: Holds = "all") -> Tails:
    """For and against a claim about several pairs of arms and places.

    Args:
        tails: of the pairs, along the last axis of both arrays.
        holds: how many must come out: ``all``, ``any`` or ``most`` (more than half).

    >>> pairs = Tails([0.01, 0.02, 0.98], [0.99, 0.98, 0.02])
    >>> [f"{p:.2f}" for p in combine(pairs)], [f"{p:.2f}" for p in combine(pairs, "any")]
    (['0.98', '0.06'], ['0.03', '0.99'])
    """
    reproduced, contradicted = (np.sort(side, axis=-1) for side in tails)
    n = reproduced.shape[-1]
    needed = {"all": n, "any": 1, "most": n // 2 + 1}[holds]
    return Tails(
        np.minimum(1.0, (n - needed + 1) * reproduced[..., needed - 1]),
        np.minimum(1.0, needed * contradicted[..., n - needed]),
    )


def level_at(seeds: int, *, sequential: bool) -> float:
    """The level of both tests together.

    Args:
        seeds: that were run.
        sequential: whether they were added until claims are decided.
    """
    if not sequential:
        return ONE_LOOK
    return LOOKS[max((look for look in LOOKS if look <= seeds), default=min(LOOKS))]


def verdict_of(tails: Tails, level: float) -> ClaimVerdict:
    """The verdict at a level of both tests together."""
    if tails.reproduced <= level / 2:
        return ClaimVerdict.REPRODUCED
    return ClaimVerdict.CONTRADICTED if tails.contradicted <= level / 2 else ClaimVerdict.INCONCLUSIVE


def pair_verdicts(pairs: Sequence[Tails], holds: Holds, level: float) -> list[ClaimVerdict]:
    """The verdicts on the pairs of a claim, where one that decides all is one of many that could (Holm)."""
    reproduced, contradicted = ([tails[side] for tails in pairs] for side in (0, 1))
    if holds == "all":
        contradicted = _holm(contradicted)
    if holds == "any":
        reproduced = _holm(reproduced)
    return [verdict_of(Tails(*both), level) for both in zip(reproduced, contradicted, strict=True)]


def _holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values (Holm, *Scand. J. Statist.* 6, 1979)."""
    found, largest = [0.0] * len(p_values), 0.0
    for rank, at in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[at]))
        found[at] = largest
    return found


def table_p_value(looks: Mapping[int, Tails], *, sequential: bool) -> Any:
    """The p-value that a claim is decided either way, for :func:`discoveries`.

    Args:
        looks: for and against, by the number of seeds at each look.
        sequential: whether there may be several; each then has a share of the p-value, as its level has of all levels.
    """
    total = math.fsum(LOOKS.values())
    shares = [total / level_at(seeds, sequential=True) if sequential else 1.0 for seeds in looks]
    found = [2 * share * np.minimum(*tails) for share, tails in zip(shares, looks.values(), strict=True)]
    return np.minimum(1.0, np.min(found, axis=0))


def discoveries(p_values: Sequence[float]) -> list[bool]:
    """Which claims of a table are decided at a false discovery rate of 5 % (Benjamini and Hochberg)."""
    from scipy.stats import false_discovery_control

    return list(false_discovery_control(p_values) <= FALSE_DISCOVERIES) if len(p_values) else []


def seeds_needed(pairs: Sequence[Evidence], holds: Holds, *, sequential: bool) -> int | None:
    """With how many seeds the claim would be decided, if further ones came out as those that were run.

    ``None`` where more would not decide it, or not :data:`MOST_SEEDS`.
    """
    counts = [one.estimate.seeds for one in pairs if one.estimate is not None]
    seeds = max(counts, default=MOST_SEEDS)
    while seeds < MOST_SEEDS:
        seeds += max(1, seeds // 20)
        tails = combine(Tails(*zip(*(one.with_seeds(seeds) for one in pairs), strict=True)), holds)
        level = level_at(seeds, sequential=sequential)
        if verdict_of(tails, level) is not ClaimVerdict.INCONCLUSIVE:
            return next((look for look in LOOKS if look >= seeds), seeds) if sequential else seeds
    return None
