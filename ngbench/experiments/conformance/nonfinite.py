"""What an optimizer does with a gradient that is not a number."""

from __future__ import annotations

import math

import torch

from ngbench.experiments.conformance.outcome import CheckFailed, Passed
from ngbench.experiments.conformance.trial import OptimizerSubject, Trial, differ

__all__ = ["check_nan_gradient"]


def check_nan_gradient(subject: OptimizerSubject) -> Passed:
    """A NaN is refused, skipped with the whole step, or seen in the parameter; it is not hidden.

    A run whose loss is NaN ends as diverged. One whose parameters were moved by a gradient that does not exist goes on
    and reports numbers that mean nothing.
    """
    trial = Trial(subject)
    trial.run(2)
    trial.optimizer.zero_grad()
    trial.backward(2)
    # An optimizer may keep gradients of layers from being formed, but not those of batch norm.
    name, gradient = next((name, p.grad) for name, p in trial.model.named_parameters() if p.grad is not None)
    gradient.view(-1)[0] = math.nan
    one = _outcome(trial, name)
    fresh = Trial(subject)
    inputs, targets = fresh.batch(0)
    inputs.view(-1)[0] = math.nan
    fresh.optimizer.zero_grad()
    fresh.backward_on(inputs, targets)
    every = _outcome(fresh, next(name for name, _ in fresh.model.named_parameters()))
    return Passed(f"one in a gradient {one}; one in the data {every}")


def _outcome(trial: Trial, victim: str) -> str:
    before = trial.parameters()
    try:
        trial.apply()
    except (ArithmeticError, RuntimeError, ValueError) as error:
        if not _finite(trial):
            raise CheckFailed(
                f"it raised {type(error).__name__} for a NaN in a gradient after it had spoilt parameters: look first"
            ) from error
        return f"raises {type(error).__name__}"
    after = trial.parameters()
    if not torch.isfinite(after[victim]).all():
        return "shows in the parameter"
    if differ(before, after):
        raise CheckFailed(
            "it hides a NaN in a gradient: parameters moved and all look well; raise FloatingPointError, skip the "
            "whole step, or let the NaN through"
        )
    trial.run(2)
    if not _finite(trial):
        raise CheckFailed(
            "it skips the step of a gradient with NaN, but keeps the NaN in its state, and the next step destroys the "
            "parameters: look at the gradient before anything is averaged"
        )
    return "is skipped with the step"


def _finite(trial: Trial) -> bool:
    return all(bool(torch.isfinite(parameter).all()) for parameter in trial.model.parameters())
