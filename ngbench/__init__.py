"""What a natural-gradient optimizer is worth: Fisher errors, convergence, and the cost of every update.

Every name that a program or a plugin needs is here; what lies in the modules below may change. Importing this package
loads no torch; a name loads its module on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ngbench.adversarial_task import AdversarialTask, PlayerPair
    from ngbench.curvature.blocks.block import FisherBlock
    from ngbench.curvature.blocks.linear import LinearBlock
    from ngbench.curvature.curvatures.kronecker import KroneckerCurvature
    from ngbench.curvature.inverses.damping import Damping
    from ngbench.curvature.inverses.factored import BlockInverse
    from ngbench.curvature.kronecker.declaration import declares
    from ngbench.curvature.kronecker.estimate import ApproximateBlock, Estimate
    from ngbench.curvature.kronecker.sums import KroneckerSum
    from ngbench.curvature.likelihoods import Bernoulli, Categorical, Gaussian, Likelihood
    from ngbench.errors import NgbenchError, UsageError
    from ngbench.experiments.conformance import check_plugin
    from ngbench.experiments.runs import SilentObserver
    from ngbench.library import check, compare, fisher_error, gan, load, reproduce, train, tune
    from ngbench.library.own_tasks import task_of
    from ngbench.measurement.phases import PhaseContext, no_phase
    from ngbench.optimizers.natural_gradient import NaturalGradient
    from ngbench.plugins.parameters import Range
    from ngbench.plugins.registry import approximation
    from ngbench.report.result import ResultDocument
    from ngbench.running.request import AdversarialOptions, RunOptions
    from ngbench.task import Data, DataSource, Task

__version__ = "0.1.0"

_HOMES = {
    "AdversarialOptions": "ngbench.running.request",
    "AdversarialTask": "ngbench.adversarial_task",
    "ApproximateBlock": "ngbench.curvature.kronecker.estimate",
    "Bernoulli": "ngbench.curvature.likelihoods",
    "BlockInverse": "ngbench.curvature.inverses.factored",
    "Categorical": "ngbench.curvature.likelihoods",
    "Damping": "ngbench.curvature.inverses.damping",
    "Data": "ngbench.task",
    "DataSource": "ngbench.task",
    "Estimate": "ngbench.curvature.kronecker.estimate",
    "FisherBlock": "ngbench.curvature.blocks.block",
    "Gaussian": "ngbench.curvature.likelihoods",
    "KroneckerCurvature": "ngbench.curvature.curvatures.kronecker",
    "KroneckerSum": "ngbench.curvature.kronecker.sums",
    "Likelihood": "ngbench.curvature.likelihoods",
    "LinearBlock": "ngbench.curvature.blocks.linear",
    "NaturalGradient": "ngbench.optimizers.natural_gradient",
    "NgbenchError": "ngbench.errors",
    "PhaseContext": "ngbench.measurement.phases",
    "PlayerPair": "ngbench.adversarial_task",
    "Range": "ngbench.plugins.parameters",
    "ResultDocument": "ngbench.report.result",
    "RunOptions": "ngbench.running.request",
    "SilentObserver": "ngbench.experiments.runs",
    "Task": "ngbench.task",
    "UsageError": "ngbench.errors",
    "approximation": "ngbench.plugins.registry",
    "check": "ngbench.library",
    "check_plugin": "ngbench.experiments.conformance",
    "compare": "ngbench.library",
    "declares": "ngbench.curvature.kronecker.declaration",
    "fisher_error": "ngbench.library",
    "gan": "ngbench.library",
    "load": "ngbench.library",
    "no_phase": "ngbench.measurement.phases",
    "reproduce": "ngbench.library",
    "task_of": "ngbench.library.own_tasks",
    "train": "ngbench.library",
    "tune": "ngbench.library",
}

__all__ = [
    "AdversarialOptions",
    "AdversarialTask",
    "ApproximateBlock",
    "Bernoulli",
    "BlockInverse",
    "Categorical",
    "Damping",
    "Data",
    "DataSource",
    "Estimate",
    "FisherBlock",
    "Gaussian",
    "KroneckerCurvature",
    "KroneckerSum",
    "Likelihood",
    "LinearBlock",
    "NaturalGradient",
    "NgbenchError",
    "PhaseContext",
    "PlayerPair",
    "Range",
    "ResultDocument",
    "RunOptions",
    "SilentObserver",
    "Task",
    "UsageError",
    "approximation",
    "check",
    "check_plugin",
    "compare",
    "declares",
    "fisher_error",
    "gan",
    "load",
    "no_phase",
    "reproduce",
    "task_of",
    "train",
    "tune",
]


def __getattr__(name: str) -> Any:
    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module 'ngbench' has no attribute {name!r}") from None
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
