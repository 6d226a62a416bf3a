"""Optimizer plugins that invert the Fisher matrix of the batch without approximating it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from torch import nn

from ngbench.curvature.bounds import Interval, Positive
from ngbench.curvature.curvatures.base import Curvature
from ngbench.curvature.curvatures.exact import BlockDiagonalCurvature, ExactCurvature
from ngbench.errors import ParameterError
from ngbench.optimizers.natural_gradient import NaturalGradient
from ngbench.optimizers.shared import natural_gradient
from ngbench.signatures import shares_parameters
from ngbench.task import Task

__all__ = ["block_diagonal_ng", "exact_ng"]


@shares_parameters(natural_gradient)
def _exact(
    model: nn.Module,
    task: Task,
    curvature: Callable[..., Curvature],
    *,
    lr: Positive = 1e-3,
    damping: Positive = 1e-2,
    fisher: Literal["sampled", "empirical", "exact"] = "sampled",
    curvature_interval: Interval = 1,
    defer_gradients: bool = True,
    **shared: Any,
) -> NaturalGradient:
    """Natural gradient with the Fisher matrix of the batch.

    Args:
        damping: λ, added to the Fisher matrix as (4.50) has it; not divided by the positions of a convolution.
        fisher: targets sampled from the model, those of the data, or their expectation in closed form, whose system
            has as many times more unknowns as an example has outputs. Before batch norm in training mode derivatives
            are those of the sum of all losses, and what is called exact is exact for them.
        curvature_interval: steps between batches of which the Fisher matrix is taken, or once.
        defer_gradients: let a loop in which nobody looks at gradients between backward and step, such as that of train
            and compare, leave the weights' gradients unformed where the Fisher matrix is taken on the same batch; the
            step is the same and costs a third of a step of SGD less.
    """
    made = partial(curvature, empirical=fisher == "empirical")
    given: dict[str, Any] = {"lr": lr, "damping": damping, "fisher": fisher, "curvature_interval": curvature_interval}
    optimizer = natural_gradient(model, task, made, **given, **shared)
    optimizer.can_defer = defer_gradients
    return optimizer


@shares_parameters(_exact)
def exact_ng(model: nn.Module, task: Task, **shared: Any) -> NaturalGradient:
    """Exact natural gradient: the Fisher matrix of the whole network (before batch norm: see fisher)."""
    return _exact(model, task, ExactCurvature, **shared)


@shares_parameters(_exact)
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
    curvature = partial(BlockDiagonalCurvature, damping_kind=damping_kind, use_pi=pi)
    return _exact(model, task, curvature, **shared)
