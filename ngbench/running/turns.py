"""How long the turns are in which the arms of a comparison alternate.

A round, one turn of each arm, is the unit in which the machine's drift cancels and from which a ratio gets its
interval. So a run needs enough rounds whatever its number of epochs, and turns long enough that the cold caches at
the beginning of each do not count.
"""

from __future__ import annotations

from ngbench.running.config import Budget

__all__ = ["default_turn_steps", "turn_ends"]

ROUNDS = 24
"""That a run has at least, if it has so many turns of :data:`SHORTEST` steps."""
SHORTEST = 5
"""Steps of the shortest turn that is chosen by default."""
UNKNOWN = 50
"""Steps of a turn at most where the budget does not say how many steps a run will take."""


def default_turn_steps(budget: Budget, epoch_steps: int) -> int:
    """The most steps of a turn, for a run of at least :data:`ROUNDS` turns.

    >>> default_turn_steps(Budget(epochs=5), 63), default_turn_steps(Budget(epochs=100), 63)
    (13, 63)
    >>> default_turn_steps(Budget(steps=60), 63), default_turn_steps(Budget(time_limit=60.0), 5000)
    (5, 50)

    Args:
        budget: of the run.
        epoch_steps: steps of an epoch.
    """
    ends = [epoch_steps * budget.epochs] if budget.epochs is not None else []
    ends += [budget.steps] if budget.steps is not None else []
    turn = min(epoch_steps, *(end // ROUNDS for end in ends)) if ends else epoch_steps // ROUNDS
    if budget.time_limit is not None or budget.early_stopping is not None:
        turn = min(turn, UNKNOWN)
    return max(turn, SHORTEST)


def turn_ends(steps: int, turn_steps: int | None) -> list[int]:
    """After how many steps of an epoch of ``steps`` each of its turns ends; turns are as equal as they can be.

    >>> turn_ends(63, 25), turn_ends(63, None)
    ([21, 42, 63], [63])
    """
    count = 1 if turn_steps is None else -(-steps // turn_steps)
    return [steps * at // count for at in range(1, count + 1)]
