"""How far a method's step is from the exact natural-gradient step at the same parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from ngbench.curvature.blocks.block import FisherBlock
from ngbench.curvature.capture.jacobian import inner_product
from ngbench.curvature.curvatures.exact import ExactCurvature
from ngbench.curvature.layers import Layer

__all__ = ["compare_with_exact"]


@dataclass(frozen=True)
class StepComparison:
    """A step ζ beside a reference step ζ*.

    Attributes:
        angle: between ζ and ζ*, in radians, in [0, π]; NaN where one of them is zero.
        distance: ``‖ζ − ζ*‖ / ‖ζ*‖``.
    """

    angle: float
    distance: float


def compare_steps(step: Mapping[Layer, Tensor], reference: Mapping[Layer, Tensor]) -> StepComparison:
    """Compare two vectors of parameter space, over the layers of ``reference``."""
    aa = float(inner_product(reference, reference))
    ab = float(inner_product(reference, step))
    bb = float(inner_product({layer: step[layer] for layer in reference}, step))
    difference = {layer: step[layer] - matrix for layer, matrix in reference.items()}
    distance = math.sqrt(float(inner_product(difference, difference)) / aa) if aa else math.inf
    if not (aa and bb):
        return StepComparison(math.nan, distance)
    # A small angle is lost in its cosine: it is measured by the part of the step across the reference.
    across = {layer: step[layer].double() - (ab / aa) * matrix.double() for layer, matrix in reference.items()}
    return StepComparison(math.atan2(math.sqrt(float(inner_product(across, across)) * aa), ab), distance)


def compare_with_exact(
    blocks: Mapping[Layer, FisherBlock],
    gradients: Mapping[Layer, Tensor],
    step: Mapping[Layer, Tensor],
    damping: float,
) -> StepComparison:
    """Compare a step with ``(F + λI)⁻¹∇h``, F being that of the whole network on the batch of ``blocks``.

    What "exact" means before a batch normalisation in training mode is said in :mod:`ngbench.curvature.blocks.block`.

    Args:
        blocks: the Fisher blocks of a batch at the present parameters.
        gradients: ∇h, a matrix for every layer of ``blocks``.
        step: what the method makes of ``gradients``.
        damping: λ > 0 of the exact step.

    Raises:
        FloatingPointError: the curvature contains NaN or infinite values.
        ValueError: the exact step has too many unknowns.
    """
    curvature = ExactCurvature({layer: layer for layer in blocks}, damping=damping)
    curvature.accumulate(blocks)
    curvature.refresh()
    return compare_steps(step, curvature.precondition(gradients))
