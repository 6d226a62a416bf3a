"""Optimizer plugins whose curvature is a Kronecker approximation of each layer's Fisher block."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any, Literal

from torch import nn

from ngbench.curvature.bounds import (
    Count,
    Fraction,
    Interval,
    NonNegative,
    Positive,
    PositiveShare,
    Precision,
    Radius,
    Range,
    Seed,
    Share,
)
from ngbench.curvature.curvatures.kronecker import KroneckerCurvature
from ngbench.curvature.kronecker import approximations
from ngbench.curvature.kronecker.declaration import at_radius
from ngbench.curvature.kronecker.estimate import Approximation, Estimate
from ngbench.errors import ParameterError
from ngbench.optimizers.natural_gradient import NaturalGradient
from ngbench.signatures import shares_parameters
from ngbench.task import Task

__all__ = ["deflation", "kfac", "kfac_corrected", "kpsvd", "lanczos"]


def _natural_gradient(
    model: nn.Module,
    task: Task,
    approximation: Approximation,
    options: Mapping[str, Any] | None = None,
    *,
    lr: Positive = 0.01,
    momentum: Fraction = 0.9,
    weight_decay: NonNegative = 0.0,
    damping: Positive = 1e-3,
    damping_kind: Literal["factored", "normal"] = "factored",
    pi: bool = False,
    kl_clip: Positive | None = 1e-2,
    fisher: Literal["sampled", "empirical", "exact"] = "sampled",
    decay: Share = 0.95,
    curvature_interval: Interval = 100,
    inverse_interval: Interval = 100,
    curvature_fraction: PositiveShare = 1.0,
    seed: Seed | None = None,
) -> NaturalGradient:
    """Natural gradient with a Kronecker approximation, and further ``options`` of its curvature.

    Args:
        lr: learning rate α.
        momentum: β of the moving sum of steps.
        weight_decay: η, added to the preconditioned gradient.
        damping: λ; divided by the number T of positions of a convolution, whichever the kind, as in the published runs.
        damping_kind: add √λ to each factor of the first product, or λ to the sum, where (4.54) has λ and not λ/T.
        pi: balance the factored damping of the two factors (3.1.2); the published runs did not.
        kl_clip: c of the KL clipping (3.E), or none.
        fisher: targets sampled from the model, those of the data, or their expectation in closed form. Before batch
            norm in training mode derivatives are those of the sum of all losses, not of one example's.
        decay: γ of the running averages.
        curvature_interval: T₁, steps between estimates, or once.
        inverse_interval: T₂, steps between inversions, or once.
        curvature_fraction: the part of the batch that the curvature sees (a quarter in the published runs).
        seed: of the sampled targets; none takes one that follows from the run's.
    """
    if pi and damping_kind == "normal":
        raise ParameterError("pi=true is not allowed with damping_kind=normal, which has no factors to balance")
    return NaturalGradient(
        model,
        task.likelihood,
        partial(
            KroneckerCurvature,
            approximation=approximation,
            damping=damping,
            damping_kind=damping_kind,
            use_pi=pi,
            decay=decay,
            **(options or {}),
        ),
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


@shares_parameters(_natural_gradient)
def _iterated(
    model: nn.Module,
    task: Task,
    approximation: Callable[..., Estimate],
    options: Mapping[str, Any] | None = None,
    *,
    positions: Radius = "all",
    precision: Precision = approximations.PRECISION,
    max_iterations: Count = approximations.MAX_ITERATIONS,
    **shared: Any,
) -> NaturalGradient:
    """Natural gradient with an approximation that is found by iteration.

    Args:
        positions: pairs of positions of a convolution that count: all, or those at most so far apart on its grid, or
            filter, the width of the layer's own filter (3.4.3).
        precision: an iteration stops at a residual of this share of the largest singular value.
        max_iterations: it stops after so many products with the rearranged block and its transpose.
    """
    searched = partial(approximation, precision=precision, max_iterations=max_iterations)
    return _natural_gradient(model, task, at_radius(searched, positions), options, **shared)


@shares_parameters(_iterated)
def _summed(
    model: nn.Module,
    task: Task,
    approximation: Callable[..., Estimate],
    rank: int,
    *,
    second_term: Literal["clamp", "absolute"] = "clamp",
    floor: PositiveShare = 0.1,
    **shared: Any,
) -> NaturalGradient:
    """Natural gradient with a sum of Kronecker products.

    Args:
        second_term: where the second product cancels the first one: clamp the sum, or take absolute values (as in the
            published runs; two products and factored damping alone).
        floor: of the clamp: no direction moves more than 1/floor times as far as with the first product alone.
    """
    if second_term == "absolute" and (rank > 2 or shared.get("damping_kind") == "normal"):
        given = f"rank={rank}" if rank > 2 else "damping_kind=normal"
        raise ParameterError(f"second_term=absolute is not allowed with {given}: only clamp is")
    return _iterated(model, task, approximation, {"second_term": second_term, "floor": floor}, **shared)


@shares_parameters(_natural_gradient)
def kfac(model: nn.Module, task: Task, **shared: Any) -> NaturalGradient:
    """KFAC: the Fisher block of a layer as a Kronecker product of two second moments."""
    return _natural_gradient(model, task, approximations.kfac, **shared)


@shares_parameters(_iterated)
def kpsvd(model: nn.Module, task: Task, **shared: Any) -> NaturalGradient:
    """KPSVD: the Kronecker product that is nearest to the Fisher block of a layer."""
    return _iterated(model, task, approximations.kpsvd, **shared)


@shares_parameters(_summed)
def deflation(
    model: nn.Module, task: Task, *, rank: Annotated[int, Range(minimum=2)] = 2, **shared: Any
) -> NaturalGradient:
    """Deflation: the nearest sum of Kronecker products, one after another by the power method.

    Args:
        rank: how many products.
    """
    return _summed(model, task, partial(approximations.deflation, rank=rank), rank, **shared)


@shares_parameters(_summed)
def lanczos(
    model: nn.Module,
    task: Task,
    *,
    rank: Annotated[int, Range(minimum=2)] = 2,
    krylov_dimension: Annotated[int, Range(minimum=3)] = 10,
    **shared: Any,
) -> NaturalGradient:
    """Lanczos: the nearest sum of Kronecker products, all at once by Lanczos bidiagonalisation.

    Args:
        rank: how many products.
        krylov_dimension: K, after which the bidiagonalisation restarts; larger than the rank.
    """
    if krylov_dimension <= rank:
        raise ParameterError(
            f"krylov_dimension={krylov_dimension} is not allowed with rank={rank}: an integer >= {rank + 1}"
        )
    approximation = partial(approximations.lanczos, rank=rank, dimension=krylov_dimension)
    return _summed(model, task, approximation, rank, **shared)


@shares_parameters(_summed)
def kfac_corrected(model: nn.Module, task: Task, **shared: Any) -> NaturalGradient:
    """KFAC-corrected: KFAC's product and the one that is nearest to what it leaves of the Fisher block."""
    return _summed(model, task, approximations.kfac_corrected, 2, **shared)
