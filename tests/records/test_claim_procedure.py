"""How often the whole procedure decides, rightly and wrongly: simulated claims and tables, with fixed seeds.

Bounds leave three standard errors of the simulation; the numbers beside them are what it gives.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ngbench.records.claim_rule import (
    LOOKS,
    Holds,
    MeanDifference,
    Relation,
    Tails,
    combine,
    discoveries,
    judge_differences,
    level_at,
    table_p_value,
)

TIMES = 10_000
SLACK = 3 * (0.05 * 0.95 / (TIMES / 2)) ** 0.5
Runs = NDArray[np.float64]


def _arms(seed: int, *shape: int, effect: float = 0.0, first: int = 1) -> Runs:
    """Logarithms of losses: simulations, then ``shape``, arms, and twelve seeds. The first arms are lower.

    What a seed does to all arms is large, and the paired difference of two of them has the standard deviation 1.
    """
    generator = np.random.default_rng(seed)
    of_seed = generator.normal(0, 5, (*shape[:-1], 1, 12))
    losses = of_seed + generator.normal(0, 0.5**0.5, (*shape, 12))
    losses[..., :first, :] -= effect
    return losses


def _pairs(losses: Runs, first: int) -> Runs:
    """The differences of each of the first arms and each of the others."""
    differences = losses[..., :first, None, :] - losses[..., None, first:, :]
    return differences.reshape(*losses.shape[:-2], -1, 12)


def _looks(pairs: Runs, relation: Relation, tolerance: float, holds: Holds, looks: Any) -> Iterator[tuple[int, Tails]]:
    for n in looks:
        seen = pairs[..., :n]
        estimate = MeanDifference(seen.mean(-1), seen.std(-1, ddof=1) / n**0.5, n - 1, n)
        yield n, combine(estimate.tails(relation, tolerance), holds)


def _outcome(
    pairs: Runs,
    relation: Relation = Relation.BELOW,
    tolerance: float = 0.0,
    holds: Holds = "all",
    fixed: int | None = None,
) -> tuple[NDArray[np.int_], NDArray[np.int_], Runs]:
    """For each claim 1 (reproduced), -1 or 0, the seeds that it took, and its p-value for a table."""
    looks = dict(_looks(pairs, relation, tolerance, holds, LOOKS if fixed is None else [fixed]))
    verdict = np.zeros(pairs.shape[:-2], dtype=int)
    seeds = np.full(verdict.shape, max(looks))
    for n, tails in looks.items():
        half = level_at(n, sequential=fixed is None) / 2
        found = (tails.reproduced <= half).astype(int) - (tails.contradicted <= half)
        seeds = np.where((verdict == 0) & (found != 0), n, seeds)
        verdict = np.where(verdict == 0, found, verdict)
    return verdict, seeds, table_p_value(looks, sequential=fixed is None)


def test_of_claims_about_equal_arms_one_in_twenty_is_decided() -> None:
    verdict, _, _ = _outcome(_pairs(_arms(1, 8 * TIMES, 2), 1))
    assert 0.045 < np.mean(verdict != 0) < 0.052  # 0.0499
    verdict, _, _ = _outcome(_pairs(_arms(2, 8 * TIMES, 2), 1), fixed=3)
    assert np.mean(verdict == 1) == pytest.approx(0.05, abs=0.0025)


@pytest.mark.parametrize("fixed", [None, 3])
@pytest.mark.parametrize("holds", ["all", "any", "most"])
def test_many_pairs_do_not_decide_more(holds: Holds, fixed: int | None) -> None:
    """Five arms beside two, as in Figure 3.2; all are equal."""
    verdict, _, _ = _outcome(_pairs(_arms(3, TIMES // 2, 7), 5), holds=holds, fixed=fixed)
    assert np.mean(verdict == 1) < 0.05 + SLACK
    assert np.mean(verdict == -1) < 0.05 + SLACK
    if fixed is None:
        assert np.mean(verdict != 0) < 0.05 + SLACK


@pytest.mark.parametrize(
    ("relation", "effect"),
    [(Relation.AT_MOST, 0.3), (Relation.AT_LEAST, -0.3), (Relation.LEVEL, 0.3), (Relation.LEVEL, -0.3)],
)
def test_a_difference_at_the_end_of_the_region_is_decided_no_more_often(relation: Relation, effect: float) -> None:
    verdict, _, _ = _outcome(_pairs(_arms(4, TIMES, 2, effect=-effect), 1), relation, tolerance=0.3)
    assert np.mean(verdict != 0) < 0.05 + SLACK


@pytest.mark.parametrize("fixed", [None, 3])
def test_of_tables_of_equal_arms_one_in_twenty_has_a_discovery(fixed: int | None) -> None:
    """Twelve claims of a study: four arms beside three, over the same seeds."""
    _, _, p_values = _outcome(_pairs(_arms(5, TIMES // 5, 7), 4)[..., None, :], fixed=fixed)
    assert p_values.shape == (TIMES // 5, 12)
    assert np.mean([any(discoveries(table)) for table in p_values]) < 0.05 + 3 * 0.005


@pytest.mark.parametrize(
    ("effect", "at_least", "seeds"), [(1.0, 0.80, 9.6), (1.5, 0.98, 7.6), (2.0, 0.999, 6.3), (3.0, 0.999, 5.1)]
)
def test_effects_are_decided(effect: float, at_least: float, seeds: float) -> None:
    """0.82, 0.99, 1.00 and 1.00 of them, with 9.5, 7.4, 6.1 and 4.9 seeds on average."""
    verdict, took, _ = _outcome(_pairs(_arms(6, TIMES, 2, effect=effect), 1))
    assert np.mean(verdict == 1) > at_least
    assert np.mean(verdict == -1) < 0.001
    assert np.mean(took) < seeds


def test_a_claim_about_ten_pairs_is_decided_too() -> None:
    pairs = _pairs(_arms(7, TIMES, 7, effect=1.5, first=5), 5)
    verdict, _, _ = _outcome(pairs)
    assert np.mean(verdict == 1) > 0.91
    verdict, _, _ = _outcome(-pairs)
    assert np.mean(verdict == -1) > 0.95
    pairs[..., 0, :] += 3.5
    assert np.mean(_outcome(pairs)[0] == -1) > 0.95


def test_the_intervals_of_all_looks_together_cover_95_per_cent() -> None:
    differences = _pairs(_arms(8, 1000, 2, effect=0.7), 1)[:, 0]
    missed = {None: 0, 5: 0}
    for fixed in missed:
        for row in differences:
            found = [judge_differences(row[:n].tolist(), Relation.BELOW) for n in ([fixed] if fixed else LOOKS)]
            ends = [
                one.estimate.interval(level_at(one.estimate.seeds, sequential=fixed is None))
                for one in found
                if one.estimate is not None
            ]
            missed[fixed] += not all(end is not None and end[0] <= -0.7 <= end[1] for end in ends)
    assert missed[None] / 1000 == pytest.approx(0.05, abs=0.021)
    assert missed[5] / 1000 == pytest.approx(0.10, abs=0.03)
