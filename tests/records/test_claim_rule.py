from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from ngbench.errors import ParameterError
from ngbench.records.claim_rule import (
    LOOKS,
    Evidence,
    Holds,
    MeanDifference,
    Relation,
    Tails,
    combine,
    discoveries,
    judge_differences,
    judge_points,
    level_at,
    pair_verdicts,
    parse_tolerance,
    seeds_needed,
    table_p_value,
    verdict_of,
)
from ngbench.records.studies import ClaimVerdict

R, C, Q = ClaimVerdict.REPRODUCED, ClaimVerdict.CONTRADICTED, ClaimVerdict.INCONCLUSIVE
ONE_LOOK = level_at(3, sequential=False)


def judge(differences: list[float], relation: Relation, tolerance: float = 0.0, *, exact: bool = False) -> ClaimVerdict:
    return verdict_of(judge_differences(differences, relation, tolerance, exact=exact).tails, ONE_LOOK)


@pytest.mark.parametrize("n", [2, 3, 5, 12])
def test_the_p_values_are_those_of_scipys_one_sided_tests(n: int) -> None:
    generator = np.random.default_rng(n)
    left, right = generator.normal(0.1, 0.02, n), generator.normal(0.11, 0.03, n)
    differences = (left - right).tolist()
    less, greater = (stats.ttest_rel(left, right, alternative=side).pvalue for side in ("less", "greater"))
    below, above = (judge_differences(differences, relation).tails for relation in (Relation.BELOW, Relation.ABOVE))
    assert below == pytest.approx((less, greater))
    assert above == pytest.approx((greater, less))
    lower, upper = (
        stats.ttest_1samp(differences, end, alternative=side).pvalue
        for end, side in ((-0.05, "greater"), (0.05, "less"))
    )
    level = judge_differences(differences, Relation.LEVEL, 0.05)
    assert level.tails.reproduced == pytest.approx(max(lower, upper))
    assert level.estimate is not None
    expected = stats.ttest_rel(left, right).confidence_interval(0.9)
    assert level.estimate.interval(ONE_LOOK) == pytest.approx((expected.low, expected.high))


# The interval of d, τ = 1: below (d < -1), at most (d <= 1), level, at least (d >= -1), above (d > 1).
@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-3.0, -2.0, (R, R, C, C, C)),
        (-3.0, -0.99, (Q, R, Q, Q, C)),
        (-3.0, 0.0, (Q, R, Q, Q, C)),
        (-0.99, 0.99, (C, R, R, R, C)),
        (0.0, 0.0, (C, R, R, R, C)),
        (-1.0, -1.0, (C, R, R, R, C)),
        (1.0, 1.0, (C, R, R, R, C)),
        (-3.0, 3.0, (Q, Q, Q, Q, Q)),
        (0.0, 3.0, (C, Q, Q, R, Q)),
        (2.0, 3.0, (C, C, C, R, R)),
    ],
)
def test_each_relation_is_a_region(low: float, high: float, expected: tuple[ClaimVerdict, ...]) -> None:
    relations = (Relation.BELOW, Relation.AT_MOST, Relation.LEVEL, Relation.AT_LEAST, Relation.ABOVE)
    half = float(stats.t(4).ppf(1 - ONE_LOOK / 2))
    found = MeanDifference((low + high) / 2, (high - low) / 2 / half, 4, 5)
    assert found.interval(ONE_LOOK) == pytest.approx((low, high))
    assert tuple(verdict_of(found.tails(relation, 1.0), ONE_LOOK) for relation in relations) == expected


def test_one_seed_leaves_it_open() -> None:
    evidence = judge_differences([-5.0], Relation.BELOW)
    assert verdict_of(evidence.tails, ONE_LOOK) is Q
    assert evidence.estimate is not None
    assert evidence.estimate.interval(ONE_LOOK) is None
    assert seeds_needed([evidence], "all", sequential=False) is None


def test_what_is_counted_needs_one_run() -> None:
    assert judge([-5.0], Relation.BELOW, exact=True) is R
    assert judge([0.0], Relation.BELOW, exact=True) is C
    assert judge([-5.0, 1.0], Relation.BELOW, exact=True) is Q


def test_divergence_is_worse_than_any_loss_where_seeds_agree() -> None:
    assert judge([-math.inf, -math.inf], Relation.BELOW, 0.1) is R
    assert judge([math.inf, math.inf], Relation.BELOW) is C
    assert judge([math.inf, math.inf], Relation.LEVEL, 0.1) is C
    assert judge([-math.inf, -0.1], Relation.BELOW) is Q
    assert judge([-math.inf], Relation.BELOW) is Q


def test_where_some_seeds_diverge_signs_decide() -> None:
    some = [-math.inf, -math.inf, -0.1, -0.2, -0.3]
    assert judge(some, Relation.BELOW) is R
    assert judge(some[:4], Relation.BELOW) is Q
    assert judge(some, Relation.ABOVE) is C
    expected = stats.binomtest(4, 5, alternative="greater").pvalue
    assert judge([-1.0] * 4, Relation.BELOW) is Q
    assert judge([-1.0] * 5, Relation.BELOW) is R
    assert judge([0.0] * 2, Relation.LEVEL, 0.1) is R
    assert judge_differences([*some[:4], 0.5], Relation.BELOW).tails.reproduced == pytest.approx(expected)


def test_tolerances_are_numbers_or_parts_of_the_right_side() -> None:
    assert parse_tolerance("2.5%").of(-4.0) == pytest.approx(0.1)
    assert parse_tolerance(0.3).of(-4.0) == 0.3
    assert [str(parse_tolerance(given)) for given in ("2%", 0.5, "0")] == ["2%", "0.5", "0"]


