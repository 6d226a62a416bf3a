"""A task of what a program has already."""

from __future__ import annotations

import copy
from collections.abc import Callable

from torch import nn

from ngbench.curvature.likelihoods import Likelihood
from ngbench.task import Data, Task

__all__ = ["task_of"]


def task_of(
    model: nn.Module | Callable[[], nn.Module],
    data: Data,
    likelihood: Likelihood,
    *,
    batch_size: int,
    epochs: int = 1,
) -> Task:
    """A task of a model and data that are there already.

    Args:
        model: every run starts with a copy of it; or a function that makes one, whose weights then follow the seed.
        data: as :meth:`ngbench.Data.from_tensors` makes them.
        likelihood: whose negative logarithm is the loss: ``Categorical()``, ``Bernoulli()`` or ``Gaussian()``.
        batch_size: examples in a step.
        epochs: where no other budget is asked for.
    """
    build = (lambda: copy.deepcopy(model)) if isinstance(model, nn.Module) else model
    return Task(model=build, data=lambda directory: data, likelihood=likelihood, batch_size=batch_size, epochs=epochs)
