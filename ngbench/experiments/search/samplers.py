"""Which point of a space a trial tries: all of a grid in a shuffled order, random draws, or Optuna's TPE.

A proposal is a function of the space, the seed, the number of the trial and, for TPE alone, of the trials before it. So
it does not matter which process makes it, and a search with one worker gives the same trials however often it is cut.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from ngbench.errors import ParameterError, UnknownNameError
from ngbench.experiments.search.space import Choice, Interval, Space, describe, size
from ngbench.plugins.parameters import format_value

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

__all__ = ["SAMPLERS", "Direction", "Proposer", "distributions", "format_point", "proposer", "settings"]

Direction = Literal["minimize", "maximize"]

SAMPLERS = {
    "grid": "combinations of the values, in a shuffled order",
    "random": "draws that know nothing of each other",
    "tpe": "tree-structured Parzen estimator, which learns from the trials before",
}

_LARGEST_GRID = 1_000_000


class Proposer(ABC):
    """Proposes points of one space, as Optuna keeps them (:meth:`Choice.encode`)."""

    def __init__(self, space: Space, seed: int) -> None:
        self.space = space
        self._seed = seed

    @abstractmethod
    def propose(self, number: int, before: Sequence[FrozenTrial]) -> dict[str, Any]:
        """The point of trial ``number`` (from 0), after the trials ``before``, finished or running."""


class _Grid(Proposer):
    def __init__(self, space: Space, seed: int) -> None:
        super().__init__(space, seed)
        ranges = [f"{name}={describe(d)}" for name, d in space.items() if isinstance(d, Interval)]
        points = size(space)
        if points is None:
            raise ParameterError(
                f"sampler 'grid' cannot search the range {ranges[0]}: list its values, or take 'random' or 'tpe'"
            )
        if points > _LARGEST_GRID:
            raise ParameterError(f"the grid has {points:,} points, at most {_LARGEST_GRID:,} are allowed")
        self._order = list(range(points))
        random.Random(seed).shuffle(self._order)

    def propose(self, number: int, before: Sequence[FrozenTrial]) -> dict[str, Any]:
        place = self._order[number]
        point = {}
        for name, dimension in sorted(self.space.items()):
            assert isinstance(dimension, Choice)
            place, at = divmod(place, len(dimension.values))
            point[name] = dimension.encode(dimension.values[at])
        return point


class _Sampled(Proposer):
    """Optuna's sampler, asked in a study of its own that holds copies of the trials."""

    def __init__(self, space: Space, seed: int, direction: Direction, *, learns: bool) -> None:
        super().__init__(space, seed)
        self._direction = direction
        self._learns = learns

    def propose(self, number: int, before: Sequence[FrozenTrial]) -> dict[str, Any]:
        import warnings

        import numpy as np
        import optuna

        seed = int(np.random.SeedSequence((self._seed, number)).generate_state(1)[0])
        sampler: optuna.samplers.BaseSampler
        if self._learns:
            # A small budget is the rule here: Optuna's ten random trials would be most of it.
            first = 2 * len(self.space) + 2
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                # Trials that others run now count as bad ones, so that no two look at the same place.
                sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=first, constant_liar=True)
        else:
            sampler = optuna.samplers.RandomSampler(seed=seed)
        study = optuna.create_study(direction=self._direction, sampler=sampler)
        if self._learns:
            study.add_trials(before)
        return dict(study.ask(distributions(self.space)).params)


def proposer(name: str, space: Space, seed: int, direction: Direction) -> Proposer:
    """The sampler called ``name`` for the space.

    Raises:
        UnknownNameError: there is no such sampler.
        ParameterError: the space has a range and the sampler is the grid's, or the grid is too large.
    """
    if name not in SAMPLERS:
        raise UnknownNameError("sampler", name, SAMPLERS)
    if name == "grid":
        return _Grid(space, seed)
    return _Sampled(space, seed, direction, learns=name == "tpe")


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """The space as Optuna has it, in an order that does not depend on the one in which the user gave it."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    found: dict[str, BaseDistribution] = {}
    for name, dimension in sorted(space.items()):
        if isinstance(dimension, Choice):
            found[name] = CategoricalDistribution([dimension.encode(value) for value in dimension.values])
        elif dimension.integer:
            found[name] = IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
        else:
            found[name] = FloatDistribution(dimension.low, dimension.high, log=dimension.log)
    return found


def settings(space: Space, point: Mapping[str, Any]) -> dict[str, Any]:
    """The hyper-parameters that a point of the space means, in the space's order."""
    return {name: dimension.decode(point[name]) for name, dimension in space.items()}


def format_point(space: Space, point: Mapping[str, Any]) -> str:
    """The point as the command line has it: ``lr=0.1,damping=0.01``."""
    return ",".join(
        f"{name}={value:.6g}" if isinstance(value, float) else f"{name}={format_value(value)}"
        for name, value in settings(space, point).items()
    )