@pytest.mark.parametrize("given", ["two", -1, "-2%", "nan", "inf", ""])
def test_other_tolerances_are_refused(given: str | float) -> None:
    with pytest.raises(ParameterError, match="must be a number >= 0 or a percentage such as 2%"):
        parse_tolerance(given)


def test_points_are_judged_run_by_run() -> None:
    good, bad = (-1.0, 0.0), (1.0, 0.0)

    def found(points: list[list[tuple[float, float]]], share: float = 1.0) -> tuple[ClaimVerdict, float]:
        evidence, least = judge_points(points, Relation.BELOW, share)
        return verdict_of(evidence.tails, ONE_LOOK), least

    assert found([[good, good], [good]]) == (R, 1.0)
    assert found([[good, bad], [bad]]) == (C, 0.0)
    assert found([[good, good], [good, bad]]) == (Q, 0.5)
    assert found([[good, good, bad]], share=0.6) == (R, pytest.approx(2 / 3))


def test_the_tolerance_of_each_point_counts() -> None:
    assert judge_points([[(-0.5, 1.0)]], Relation.BELOW)[0].tails == (1.0, 0.0)
    assert judge_points([[(-0.5, 0.4)]], Relation.BELOW)[0].tails == (0.0, 1.0)


SURE = {R: (0.0, 1.0), C: (1.0, 0.0), Q: (1.0, 1.0)}


@pytest.mark.parametrize(
    ("verdicts", "every", "most", "some"),
    [
        ([R, R, R], R, R, R),
        ([R, R, C], C, R, R),
        ([R, R, Q], Q, R, R),
        ([R, Q, C], C, Q, R),
        ([R, C, C], C, C, R),
        ([Q, C, C], C, C, Q),
        ([C, C, C], C, C, C),
        ([R, C], C, C, R),
    ],
)
def test_pairs_without_doubt_combine(
    verdicts: list[ClaimVerdict], every: ClaimVerdict, most: ClaimVerdict, some: ClaimVerdict
) -> None:
    tails = Tails(*zip(*(SURE[verdict] for verdict in verdicts), strict=True))
    ways: tuple[Holds, ...] = ("all", "most", "any")
    assert [verdict_of(combine(tails, holds), ONE_LOOK) for holds in ways] == [every, most, some]


def test_one_of_many_pairs_decides_only_if_it_does_so_for_all_of_them() -> None:
    lone, others = Tails(0.96, 0.04), Tails(0.4, 0.6)
    assert pair_verdicts([lone], "all", ONE_LOOK) == [C]
    assert pair_verdicts([lone, others, others], "all", ONE_LOOK) == [Q, Q, Q]
    # Holm: 0.01 × 3, 0.02 × 2, and 0.03.
    three = [Tails(1 - p, p) for p in (0.03, 0.01, 0.02)]
    assert pair_verdicts(three, "all", ONE_LOOK) == [C, C, C]
    assert pair_verdicts([Tails(p, 1 - p) for p in (0.03, 0.04, 0.045)], "any", ONE_LOOK) == [Q, Q, Q]
    assert pair_verdicts([Tails(p, 1 - p) for p in (0.03, 0.04, 0.045)], "all", ONE_LOOK) == [R, R, R]
    assert combine(Tails([0.97, 0.98, 0.99], [0.03, 0.02, 0.01])).contradicted == pytest.approx(0.03)


def test_levels_are_those_of_the_last_look() -> None:
    assert [level_at(n, sequential=True) for n in (2, 3, 4, 8, 11, 20)] == [LOOKS[look] for look in (3, 3, 3, 8, 8, 12)]
    assert {level_at(n, sequential=False) for n in (2, 12)} == {0.1}


def test_the_p_value_of_a_table_shares_itself_among_looks() -> None:
    one = Tails(0.01, 0.99)
    assert table_p_value({3: one}, sequential=False) == pytest.approx(0.02)
    share = LOOKS[3] / sum(LOOKS.values())
    assert table_p_value({3: one}, sequential=True) == pytest.approx(0.02 / share)
    assert table_p_value({3: Tails(0.5, 0.5), 12: one}, sequential=True) < 0.06


def test_discoveries_are_those_of_benjamini_and_hochberg() -> None:
    assert discoveries([]) == []
    assert discoveries([0.04]) == [True]
    # The third is at most 3/4 × 5 %, which lets in those before it.
    assert discoveries([0.03, 0.3, 0.036, 0.03]) == [True, False, True, True]
    assert discoveries([0.03, 0.3, 0.038, 0.03]) == [False] * 4


def test_seeds_are_needed_until_runs_like_these_would_decide() -> None:
    differences = [-0.3, 0.1, -0.2, 0.05]
    evidence = judge_differences(differences, Relation.BELOW)
    needed = seeds_needed([evidence], "all", sequential=False)
    assert needed is not None
    mean, deviation = float(np.mean(differences)), float(np.std(differences, ddof=1))

    def p_value(n: int) -> float:
        return float(stats.t(n - 1).cdf(mean / (deviation / n**0.5)))

    assert p_value(needed) <= 0.05 < p_value(needed - 1)
    assert seeds_needed([judge_differences([-0.3, -0.1, -0.2], Relation.BELOW)], "all", sequential=True) in LOOKS
    level = Evidence.of(MeanDifference(0.0, 0.1, 2, 3), Relation.BELOW, 0.0)
    assert seeds_needed([level], "all", sequential=False) is None
    assert seeds_needed([judge_differences([1.0], Relation.BELOW, exact=True)], "all", sequential=False) is None
