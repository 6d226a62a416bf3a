"""Proposals depend on the seed, the number of the trial, and for TPE on the trials before; on nothing else."""

from __future__ import annotations

import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from ngbench.errors import ParameterError, UnknownNameError
from ngbench.experiments.search.samplers import distributions, format_point, proposer, settings
from ngbench.experiments.search.space import Choice, Interval

RANGE = {"lr": Interval(1e-6, 1.0, log=True), "n": Interval(1, 9, integer=True), "clip": Choice((None, 0.1))}
GRID = {"a": Choice((1, 2, 3)), "b": Choice(("x", "y"))}


def finished(lr: float, value: float | None) -> FrozenTrial:
    state = TrialState.PRUNED if value is None else TrialState.COMPLETE
    params = {"lr": lr, "n": 5, "clip": None}
    return create_trial(state=state, params=params, distributions=distributions(RANGE), value=value)


def test_the_grid_is_covered_once_in_an_order_of_the_seed() -> None:
    points = [tuple(proposer("grid", GRID, 0, "minimize").propose(number, []).values()) for number in range(6)]
    assert sorted(points) == [(a, b) for a in (1, 2, 3) for b in ("x", "y")]
    assert points != sorted(points)
    other = [tuple(proposer("grid", GRID, 1, "minimize").propose(number, []).values()) for number in range(6)]
    assert sorted(other) == sorted(points)
    assert other != points


def test_random_points_do_not_depend_on_what_was_tried_before() -> None:
    fresh, again = (proposer("random", RANGE, 3, "minimize") for _ in range(2))
    points = [fresh.propose(number, []) for number in range(20)]
    assert [again.propose(number, [finished(0.1, 1.0)]) for number in reversed(range(20))] == points[::-1]
    assert proposer("random", RANGE, 4, "minimize").propose(0, []) != points[0]
    assert len({point["lr"] for point in points}) == 20
    assert {point["n"] for point in points} <= set(range(1, 10))
    assert {point["clip"] for point in points} == {None, 0.1}
    # As many below 1e-3, the middle of the logarithm, as above: 20 draws leave 4 on either side almost surely.
    assert 4 <= sum(point["lr"] < 1e-3 for point in points) <= 16


def test_tpe_repeats_itself_and_goes_where_trials_were_good() -> None:
    good = [finished(1e-1 * 1.1**k, 0.1 + 0.001 * k) for k in range(5)]
    bad = [finished(1e-5 * 1.1**k, 9.0) for k in range(10)]
    sampler = proposer("tpe", RANGE, 0, "minimize")
    points = [sampler.propose(number, good + bad)["lr"] for number in range(15, 25)]
    assert points == [proposer("tpe", RANGE, 0, "minimize").propose(n, good + bad)["lr"] for n in range(15, 25)]
    assert sum(lr > 1e-3 for lr in points) >= 8
    upwards = proposer("tpe", RANGE, 0, "maximize")
    assert sum(upwards.propose(number, good + bad)["lr"] < 1e-3 for number in range(15, 25)) >= 8


def test_tpe_stays_away_from_where_trials_diverged() -> None:
    sound = [finished(1e-4 * 1.2**k, 1.0 + 0.1 * k) for k in range(6)]
    diverged = [finished(0.5, None) for _ in range(8)]
    sampler = proposer("tpe", RANGE, 0, "minimize")
    points = [sampler.propose(number, sound + diverged)["lr"] for number in range(14, 24)]
    assert sum(lr > 0.1 for lr in points) <= 1


def test_what_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="unknown sampler 'gird'; did you mean 'grid'"):
        proposer("gird", GRID, 0, "minimize")
    with pytest.raises(ParameterError, match=r"cannot search the range lr=1e-06..1:log"):
        proposer("grid", RANGE, 0, "minimize")
    with pytest.raises(ParameterError, match=r"has 1,728,000 points"):
        proposer("grid", {name: Choice(tuple(range(120))) for name in "abc"}, 0, "minimize")


def test_a_point_means_hyperparameters() -> None:
    space = {"betas": Choice(((0.9, 0.99), (0.5, 0.9))), "n": Interval(1, 9, integer=True)}
    point = {"n": 3, "betas": "0.5/0.9"}
    assert settings(space, point) == {"betas": (0.5, 0.9), "n": 3}
    assert format_point(space, point) == "betas=0.5/0.9,n=3"
