"""The inverse of a damped sum of Kronecker products that has no closed form: by iteration."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ngbench.curvature.inverses.factored import BlockInverse
from ngbench.curvature.linalg.products import Terms, times

__all__ = ["IterativeInverse"]

_PRECISION = 1e-6
_MAX_ITERATIONS = 100


@dataclass
class IterativeInverse(BlockInverse):
    """The inverse of ``Σ_r A_r ⊗ G_r + shift · I`` by preconditioned conjugate gradients.

    A sum of three products, or of two and λI, has no common eigenbasis. The iteration stops at a residual of 1e-6 of
    the right-hand side, after 100 products, or where it meets a direction of negative curvature (the later products of
    a sum may be indefinite). It then keeps what it has, or the preconditioned right-hand side if it has nothing, as
    truncated Newton methods do (Steihaug 1983): either way a descent direction, since the preconditioner is positive
    definite.

    Attributes:
        total: the products, damping of factors included.
        shift: λ of normal damping, else 0.
        preconditioner: positive definite.
        iterations: of the last product.
        residual: that it left, relative to the right-hand side.
        negative_curvature: whether it met any.
    """

    total: Terms
    shift: float
    preconditioner: BlockInverse
    info: Tensor
    iterations: int = 0
    residual: float = 0.0
    negative_curvature: bool = False

    @property
    def iterates(self) -> bool:
        return True

    def times(self, matrix: Tensor) -> Tensor:
        solution, residual = torch.zeros_like(matrix), matrix.clone()
        size = float(torch.linalg.vector_norm(matrix, dtype=torch.float64))
        preconditioned = self.preconditioner.times(residual)
        direction, product = preconditioned, _dot(residual, preconditioned)
        self.iterations, self.residual, self.negative_curvature = 0, 1.0 if size else 0.0, False
        while self.residual > _PRECISION and self.iterations < _MAX_ITERATIONS:
            image = times(self.total, direction).add_(direction, alpha=self.shift)
            self.iterations += 1
            curvature = _dot(direction, image)
            if not curvature > 0:
                self.negative_curvature = True
                return solution if self.iterations > 1 else direction
            length = product / curvature
            solution.add_(direction, alpha=length)
            residual.sub_(image, alpha=length)
            self.residual = float(torch.linalg.vector_norm(residual, dtype=torch.float64)) / size
            preconditioned = self.preconditioner.times(residual)
            previous, product = product, _dot(residual, preconditioned)
            direction = preconditioned.add(direction, alpha=product / previous)
        return solution

    def diagnostics(self) -> dict[str, float]:
        return {
            "solve_iterations": float(self.iterations),
            "solve_residual": self.residual,
            "negative_curvature": float(self.negative_curvature),
        }


def _dot(x: Tensor, y: Tensor) -> float:
    return float(torch.sum(x * y, dtype=torch.float64))
