"""Whether a claim holds: one rule for all claims, from the differences that runs show.

A claim says where the difference ``d = left - right`` lies. Around zero there is the tolerance ``τ``, within which
two numbers are level; each relation is a region of the line that it cuts in three::

            -τ        0        τ
    ─────────┼─────────────────┼─────────
      below  │      level      │  above
    ───────── at_most ─────────┤
             ├─────────── at_least ──────

The rule looks at where the whole interval of ``d`` lies: within the region the claim is *reproduced*, outside it is
*contradicted*, and across an end of it the runs do not tell. Noise widens the interval and so leads to *inconclusive*,
never to a verdict.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from ngbench.curvature.bounds import NonNegative
from ngbench.errors import ParameterError
from ngbench.records.experiments import ClaimVerdict
from ngbench.records.statistics import UncertainValue, mean_interval
from ngbench.values import Refused, alternatives, first_match

__all__ = [
    "Relation",
    "Tolerance",
    "combine",
    "estimate_difference",
    "judge",
    "judge_points",
    "parse_tolerance",
]


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


def estimate_difference(differences: Sequence[float], *, exact: bool = False) -> UncertainValue | None:
    """The difference with the interval that the verdict is taken from; ``None`` of no differences.

    Args:
        differences: ``left - right``, one for each seed that both arms ran. Seeds pair the arms: they share initial
            weights, data and their order. An infinite one belongs to a seed with which one of the arms diverged.
        exact: for what is counted and not measured, such as operations: no seed would change it.

    The interval is Student's of 95 % for the mean over seeds. One seed supports none: it says nothing of how the
    next one would come out.

    >>> estimate_difference([-0.02, -0.03, -0.025]).high < 0
    True
    >>> estimate_difference([-0.02])
    UncertainValue(value=-0.02, low=None, high=None, n=1)
    >>> estimate_difference([-4.0], exact=True)
    UncertainValue(value=-4.0, low=-4.0, high=-4.0, n=1)

    Where an arm diverges with every seed there is no doubt; where it does with some, there is no mean:

    >>> estimate_difference([float("inf"), float("inf")])
    UncertainValue(value=inf, low=inf, high=inf, n=2)
    >>> estimate_difference([float("inf"), -0.1])
    UncertainValue(value=inf, low=None, high=None, n=2)
    """
    n = len(differences)
    if n == 0:
        return None
    if exact:
        return UncertainValue(math.fsum(differences) / n, min(differences), max(differences), n)
    infinite = [difference for difference in differences if math.isinf(difference)]
    if infinite:
        alike = n > 1 and len(set(differences)) == 1
        end = infinite[0] if alike else None
        return UncertainValue(infinite[0], end, end, n)
    return mean_interval(differences)


def judge(difference: UncertainValue | None, relation: Relation, tolerance: float = 0.0) -> ClaimVerdict:
    """The verdict on a claim. The one rule, for whatever the interval comes from.

    Args:
        difference: ``left - right`` with its interval; ``None`` if nothing was measured.
        relation: where the claim says that it lies.
        tolerance: τ >= 0, in the unit of the difference.

    Three seeds put KFAC 0.020 to 0.030 below Adam. That it is below is reproduced, that it is above or level is not:

    >>> gain = UncertainValue(-0.025, -0.030, -0.020, 3)
    >>> for relation in (Relation.BELOW, Relation.ABOVE):
    ...     print(judge(gain, relation).value)
    reproduced
    contradicted
    >>> print(judge(gain, Relation.LEVEL, 0.01).value, judge(gain, Relation.LEVEL, 0.05).value)
    contradicted reproduced

    A tolerance is what counts as level. Of a gain that small "below" is not true, and "at most" is:

    >>> print(judge(gain, Relation.BELOW, 0.05).value, judge(gain, Relation.AT_MOST, 0.05).value)
    contradicted reproduced

    Seeds that scatter over the boundary, and a single seed, leave it open:

    >>> print(judge(UncertainValue(-0.01, -0.03, 0.01, 3), Relation.BELOW).value)
    inconclusive
    >>> print(judge(UncertainValue(-0.01, None, None, 1), Relation.BELOW).value)
    inconclusive

    What is counted has an interval of no width, and on the boundary two numbers are level:

    >>> same = UncertainValue(0.0, 0.0, 0.0, 1)
    >>> print(judge(same, Relation.BELOW).value, judge(same, Relation.AT_MOST).value)
    contradicted reproduced
    """
    if difference is None or difference.low is None or difference.high is None:
        return ClaimVerdict.INCONCLUSIVE
    within = [_holds(end, relation, tolerance) for end in (difference.low, difference.high)]
    if all(within):
        return ClaimVerdict.REPRODUCED
    if any(within):
        return ClaimVerdict.INCONCLUSIVE
    # Both ends are outside of level, on the same side or on either side of it.
    spans = relation is Relation.LEVEL and difference.low < -tolerance and difference.high > tolerance
    return ClaimVerdict.INCONCLUSIVE if spans else ClaimVerdict.CONTRADICTED


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
) -> tuple[ClaimVerdict, float | None]:
    """The verdict on a claim about every point of every run, such as "the gap is negative throughout training".

    Args:
        points: for each seed, ``(d, τ)`` at each point.
        relation: where each ``d`` lies.
        share: of a run's points that must lie there.

    Such a claim is about the run itself and no mean, so that one run tests it: each seed's run bears it out or not.
    Runs that disagree leave it open.

    Returns:
        The verdict, and the smallest share of any seed.

    >>> judge_points([[(-1.0, 0.0), (-2.0, 0.0)]], Relation.BELOW)[0].value
    'reproduced'
    >>> verdict, share = judge_points([[(-1.0, 0.0), (0.5, 0.0)]], Relation.BELOW)
    >>> verdict.value, share
    ('contradicted', 0.5)
    >>> judge_points([[(-1.0, 0.0), (0.5, 0.0)]], Relation.BELOW, share=0.5)[0].value
    'reproduced'
    >>> judge_points([[(-1.0, 0.0)], [(0.5, 0.0)]], Relation.BELOW)[0].value
    'inconclusive'
    """
    shares = [sum(_holds(d, relation, tolerance) for d, tolerance in run) / len(run) for run in points if run]
    if not shares:
        return ClaimVerdict.INCONCLUSIVE, None
    borne_out = [found >= share for found in shares]
    if all(borne_out):
        return ClaimVerdict.REPRODUCED, min(shares)
    return (ClaimVerdict.INCONCLUSIVE if any(borne_out) else ClaimVerdict.CONTRADICTED), min(shares)


def combine(verdicts: Sequence[ClaimVerdict], holds: str = "all") -> ClaimVerdict:
    """The verdict on a claim about several pairs of arms and places.

    Args:
        verdicts: one for each; those not tested do not count.
        holds: how many must come out: ``all``, ``any`` or ``most`` (more than half).

    >>> one = [ClaimVerdict.REPRODUCED, ClaimVerdict.REPRODUCED, ClaimVerdict.CONTRADICTED]
    >>> [combine(one, holds).value for holds in ("all", "any", "most")]
    ['contradicted', 'reproduced', 'reproduced']
    >>> combine([ClaimVerdict.REPRODUCED, ClaimVerdict.INCONCLUSIVE]).value, combine([ClaimVerdict.NOT_TESTED]).value
    ('inconclusive', 'not tested at this scale')
    """
    tested = [verdict for verdict in verdicts if verdict is not ClaimVerdict.NOT_TESTED]
    if not tested:
        return ClaimVerdict.NOT_TESTED
    n, yes = len(tested), tested.count(ClaimVerdict.REPRODUCED)
    no = tested.count(ClaimVerdict.CONTRADICTED)
    needed = {"all": n, "any": 1, "most": n // 2 + 1}[holds]
    if yes >= needed:
        return ClaimVerdict.REPRODUCED
    return ClaimVerdict.CONTRADICTED if n - no < needed else ClaimVerdict.INCONCLUSIVE
