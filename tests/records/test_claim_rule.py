from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from ngbench.errors import ParameterError
from ngbench.records.claim_rule import (
    Relation,
    combine,
    estimate_difference,
    judge,
    judge_points,
    parse_tolerance,
)
from ngbench.records.experiments import ClaimVerdict
from ngbench.records.statistics import UncertainValue

R, C, Q, N = ClaimVerdict.REPRODUCED, ClaimVerdict.CONTRADICTED, ClaimVerdict.INCONCLUSIVE, ClaimVerdict.NOT_TESTED


@pytest.mark.parametrize("n", [2, 3, 5, 12])
def test_the_interval_is_that_of_scipys_paired_t_test(n: int) -> None:
    generator = np.random.default_rng(n)
    left, right = generator.normal(0.1, 0.02, n), generator.normal(0.11, 0.03, n)
    found = estimate_difference((left - right).tolist())
    expected = stats.ttest_rel(left, right).confidence_interval(0.95)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.value == pytest.approx(float(np.mean(left - right)))


@pytest.mark.parametrize("n", [3, 10])
def test_a_verdict_without_tolerance_agrees_with_the_test_at_5_per_cent(n: int) -> None:
    generator = np.random.default_rng(7)
    verdicts = set()
    for _ in range(60):
        differences = generator.normal(-0.5, 1.0, n)
        verdict = judge(estimate_difference(differences.tolist()), Relation.BELOW)
        significant = stats.ttest_1samp(differences, 0.0).pvalue < 0.05
        assert (verdict is Q) != significant
        if significant:
            assert verdict is (R if differences.mean() < 0 else C)
        verdicts.add(verdict)
    assert len(verdicts) > 1


# The interval of d, τ = 1: below (d < -1), at most (d <= 1), level, at least (d >= -1), above (d > 1).
@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-3.0, -2.0, (R, R, C, C, C)),
        (-3.0, -1.0, (Q, R, Q, Q, C)),
        (-3.0, 0.0, (Q, R, Q, Q, C)),
        (-1.0, 1.0, (C, R, R, R, C)),
        (0.0, 0.0, (C, R, R, R, C)),
        (-3.0, 3.0, (Q, Q, Q, Q, Q)),
        (0.0, 3.0, (C, Q, Q, R, Q)),
        (2.0, 3.0, (C, C, C, R, R)),
    ],
)
def test_each_relation_is_a_region(low: float, high: float, expected: tuple[ClaimVerdict, ...]) -> None:
    relations = (Relation.BELOW, Relation.AT_MOST, Relation.LEVEL, Relation.AT_LEAST, Relation.ABOVE)
    found = UncertainValue((low + high) / 2, low, high, 3)
    assert tuple(judge(found, relation, 1.0) for relation in relations) == expected


def test_one_seed_and_no_seed_leave_it_open() -> None:
    assert judge(estimate_difference([-5.0]), Relation.BELOW) is Q
    assert estimate_difference([]) is None
    assert judge(None, Relation.ABOVE) is Q


def test_what_is_counted_needs_one_run() -> None:
    assert judge(estimate_difference([-5.0], exact=True), Relation.BELOW) is R
    assert judge(estimate_difference([0.0], exact=True), Relation.BELOW) is C
    assert judge(estimate_difference([-5.0, 1.0], exact=True), Relation.BELOW) is Q


def test_divergence_is_worse_than_any_loss_where_seeds_agree() -> None:
    assert judge(estimate_difference([-math.inf, -math.inf]), Relation.BELOW, 0.1) is R
    assert judge(estimate_difference([math.inf, math.inf]), Relation.BELOW) is C
    assert judge(estimate_difference([math.inf, math.inf]), Relation.LEVEL, 0.1) is C
    assert judge(estimate_difference([-math.inf, -0.1]), Relation.BELOW) is Q
    assert judge(estimate_difference([-math.inf]), Relation.BELOW) is Q


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
    assert judge_points([[good, good], [good]], Relation.BELOW) == (R, 1.0)
    assert judge_points([[good, bad], [bad]], Relation.BELOW) == (C, 0.0)
    assert judge_points([[good, good], [good, bad]], Relation.BELOW) == (Q, 0.5)
    assert judge_points([[good, good, bad]], Relation.BELOW, share=0.6) == (R, pytest.approx(2 / 3))
    assert judge_points([[], []], Relation.BELOW) == (Q, None)


def test_the_tolerance_of_each_point_counts() -> None:
    assert judge_points([[(-0.5, 1.0)]], Relation.BELOW)[0] is C
    assert judge_points([[(-0.5, 0.4)]], Relation.BELOW)[0] is R


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
        ([R, N, N], R, R, R),
        ([N], N, N, N),
        ([], N, N, N),
    ],
)
def test_verdicts_combine(
    verdicts: list[ClaimVerdict], every: ClaimVerdict, most: ClaimVerdict, some: ClaimVerdict
) -> None:
    assert [combine(verdicts, holds) for holds in ("all", "most", "any")] == [every, most, some]
