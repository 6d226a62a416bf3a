"""Best, spread and importance of an arm, with diverged trials as the worst of all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ngbench.experiments.search.arm_results import (
    FAILED_OUTCOMES,
    LEAST_FOR_IMPORTANCE,
    ArmResult,
    importance,
    quartiles,
    summarise_arm,
)
from ngbench.experiments.search.ledger import Attempt, Outcome
from ngbench.experiments.search.space import Choice, Interval

Make = Callable[..., Attempt]
SPACE = {"lr": Choice((0.001, 0.01, 0.1, 1.0)), "idle": Choice(("a", "b", "c", "d"))}


def result(attempts: list[Attempt], direction: Any = "minimize", planned: int = 16) -> ArmResult:
    return summarise_arm(
        attempts,
        SPACE,
        direction,
        label="arm",
        optimizer="sgd",
        hyperparameters={"lr": 0.5, "idle": "a", "momentum": 0.9},
        planned=planned,
    )


def failed(found: ArmResult) -> int:
    return sum(found.outcomes[name] for name in FAILED_OUTCOMES)


def whole_grid(attempt: Make) -> list[Attempt]:
    """lr = 0.1 is best and 1 diverges; the other setting does next to nothing."""
    value = {0.001: 3.0, 0.01: 2.0, 0.1: 1.0}
    points = [(lr, idle) for lr in SPACE["lr"].values for idle in SPACE["idle"].values]
    return [
        attempt(k, {"lr": lr, "idle": idle}, value[lr] + 0.001 * (k * 7 % 5) if lr in value else "diverged")
        for k, (lr, idle) in enumerate(points)
    ]


def test_the_best_is_never_a_diverged_trial_and_keeps_what_was_not_searched(attempt: Make) -> None:
    found = result(whole_grid(attempt))
    assert found.score == 1.0
    assert found.trial == 10
    assert found.hyperparameters == {"lr": 0.1, "idle": "c", "momentum": 0.9}
    assert (found.trials, found.diverged, failed(found), found.steps, found.seconds) == (16, 4, 0, 160, 16.0)
    assert found.quartiles is not None
    assert found.quartiles[2] is None
    assert found.quartiles[0] == pytest.approx(1.75, abs=0.01)
    assert found.edges == []


def test_where_high_is_good_the_highest_is_best(attempt: Make) -> None:
    found = result(whole_grid(attempt), "maximize")
    assert found.score is not None
    assert found.score >= 3.0
    assert found.edges == ["lr"]


def test_an_arm_of_which_nothing_is_left(attempt: Make) -> None:
    found = result([attempt(0, {"lr": 1.0, "idle": "a"}, "diverged"), attempt(1, {"lr": 0.1, "idle": "a"}, "failed")])
    assert (found.hyperparameters, found.score, found.trial, found.diverged, failed(found)) == (None, None, None, 1, 1)
    assert found.quartiles == (None, None, None)
    assert result([]).quartiles is None


def test_what_was_cut_off_costs_and_counts_as_repeated_alone(attempt: Make) -> None:
    cut = replace(attempt(0, {"lr": 0.1, "idle": "a"}, "killed"), counts=False)
    found = result([cut, attempt(0, {"lr": 0.1, "idle": "a"}, 2.0)])
    assert (found.trials, found.repeated, found.steps, found.score) == (1, 1, 20, 2.0)


def test_a_trial_that_two_processes_finished_counts_once(attempt: Make) -> None:
    twice = [attempt(0, {"lr": 0.1, "idle": "a"}, 2.0), attempt(0, {"lr": 0.1, "idle": "a"}, 1.0)]
    assert (result(twice).trials, result(twice).score) == (1, 2.0)


def test_importance_tells_the_setting_that_matters(attempt: Make) -> None:
    found = importance(SPACE, whole_grid(attempt), "minimize")
    assert found is not None
    assert sum(found.values()) == pytest.approx(1)
    assert found["lr"] > 0.85


def test_diverged_trials_take_part_in_importance(attempt: Make) -> None:
    # Everything that does not diverge is equally good: only divergence tells lr's values apart.
    attempts = [replace(a, outcome=replace(a.outcome, value=a.outcome.value and 1.0)) for a in whole_grid(attempt)]
    found = importance(SPACE, attempts, "minimize")
    assert found is not None
    assert found["lr"] > 0.85


def test_there_is_no_importance_without_enough_trials_that_differ(attempt: Make) -> None:
    attempts = whole_grid(attempt)
    assert importance(SPACE, attempts[: LEAST_FOR_IMPORTANCE - 1], "minimize") is None
    assert importance(SPACE, [replace(a, outcome=Outcome("done", 1.0)) for a in attempts], "minimize") is None
    assert importance(SPACE, [replace(a, outcome=Outcome("diverged")) for a in attempts], "minimize") is None


def test_the_only_setting_has_all_importance(attempt: Make) -> None:
    space = {"lr": Interval(0.0, 1.0)}
    attempts = [attempt(k, {"lr": k / 20}, float(k)) for k in range(20)]
    assert importance(space, attempts, "minimize") == {"lr": 1.0}


@pytest.mark.parametrize(
    ("values", "direction", "expected"),
    [
        ([1.0, 2.0, 3.0, 4.0, 5.0], "minimize", (2.0, 3.0, 4.0)),
        ([1.0, 2.0, 3.0, 4.0, 5.0], "maximize", (4.0, 3.0, 2.0)),
        ([1.0, 2.0, None, None], "minimize", (1.75, None, None)),
        ([7.0], "minimize", (7.0, 7.0, 7.0)),
    ],
)
def test_quartiles_by_hand(values: list[float | None], direction: Any, expected: tuple[float | None, ...]) -> None:
    assert quartiles(values, direction) == expected


@pytest.mark.parametrize(
    ("dimension", "value", "edge"),
    [
        (Choice((0.1, 0.01, 0.001)), 0.1, True),
        (Choice((0.1, 0.01, 0.001)), 0.01, False),
        (Choice((0.1, 1.0, None)), 1.0, False),
        (Choice((0.1, 1.0)), 1.0, False),
        (Interval(1e-4, 1.0, log=True), 0.9, True),
        (Interval(1e-4, 1.0, log=True), 1.2e-4, True),
        (Interval(1e-4, 1.0, log=True), 0.01, False),
        (Interval(0.0, 10.0), 0.2, True),
    ],
)
def test_the_edge_of_what_was_searched(dimension: Any, value: float, edge: bool, attempt: Make) -> None:
    found = summarise_arm(
        [attempt(0, {"lr": value}, 1.0)],
        {"lr": dimension},
        "minimize",
        label="arm",
        optimizer="sgd",
        hyperparameters={},
        planned=1,
    )
    assert found.edges == (["lr"] if edge else [])
