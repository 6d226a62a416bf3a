"""That an optimizer lowers the loss of three small problems, at its default learning rate or one of a few others."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ngbench.errors import ParameterError
from ngbench.experiments.conformance.outcome import CheckFailed, Passed
from ngbench.experiments.conformance.specimens import autoencoding, classification, regression
from ngbench.experiments.conformance.trial import OptimizerSubject, Trial
from ngbench.running.problem import Problem

__all__ = ["GOALS", "Goal", "check_convergence", "learning_rates"]

FACTORS = (1.0, 10.0, 0.1, 100.0)
"""Of the default learning rate, in the order in which they are tried."""


@dataclass(frozen=True)
class Goal:
    """A training loss that must be reached.

    Attributes:
        problem: what is trained.
        loss: the mean over the last steps must be at most this.
        steps: how many there are.
    """

    problem: Callable[[], Problem]
    loss: float
    steps: int


GOALS = {
    "convergence-regression": Goal(regression, 0.7, 60),
    "convergence-classification": Goal(classification, 0.9, 60),
    "convergence-autoencoding": Goal(autoencoding, 0.55, 100),
}
LAST = 4
"""Steps of an epoch, over which the loss is averaged."""


def check_convergence(subject: OptimizerSubject, goal: Goal) -> Passed:
    """The loss falls to the goal."""
    tried: list[str] = []
    for rate, changes in learning_rates(subject):
        loss = _train(subject, goal, changes)
        shown = f" at lr={rate:g}" if rate is not None else ""
        if loss <= goal.loss:
            values = {"loss": loss, **({} if rate is None else {"lr": rate})}
            return Passed(f"loss {loss:.3g} after {goal.steps} steps{shown} (goal {goal.loss:g})", values)
        tried.append(f"{loss:.3g}{shown}")
    raise CheckFailed(
        f"the loss after {goal.steps} steps is {', '.join(tried)}, it must be at most {goal.loss:g}: look at the sign "
        "and the length of the step"
    )


def learning_rates(subject: OptimizerSubject) -> Iterator[tuple[float | None, dict[str, float]]]:
    """Learning rates that the plugin allows; a given one alone."""
    default = subject.hyperparameters.get("lr")
    if not isinstance(default, int | float) or isinstance(default, bool):
        yield None, {}
        return
    parameter = next((p for p in subject.plugin.parameters if p.name == "lr"), None)
    for factor in (1.0,) if "lr" in subject.given else FACTORS:
        rate = default * factor
        try:
            yield rate, {"lr": rate if parameter is None else parameter.convert(rate)}
        except ParameterError:
            continue


def _train(subject: OptimizerSubject, goal: Goal, changes: dict[str, float]) -> float:
    """The mean loss of the last steps; infinite if it diverged."""
    trial = Trial(subject, goal.problem(), changes=changes)
    losses: list[float] = []
    for _ in range(goal.steps):
        try:
            losses.append(trial.step())
        except ArithmeticError:
            return math.inf
        if not math.isfinite(losses[-1]):
            return math.inf
    return sum(losses[-LAST:]) / LAST
