"""The optimizer plugin of the two-level corrections, on top of any Kronecker approximation."""

from __future__ import annotations

import math
from typing import Any, Literal

from torch import nn

from ngbench.curvature.bounds import Count, Fraction, Positive
from ngbench.curvature.curvatures.additive import AdditiveTwoLevelCurvature
from ngbench.curvature.curvatures.coarse import FIXED_SPACES
from ngbench.curvature.curvatures.kronecker import KroneckerCurvature
from ngbench.curvature.curvatures.two_level import TwoLevelCurvature
from ngbench.curvature.kronecker.estimate import Approximation
from ngbench.errors import ParameterError, PluginError, UnknownNameError
from ngbench.optimizers.kronecker import with_approximation
from ngbench.optimizers.natural_gradient import NaturalGradient
from ngbench.plugins import registry
from ngbench.signatures import shares_parameters
from ngbench.task import Task

__all__ = ["two_level"]


@shares_parameters(with_approximation)
def two_level(
    model: nn.Module,
    task: Task,
    *,
    coarse_space: Literal[
        "nicolaides",
        "spectral",
        "residual",
        "krylov-nicolaides",
        "krylov-residual",
        "taylor",
        "previous",
    ] = "nicolaides",
    order: Count | None = None,
    approximation: str = "kfac",
    coarse_damping: Positive | None = None,
    coarse_decay: Fraction = 0.0,
    **shared: Any,
) -> NaturalGradient:
    """Two-level KFAC: a Kronecker curvature, corrected between layers on a small coarse space.

    Args:
        coarse_space: the vectors of each layer that the correction combines (4.2.3); previous is the additive
            correction of Tselepidis et al.
        order: columns of the taylor space, 2 if none is given; of no other space.
        approximation: of the curvature that is corrected, by name or FILE.py:FUNCTION, with its own defaults.
        coarse_damping: λ of F + λI in the correction; none takes that of the damping. It is never divided by the
            positions of a convolution, as the damping of the curvature is: the correction makes up for that too.
        coarse_decay: γ of the running average of the coarse operator; 0 takes it from the last batch, whose
            correction is optimal there. Spaces that follow the gradient have none, and previous takes decay.
    """
    optimizer = with_approximation(model, task, _fine_level(approximation), **shared)
    layers, fine = {layer: layer for layer in optimizer.covered_layers}, optimizer.curvature
    assert isinstance(fine, KroneckerCurvature)
    if order is not None and coarse_space != "taylor":
        raise ParameterError(f"order={order} is not allowed with coarse_space={coarse_space}: only with taylor")
    if coarse_decay and coarse_space not in FIXED_SPACES:
        allowed = ", ".join(FIXED_SPACES)
        raise ParameterError(
            f"coarse_decay={coarse_decay:g} is not allowed with coarse_space={coarse_space}: only with {allowed}"
        )
    if coarse_space == "previous":
        optimizer.curvature = AdditiveTwoLevelCurvature(layers, fine, damping=coarse_damping)
    else:
        interval = optimizer.inverse_interval
        optimizer.curvature = TwoLevelCurvature(
            layers,
            fine,
            coarse_space=coarse_space,
            damping=coarse_damping,
            order=order or 2,
            decay=coarse_decay,
            lifetime=math.inf if interval == "once" else interval,
        )
    return optimizer


def _fine_level(name: str) -> Approximation:
    try:
        return registry.approximation(str(name), {})
    except (UnknownNameError, PluginError) as error:
        known = ", ".join(row.name for row in registry.rows(registry.APPROXIMATIONS))
        message = f"approximation={name!r} is not allowed, it must be FILE.py:FUNCTION or one of {known}"
        raise ValueError(f"{message}: {error}") from error
