"""Optimizer plugins that invert the Fisher matrix of the batch without approximating it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

from torch import nn

from ngbench.curvature.bounds import Fraction, Interval, NonNegative, Positive, PositiveShare, Seed
from ngbench.curvature.curvatures.base import Curvature
from ngbench.curvature.curvatures.exact import BlockDiagonalCurvature, ExactCurvature
from ngbench.errors import ParameterError
from ngbench.optimizers.natural_gradient import NaturalGradient
from ngbench.signatures import shares_parameters
from ngbench.task import Task

__all__ = ["block_diagonal_ng", "exact_ng"]


def _natural_gradient(
    model: nn.Module,
    task: Task,
    curvature: Callable[..., Curvature],
    options: Mapping[str, Any] | None = None,
    *,
    lr: Positive = 1e-3,
    momentum: Fraction = 0.9,
    weight_decay: NonNegative = 0.0,
    damping: Positive = 1e-2,
    kl_clip: Positive | None = None,
    fisher: Literal["sampled", "empirical", "exact"] = "sampled",
    curvature_interval: Interval = 1,
    curvature_fraction: PositiveShare = 1.0,
    defer_gradients: bool = True,
    seed: Seed | None = None,
) -> NaturalGradient:
    """Natural gradient with the Fisher matrix of the batch.

    Args:
        lr: learning rate α.
        momentum: β of the moving sum of steps.
        weight_decay: η, added to the preconditioned gradient.
        damping: λ, added to the Fisher matrix as (4.50) has it; not divided by the positions of a convolution.
        kl_clip: c of the KL clipping (3.E), or none as in the published runs.
        fisher: targets sampled from the model, those of the data, or their expectation in closed form, whose system
            has as many times more unknowns as an example has outputs. Before batch norm in training mode derivatives
            are those of the sum of all losses, and what is called exact is exact for them.
        curvature_interval: steps between batches of which the Fisher matrix is taken, or once.
        curvature_fraction: the part of the batch that the curvature sees (a quarter in the published runs).
        defer_gradients: let a loop in which nobody looks at gradients between backward and step, such as that of train
            and compare, leave the weights' gradients unformed where the Fisher matrix is taken on the same batch; the
            step is the same and costs a third of a step of SGD less.
        seed: of the sampled targets; none takes one that follows from the run's.
    """
    optimizer = NaturalGradient(
        model,
        task.likelihood,
        partial(curvature, damping=damping, empirical=fisher == "empirical", **(options or {})),
        lr=lr,
        momentum=momentum,
        weight_decay=weight_decay,
        kl_clip=kl_clip,
        fisher=fisher,
        curvature_interval=curvature_interval,
        inverse_interval=curvature_interval,
        curvature_fraction=curvature_fraction,
        seed=seed,
    )
    optimizer.can_defer = defer_gradients
    return optimizer


@shares_parameters(_natural_gradient)
def exact_ng(model: nn.Module, task: Task, **shared: Any) -> NaturalGradient:
    """Exact natural gradient: the Fisher matrix of the whole network (before batch norm: see fisher)."""
    return _natural_gradient(model, task, ExactCurvature, **shared)


@shares_parameters(_natural_gradient)
def block_diagonal_ng(
    model: nn.Module,
    task: Task,
    *,
    damping_kind: Literal["normal", "factored"] = "normal",
    pi: bool = False,
    **shared: Any,
) -> NaturalGradient:
    """Block-diagonal natural gradient: the exact Fisher block of each layer (before batch norm: see fisher).

    Args:
        damping_kind: add λ to the block (4.52), or what KFAC's damping of its factors adds to their product, for which
            λ is divided by the number of positions of a convolution, as for KFAC.
        pi: with factored damping, balance that of the two factors (3.1.2).
    """
    if pi and damping_kind == "normal":
        raise ParameterError("pi=true is not allowed with damping_kind=normal, which has no factors to balance")
    options = {"damping_kind": damping_kind, "use_pi": pi}
    return _natural_gradient(model, task, BlockDiagonalCurvature, options, **shared)
