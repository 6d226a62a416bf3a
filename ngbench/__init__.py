"""What a natural-gradient optimizer is worth: Fisher errors, convergence, and the cost of every update.

The names below are what a plugin author needs. Importing this package loads no torch; a name loads it on
first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ngbench.adversarial_task import AdversarialTask, PlayerPair
    from ngbench.curvature.likelihoods import Bernoulli, Categorical, Gaussian, Likelihood
    from ngbench.errors import NgbenchError, UsageError
    from ngbench.optimizers.natural_gradient import NaturalGradient
    from ngbench.plugins.parameters import Range
    from ngbench.task import Data, DataSource, Task

__version__ = "0.1.0"

_HOMES = {
    "AdversarialTask": "ngbench.adversarial_task",
    "Bernoulli": "ngbench.curvature.likelihoods",
    "Categorical": "ngbench.curvature.likelihoods",
    "Data": "ngbench.task",
    "DataSource": "ngbench.task",
    "Gaussian": "ngbench.curvature.likelihoods",
    "Likelihood": "ngbench.curvature.likelihoods",
    "NaturalGradient": "ngbench.optimizers.natural_gradient",
    "NgbenchError": "ngbench.errors",
    "PlayerPair": "ngbench.adversarial_task",
    "Range": "ngbench.plugins.parameters",
    "Task": "ngbench.task",
    "UsageError": "ngbench.errors",
}

__all__ = [
    "AdversarialTask",
    "Bernoulli",
    "Categorical",
    "Data",
    "DataSource",
    "Gaussian",
    "Likelihood",
    "NaturalGradient",
    "NgbenchError",
    "PlayerPair",
    "Range",
    "Task",
    "UsageError",
]


def __getattr__(name: str) -> Any:
    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module 'ngbench' has no attribute {name!r}") from None
    return getattr(importlib.import_module(home), name)
