"""Inverses of ``λI + (1/m) J Jᵀ``, which is exact on its batch.

Through the Gram matrix the system has one unknown a column of J (4.50); with fewer parameters than columns the matrix
itself is the smaller one. Either way it is factorised once and then solved by two triangular solves.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ngbench.curvature.capture.deferred import DeferredGradient, split_apart
from ngbench.curvature.capture.jacobian import Jacobian, Matrices
from ngbench.curvature.inverses.damping import Damping
from ngbench.curvature.layers import Layer
from ngbench.curvature.linalg.cholesky import cholesky

__all__ = ["DampedInverse", "DenseInverse", "GramInverse", "SystemFactor", "dense_fisher", "factorise"]


class SystemFactor:
    """The Cholesky factor of ``matrix + shift · I``, where ``matrix`` is positive semi-definite but for rounding.

    Attributes:
        lower: the factor.
        clamped: how many eigenvalues of ``matrix`` were set to zero because rounding had left the sum indefinite.
    """

    def __init__(self, lower: Tensor, clamped: int = 0) -> None:
        self.lower = lower
        self.clamped = clamped

    def solve(self, right: Tensor) -> Tensor:
        """``(matrix + shift · I)⁻¹ right`` for one vector."""
        solution = torch.cholesky_solve(right.to(self.lower.dtype).unsqueeze(1), self.lower).squeeze(1)
        return solution.to(right.dtype)


def factorise(matrix: Tensor, shift: float, what: str) -> SystemFactor:
    """Factorise ``matrix + shift · I``; ``matrix`` is overwritten.

    Where rounding has made the sum indefinite, the eigenvalues of ``matrix`` that cannot be told from zero in its
    precision are set to zero, in float64.

    Raises:
        FloatingPointError: ``matrix`` contains NaN or infinite values; the message calls it ``what``.
    """
    matrix.diagonal().add_(shift)
    lower, info = cholesky(matrix)
    if not info:
        return SystemFactor(lower)
    if not torch.isfinite(matrix).all():
        raise FloatingPointError(f"{what} contains NaN or infinite values")
    values, vectors = torch.linalg.eigh(matrix.double())
    values = values - shift
    zero = values <= values[-1] * len(values) * torch.finfo(matrix.dtype).eps
    values = torch.where(zero, torch.zeros_like(values), values) + shift
    # V Λ Vᵀ = RᵀR for the R of QR = (V Λ^½)ᵀ: a Cholesky factor that cannot fail.
    upper = torch.linalg.qr((vectors * values.sqrt()).T).R
    return SystemFactor(upper.T.contiguous(), int(zero.sum()))


class DampedInverse(ABC):
    """The inverse of a damped Fisher matrix for the rows of J in :attr:`jacobian`.

    Attributes:
        jacobian: J.
        factor: of the system that is solved.
    """

    def __init__(self, jacobian: Jacobian, damping: Damping, factor: SystemFactor) -> None:
        self.jacobian = jacobian
        self.damping = damping
        self.factor = factor

    @classmethod
    @abstractmethod
    def build(cls, jacobian: Jacobian, damping: Damping, what: str) -> DampedInverse:
        """Factorise the damped matrix.

        Raises:
            FloatingPointError: the curvature, called ``what``, contains NaN or infinite values.
        """

    @abstractmethod
    def times(self, matrices: Mapping[Layer, Tensor]) -> Matrices:
        """The product with a vector that has a matrix for every layer of J."""

    def times_deferred(self, gradients: Mapping[Layer, DeferredGradient]) -> dict[Layer, list[Tensor]]:
        """The product with gradients of layers of J that are not formed; layers left out count as zero.

        Returns:
            For each layer of ``gradients``, tensors as :meth:`~ngbench.curvature.layers.layer.Layer.split` has them.
        """
        solution = self.times(self.jacobian.fill({layer: gradient.form() for layer, gradient in gradients.items()}))
        return {layer: layer.split(solution[layer]) for layer in gradients}

    def state_dict(self) -> dict[str, Any]:
        """What cannot be read off the batch."""
        return {"lower": self.factor.lower, "clamped": self.factor.clamped}

    @classmethod
    def from_state(cls, jacobian: Jacobian, damping: Damping, state: Mapping[str, Any]) -> DampedInverse:
        """The inverse of :meth:`state_dict`."""
        return cls(jacobian, damping, SystemFactor(state["lower"].to(jacobian.device, copy=True), state["clamped"]))


class GramInverse(DampedInverse):
    """``(λI + (1/m) J Jᵀ)⁻¹ u = (u − J (λm I + JᵀJ)⁻¹ Jᵀu) / λ`` (4.50).

    The subtraction cancels where u lies in the range of J and λ is small beside the curvature there: in a direction
    of curvature σ it loses the factor ``1 + σ/λ`` of precision. So a u that is known to be ``J v`` takes the form
    ``m J (λm I + JᵀJ)⁻¹ v``, which subtracts nothing (:meth:`times_mean_column`). What lies outside the range of J,
    as most of a gradient does under sampled targets, comes through the subtraction unharmed.
    """

    @classmethod
    def build(cls, jacobian: Jacobian, damping: Damping, what: str) -> GramInverse:
        return cls(jacobian, damping, factorise(jacobian.gram(), damping.value * jacobian.examples, what))

    def times(self, matrices: Mapping[Layer, Tensor]) -> Matrices:
        weights = self.factor.solve(self.jacobian.transpose_times(matrices)).div_(-self.damping.value)
        solution = self.jacobian.weighted_sum(weights)
        for layer, matrix in matrices.items():
            solution[layer].add_(matrix, alpha=1 / self.damping.value)
        return solution

    def times_mean_column(self, factor: float) -> Matrices:
        """The product with ``factor`` times the mean column of J."""
        return self.jacobian.weighted_sum(self._mean_column_weights(factor))

    def _mean_column_weights(self, factor: float) -> Tensor:
        jacobian = self.jacobian
        weights = torch.full((jacobian.columns,), factor, dtype=jacobian.dtype, device=jacobian.device)
        return self.factor.solve(weights).mul_(jacobian.examples / jacobian.columns)

    def times_deferred(self, gradients: Mapping[Layer, DeferredGradient]) -> dict[Layer, list[Tensor]]:
        jacobian = self.jacobian
        if not jacobian.is_of_the_layers_types:
            return super().times_deferred(gradients)
        blocks = jacobian.blocks
        scales = {gradient.scale for gradient in gradients.values()}
        if len(scales) == 1 and all(layer in gradients and gradients[layer].block is blocks[layer] for layer in blocks):
            weights = self._mean_column_weights(scales.pop() * jacobian.columns)
            return {layer: split_apart(layer, block.weighted_sum_apart(weights)) for layer, block in blocks.items()}
        factor = 1 / self.damping.value
        weights = self.factor.solve(jacobian.products_with_totals(gradients)).neg_()
        scaled = {scale: weights / scale for scale in scales}
        return {
            layer: split_apart(
                layer,
                blocks[layer].weighted_total(scaled[gradient.scale], gradient.block, gradient.scale * factor),
            )
            for layer, gradient in gradients.items()
        }


class DenseInverse(DampedInverse):
    """The same for J with fewer rows than columns, through the matrix itself."""

    @classmethod
    def build(cls, jacobian: Jacobian, damping: Damping, what: str) -> DenseInverse:
        return cls(jacobian, damping, factorise(dense_fisher(jacobian), damping.value, what))

    def times(self, matrices: Mapping[Layer, Tensor]) -> Matrices:
        ordered = [matrices[layer] for layer in self.jacobian.blocks]
        solution = self.factor.solve(torch.cat([matrix.flatten() for matrix in ordered]))
        parts = torch.split(solution, [matrix.numel() for matrix in ordered])
        return {
            layer: part.view_as(matrix)
            for layer, part, matrix in zip(self.jacobian.blocks, parts, ordered, strict=True)
        }


def dense_fisher(jacobian: Jacobian) -> Tensor:
    """``(1/m) J Jᵀ``, each layer's matrix flattened row by row."""
    total = torch.zeros(jacobian.parameters, jacobian.parameters, dtype=jacobian.dtype, device=jacobian.device)
    for rows in jacobian.rows():
        total.addmm_(rows.T, rows)
    return total.div_(jacobian.examples)
