"""Optimizer plugins whose curvature is a Kronecker approximation of each layer's Fisher block."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any, Literal

from torch import nn

from ngbench.curvature.bounds import Count, Interval, Positive, PositiveShare, Precision, Radius, Range, Share
from ngbench.curvature.curvatures.kronecker import KroneckerCurvature
from ngbench.curvature.inverses.damping import DampingKind
from ngbench.curvature.kronecker import approximations
from ngbench.curvature.kronecker.declaration import at_radius
from ngbench.curvature.kronecker.estimate import Approximation, Estimate
from ngbench.errors import ParameterError
from ngbench.optimizers.natural_gradient import NaturalGradient
from ngbench.optimizers.shared import natural_gradient
from ngbench.signatures import shares_parameters
from ngbench.task import Task

__all__ = ["deflation", "kfac", "kfac_corrected", "kpsvd", "lanczos", "with_approximation"]


@shares_parameters(natural_gradient)
def with_approximation(
    model: nn.Module,
    task: Task,
    approximation: Approximation,
    options: Mapping[str, Any] | None = None,
    *,
    damping: Positive = 1e-3,
    damping_kind: DampingKind = "factored",
    pi: bool = False,
    kl_clip: Positive | None = 1e-2,
    decay: Share = 0.95,
    curvature_interval: Interval = 100,
    inverse_interval: Interval = 100,
    **shared: Any,
) -> NaturalGradient:
    """Natural gradient with an approximation of each layer's Fisher block, and further ``options`` of its curvature.

    Args:
        damping: λ; divided by the number T of positions of a convolution, whichever the kind, as in the published runs.
        damping_kind: add √λ to each factor of the first product, or λ to the sum, where (4.54) has λ and not λ/T.
        pi: balance the factored damping of the two factors (3.1.2); the published runs did not.
        kl_clip: c of the KL clipping (3.E), or none.
        decay: γ of the running averages.
        inverse_interval: T₂, steps between inversions, or once.
    """
    if pi and damping_kind == "normal":
        raise ParameterError("pi=true is not allowed with damping_kind=normal, which has no factors to balance")
    curvature = partial(
        KroneckerCurvature,
        approximation=approximation,
        damping_kind=damping_kind,
        use_pi=pi,
        decay=decay,
        **(options or {}),
    )
    given: dict[str, Any] = {"damping": damping, "kl_clip": kl_clip, "curvature_interval": curvature_interval}
    return natural_gradient(model, task, curvature, inverse_interval, **given, **shared)


@shares_parameters(with_approximation)
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
    return with_approximation(model, task, at_radius(searched, positions), options, **shared)


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


@shares_parameters(with_approximation)
def kfac(model: nn.Module, task: Task, **shared: Any) -> NaturalGradient:
    """KFAC: the Fisher block of a layer as a Kronecker product of two second moments."""
    return with_approximation(model, task, approximations.kfac, **shared)


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
