"""The hyper-parameters of every natural gradient, declared once for the plugins that share them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import nn

from ngbench.curvature.bounds import Fraction, Interval, NonNegative, Positive, PositiveShare, Seed
from ngbench.curvature.curvatures.base import Curvature
from ngbench.optimizers.natural_gradient import NaturalGradient
from ngbench.task import Task

__all__ = ["natural_gradient"]


def natural_gradient(
    model: nn.Module,
    task: Task,
    curvature: Callable[..., Curvature],
    inverse_interval: Interval | None = None,
    *,
    lr: Positive = 0.01,
    momentum: Fraction = 0.9,
    weight_decay: NonNegative = 0.0,
    damping: Positive,
    kl_clip: Positive | None = None,
    fisher: Literal["sampled", "empirical", "exact"] = "sampled",
    curvature_interval: Interval = 1,
    curvature_fraction: PositiveShare = 1.0,
    seed: Seed | None = None,
) -> NaturalGradient:
    """Natural gradient with a curvature that is given its damping; it is inverted as often as estimated by default.

    Args:
        lr: learning rate α.
        momentum: β of the moving sum of steps.
        weight_decay: η, added to the preconditioned gradient.
        damping: λ.
        kl_clip: c of the KL clipping (3.E), or none as in the published runs.
        fisher: targets sampled from the model, those of the data, or their expectation in closed form. Before batch
            norm in training mode derivatives are those of the sum of all losses, not of one example's.
        curvature_interval: T₁, steps between estimates of the curvature, or once.
        curvature_fraction: the part of the batch that the curvature sees (a quarter in the published runs).
        seed: of the sampled targets; none takes one that follows from the run's.
    """
    return NaturalGradient(
        model,
        task.likelihood,
        lambda layers: curvature(layers, damping=damping),
        lr=lr,
        momentum=momentum,
        weight_decay=weight_decay,
        kl_clip=kl_clip,
        fisher=fisher,
        curvature_interval=curvature_interval,
        inverse_interval=curvature_interval if inverse_interval is None else inverse_interval,
        curvature_fraction=curvature_fraction,
        seed=seed,
    )
