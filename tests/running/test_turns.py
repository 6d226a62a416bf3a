from __future__ import annotations

import pytest

from ngbench.running.config import Budget
from ngbench.running.turns import ROUNDS, default_turn_steps, turn_ends


@pytest.mark.parametrize("epochs", [1, 2, 5, 20, 100])
@pytest.mark.parametrize("epoch_steps", [20, 63, 5000])
def test_a_run_has_enough_rounds_whatever_its_number_of_epochs(epochs: int, epoch_steps: int) -> None:
    turn = default_turn_steps(Budget(epochs=epochs), epoch_steps)
    rounds = epochs * len(turn_ends(epoch_steps, turn))
    assert rounds >= min(ROUNDS, epochs * epoch_steps // 5)
    assert 5 <= turn <= epoch_steps


def test_the_limit_that_comes_first_counts() -> None:
    assert default_turn_steps(Budget(epochs=100, steps=240), 63) == 10
    assert default_turn_steps(Budget(epochs=1, steps=24000), 240) == 10


def test_a_run_whose_length_is_not_known_takes_short_turns() -> None:
    assert default_turn_steps(Budget(epochs=100, early_stopping=3), 5000) == 50
    assert default_turn_steps(Budget(time_limit=60.0), 48) == 5


@pytest.mark.parametrize(("steps", "turn"), [(63, 25), (1, 5), (64, 5), (7, 1)])
def test_turns_of_an_epoch_are_as_equal_as_they_can_be(steps: int, turn: int) -> None:
    ends = turn_ends(steps, turn)
    lengths = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    assert ends[-1] == steps
    assert max(lengths) <= turn
    assert max(lengths) - min(lengths) <= 1
