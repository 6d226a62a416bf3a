"""Optimizer plugins whose curvature is a Kronecker approximation of each layer's Fisher block."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

from torch import nn

from ngbench.curvature.approximations import kfac as kfac_approximation
from ngbench.curvature.curvatures import KroneckerCurvature
from ngbench.optimizers.natural_gradient import NaturalGradient
from ngbench.parameters import Range
from ngbench.task import Task

__all__ = ["kfac"]


def kfac(
    model: nn.Module,
    task: Task,
    *,
    lr: Annotated[float, Range(above=0)] = 0.01,
    momentum: Annotated[float, Range(minimum=0, below=1)] = 0.9,
    weight_decay: Annotated[float, Range(minimum=0)] = 0.0,
    damping: Annotated[float, Range(above=0)] = 1e-3,
    pi: bool = False,
    kl_clip: Annotated[float, Range(above=0)] | None = 1e-2,
    fisher: Literal["sampled", "empirical", "exact"] = "sampled",
    decay: Annotated[float, Range(minimum=0, maximum=1)] = 0.95,
    curvature_interval: Annotated[int, Range(minimum=1)] | Literal["once"] = 100,
    inverse_interval: Annotated[int, Range(minimum=1)] | Literal["once"] = 100,
    curvature_fraction: Annotated[float, Range(above=0, maximum=1)] = 1.0,
    seed: Annotated[int, Range(minimum=0)] = 0,
) -> NaturalGradient:
    """KFAC: the Fisher block of a layer as a Kronecker product of two second moments.

    Args:
        lr: learning rate α.
        momentum: β of the moving sum of steps.
        weight_decay: η, added to the preconditioned gradient.
        damping: λ; √λ is added to each factor.
        pi: balance the damping of the two factors (3.1.2); the published runs did not.
        kl_clip: c of the KL clipping (3.E), or none.
        fisher: targets sampled from the model, those of the data, or their expectation in closed form.
        decay: γ of the running averages.
        curvature_interval: T₁, steps between estimates, or once.
        inverse_interval: T₂, steps between inversions, or once.
        curvature_fraction: the part of the batch that the curvature sees (a quarter in the published runs).
        seed: of the sampled targets.
    """
    return NaturalGradient(
        model,
        task.likelihood,
        partial(KroneckerCurvature, approximation=kfac_approximation, damping=damping, use_pi=pi, decay=decay),
        lr=lr,
        momentum=momentum,
        weight_decay=weight_decay,
        kl_clip=kl_clip,
        fisher=fisher,
        curvature_interval=curvature_interval,
        inverse_interval=inverse_interval,
        curvature_fraction=curvature_fraction,
        seed=seed,
    )
