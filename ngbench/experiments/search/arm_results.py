"""What a search found of each arm: the best point, the spread of all, which settings matter, what it cost.

Computed from the attempts in the storage alone, so every process that shares a search says the same.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ngbench.experiments.search.ledger import Attempt
from ngbench.experiments.search.metrics import metric_in_words
from ngbench.experiments.search.samplers import SAMPLERS, Direction, distributions, settings
from ngbench.experiments.search.space import Choice, Space
from ngbench.records.experiments import OutcomeName, SearchRecord
from ngbench.units import counted, format_seconds

__all__ = ["FAILED_OUTCOMES", "LEAST_FOR_IMPORTANCE", "ArmResult", "describe_search", "summarise_arm"]

LEAST_FOR_IMPORTANCE = 10
"""With fewer trials, nothing is said of how much a setting matters."""
_TOP_SHARE, _TOP_LEAST = 0.1, 5
FAILED_OUTCOMES: frozenset[OutcomeName] = frozenset({"failed", "out_of_memory", "lost"})
"""Outcomes that say nothing of how good a point is."""


@dataclass(frozen=True)
class ArmResult:
    """An arm of a search.

    Attributes:
        label: the arm's.
        optimizer: the plugin's name or the dotted name of a class.
        hyperparameters: all those of the best trial, defaults included; ``None`` if no trial has a value.
        searched: what was tried for each setting.
        score: the best trial's value.
        trial: the number of the best trial.
        trials: how many are over.
        planned: how many there are to be.
        outcomes: how many of those that are over ended how.
        quartiles: of the values, from good to bad; one without a value is worse than any number, and a quartile among
            those is ``None``. ``None`` altogether where there are no trials.
        importance: for each setting its part in being among the best (PED-ANOVA), from 0 to 1; ``None`` if there are
            too few trials to say.
        edges: settings whose best value is the first or last of what was tried, beyond which there may be a better one.
        seconds: of training, over all attempts.
        steps: updates, over all attempts.
        repeated: how many attempts were cut off and made again.
        attempts: those that count, in the order of their numbers.
    """

    label: str
    optimizer: str
    hyperparameters: Mapping[str, Any] | None
    searched: Space
    score: float | None
    trial: int | None
    trials: int
    planned: int
    outcomes: Counter[str]
    quartiles: tuple[float | None, float | None, float | None] | None
    importance: Mapping[str, float] | None
    edges: Sequence[str]
    seconds: float
    steps: int
    repeated: int
    attempts: Sequence[Attempt] = field(default_factory=tuple)

    @property
    def diverged(self) -> int:
        """How many trials diverged."""
        return self.outcomes["diverged"]


def describe_search(search: SearchRecord) -> str:
    """What is searched for, and how."""
    budget = ", ".join(_LIMITS[name](value) for name, value in search.budget.model_dump().items())
    seeds = len(search.seeds)
    way = "highest" if search.direction == "maximize" else "lowest"
    sampler = search.sampler
    return (
        f"the {way} {metric_in_words(search.metric)}: sampler {sampler} ({SAMPLERS[sampler]}); a trial is "
        f"{'a run' if seeds == 1 else f'{seeds} runs'} of {budget}"
    )


_LIMITS: dict[str, Callable[[Any], str]] = {
    "epochs": lambda count: counted(count, "epoch"),
    "steps": lambda count: counted(count, "step"),
    "time_limit_seconds": lambda seconds: f"at most {format_seconds(seconds)}",
    "early_stopping": lambda count: f"{counted(count, 'epoch')} without a new lowest loss, at most",
}


def summarise_arm(
    attempts: Sequence[Attempt],
    space: Space,
    direction: Direction,
    *,
    label: str,
    optimizer: str,
    hyperparameters: Mapping[str, Any],
    planned: int,
) -> ArmResult:
    """The result of an arm.

    Args:
        attempts: all of them.
        space: what was searched.
        direction: whether small or large values are good.
        label: the arm's.
        optimizer: of the arm.
        hyperparameters: all those of the arm, to which the best point's are added.
        planned: how many trials there are to be.
    """
    # Two attempts count only if a process that was believed to be dead came back: the first one stays.
    over = list({a.number: a for a in reversed(attempts) if a.counts and a.number < planned}.values())
    over.sort(key=lambda attempt: attempt.number)
    sign = 1.0 if direction == "minimize" else -1.0
    sound = [attempt for attempt in over if attempt.outcome.value is not None]
    best = min(sound, key=lambda a: (sign * (a.outcome.value or 0.0), a.number), default=None)
    found = None if best is None else settings(space, best.point)
    return ArmResult(
        label=label,
        optimizer=optimizer,
        hyperparameters=None if found is None else {**hyperparameters, **found},
        searched=space,
        score=None if best is None else best.outcome.value,
        trial=None if best is None else best.number,
        trials=len(over),
        planned=planned,
        outcomes=Counter(attempt.outcome.name for attempt in over),
        quartiles=quartiles([a.outcome.value for a in over if a.outcome.name not in FAILED_OUTCOMES], direction),
        importance=importance(space, over, direction),
        edges=[] if found is None else [name for name, value in found.items() if _at_edge(space, name, value)],
        seconds=math.fsum(attempt.outcome.seconds for attempt in attempts),
        steps=sum(attempt.outcome.steps for attempt in attempts),
        repeated=sum(attempt.outcome.name != "running" and not attempt.counts for attempt in attempts),
        attempts=over,
    )


def quartiles(
    values: Sequence[float | None], direction: Direction
) -> tuple[float | None, float | None, float | None] | None:
    """The quartiles from good to bad, linear between neighbours; ``None`` values are worse than any number.

    >>> quartiles([3.0, 1.0, 2.0, None, 4.0], "minimize")
    (2.0, 3.0, 4.0)
    >>> quartiles([0.5, None, None], "maximize")
    (None, None, None)
    """
    if not values:
        return None
    sign = 1.0 if direction == "minimize" else -1.0
    ordered = sorted(math.inf if value is None else sign * value for value in values)

    def at(share: float) -> float | None:
        place = share * (len(ordered) - 1)
        low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
        part = place - math.floor(place)
        return None if math.isinf(high) else sign * (low + part * (high - low))

    return at(0.25), at(0.5), at(0.75)


def importance(space: Space, attempts: Sequence[Attempt], direction: Direction) -> dict[str, float] | None:
    """How much each setting decides whether a trial is among the best, between 0 and 1, all together 1.

    PED-ANOVA (Watanabe et al., IJCAI 2023), for the best tenth of the trials or the best five. It depends on the order
    of the trials alone, so that diverged ones take part: they are the last.

    Returns:
        The settings in the order of the space; ``None`` if there are fewer than :data:`LEAST_FOR_IMPORTANCE` trials, or
        nothing tells the best from the others.
    """
    import warnings

    from optuna import create_study
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
    from optuna.trial import create_trial

    used = [attempt for attempt in attempts if attempt.outcome.name not in FAILED_OUTCOMES]
    sound = sum(attempt.outcome.value is not None for attempt in used)
    if len(used) < LEAST_FOR_IMPORTANCE or sound < 2:
        return None
    if len(space) == 1:
        return dict.fromkeys(space, 1.0)
    top = min(sound, max(_TOP_LEAST, math.ceil(_TOP_SHARE * len(used))))
    if top == len(used):
        return None
    made = distributions(space)
    study = create_study(direction="minimize")
    study.add_trials(
        [
            create_trial(value=rank, params=dict(attempt.point), distributions=made)
            for attempt, rank in zip(used, _ranks(used, direction), strict=True)
        ]
    )
    # Half a trial less, so that rounding cannot make it one more.
    with warnings.catch_warnings():
        # That it is experimental, and that nothing tells the best from the others, which the result says.
        warnings.simplefilter("ignore")
        evaluator = PedAnovaImportanceEvaluator(target_quantile=(top - 0.5) / len(used))
        found = get_param_importances(study, evaluator=evaluator, params=list(space), normalize=False)
    total = math.fsum(found.values())
    return {name: found[name] / total for name in space} if total > 0 else None


def _ranks(attempts: Sequence[Attempt], direction: Direction) -> list[float]:
    sign = 1.0 if direction == "minimize" else -1.0
    values = [math.inf if a.outcome.value is None else sign * a.outcome.value for a in attempts]
    order = {value: float(rank) for rank, value in enumerate(sorted(set(values)))}
    return [order[value] for value in values]


def _at_edge(space: Space, name: str, value: Any) -> bool:
    dimension = space[name]
    if not isinstance(dimension, Choice):
        ends = np.array([dimension.low, dimension.high, float(value)])
        low, high, at = np.log(ends) if dimension.log else ends
        return bool(min(at - low, high - at) < 0.05 * (high - low))
    numbers = [v for v in dimension.values if isinstance(v, (int, float)) and not isinstance(v, bool)]
    if isinstance(value, bool) or value not in numbers or len(numbers) < 3:
        return False
    # Where "none" is among the values, the largest number is not the end.
    beyond = None in dimension.values
    return value == min(numbers) or (value == max(numbers) and not beyond)
