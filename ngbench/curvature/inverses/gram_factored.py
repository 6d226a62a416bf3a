"""One layer's exact Fisher block under the damping that KFAC puts on its factors.

KFAC's damping (4.53) adds to ``A ⊗ G`` the terms ``M = π√λ I ⊗ G + π⁻¹√λ A ⊗ I + λI``. Here they are added to the
exact block: ``(M + (1/m) J Jᵀ)⁻¹ = M⁻¹ − M⁻¹J (m I + JᵀM⁻¹J)⁻¹ JᵀM⁻¹``. ``M`` is diagonal in the eigenbases of A
and G, with eigenvalues ``π√λ γ_j + π⁻¹√λ α_k + λ``; their inverses Ω are not a product of a function of j and one of k,
but a cross approximation of low rank is exact to rounding, and turns ``JᵀM⁻¹J`` into a short sum of Gram matrices.

As for KFAC, λ is divided by the number of positions of a layer that has several.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ngbench.curvature.blocks.block import FisherBlock
from ngbench.curvature.blocks.linear import LinearBlock
from ngbench.curvature.capture.jacobian import Jacobian, Matrices
from ngbench.curvature.inverses.damping import Damping, factor_shifts
from ngbench.curvature.inverses.gram import DampedInverse, DenseInverse, SystemFactor, dense_fisher, factorise
from ngbench.curvature.layers import Layer
from ngbench.curvature.linalg.eigen import symmetric_eigen

__all__ = ["FactoredDenseInverse", "FactoredGramInverse"]

# Per-example gradients of so many numbers (64 MiB in float32) at a time are formed in the eigenbases.
_SLICE_NUMBERS = 2**24


def _shifts(block: FisherBlock, damping: Damping, what: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """``A``, ``G`` and what the damping adds to the eigenvalues of A and of G, ``π√λ`` and ``π⁻¹√λ``."""
    a, g = block.kfac_factors()
    if not (torch.isfinite(a).all() and torch.isfinite(g).all()):
        raise FloatingPointError(f"{what} contains NaN or infinite values")
    return a, g, *factor_shifts(a, g, damping.value / block.positions, use_pi=damping.use_pi)


class FactoredGramInverse(DampedInverse):
    """``(M + (1/m) J Jᵀ)⁻¹`` of one layer, through a system with one unknown a column of J.

    Args:
        basis: the eigenvectors of A and of G, and Ω ``(d_out, d_in)``.
    """

    def __init__(
        self, jacobian: Jacobian, damping: Damping, factor: SystemFactor, basis: tuple[Tensor, Tensor, Tensor]
    ) -> None:
        super().__init__(jacobian, damping, factor)
        self.basis = basis

    @classmethod
    def build(cls, jacobian: Jacobian, damping: Damping, what: str) -> FactoredGramInverse:
        (block,) = jacobian.blocks.values()
        a, g, shift_a, shift_g = _shifts(block, damping, what)
        alpha, u_a = symmetric_eigen(a)
        gamma, u_g = symmetric_eigen(g)
        omega = 1 / (shift_a * gamma.clamp(min=0).unsqueeze(1) + shift_g * alpha.clamp(min=0) + shift_a * shift_g)
        gram = _weighted_gram(block, u_a, u_g, omega)
        return cls(jacobian, damping, factorise(gram, jacobian.examples, what), (u_a, u_g, omega))

    def _undamped(self, matrix: Tensor) -> Tensor:
        """``M⁻¹ vec(matrix)``."""
        u_a, u_g, omega = self.basis
        return u_g @ ((u_g.T @ matrix @ u_a) * omega) @ u_a.T

    def times(self, matrices: Mapping[Layer, Tensor]) -> Matrices:
        ((layer, block),) = self.jacobian.blocks.items()
        weights = self.factor.solve(block.transpose_times(self._undamped(matrices[layer])))
        return {layer: self._undamped(matrices[layer] - block.weighted_sum(weights))}

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "basis": list(self.basis)}

    @classmethod
    def from_state(cls, jacobian: Jacobian, damping: Damping, state: Mapping[str, Any]) -> FactoredGramInverse:
        lower, u_a, u_g, omega = (tensor.to(jacobian.device, copy=True) for tensor in (state["lower"], *state["basis"]))
        return cls(jacobian, damping, SystemFactor(lower, state["clamped"]), (u_a, u_g, omega))


class FactoredDenseInverse(DenseInverse):
    """The same for a layer with fewer parameters than columns of J, through the matrix itself."""

    @classmethod
    def build(cls, jacobian: Jacobian, damping: Damping, what: str) -> FactoredDenseInverse:
        (block,) = jacobian.blocks.values()
        a, g, shift_a, shift_g = _shifts(block, damping, what)
        matrix = dense_fisher(jacobian)
        # Row by row, vec(G B Aᵀ) is (G ⊗ A) vec(B): the Kronecker products are the other way round.
        matrix += torch.kron(shift_a * g, torch.eye(len(a), dtype=a.dtype, device=a.device))
        matrix += torch.kron(torch.eye(len(g), dtype=g.dtype, device=g.device), shift_g * a)
        return cls(jacobian, damping, factorise(matrix, damping.value / block.positions, what))


def cross_approximation(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """``Σ_r columns_r rows_rᵀ`` equal to ``matrix`` to rounding, with as few terms as full pivoting finds.

    Returns:
        Shapes ``(r, d_out)`` and ``(r, d_in)`` for a matrix ``(d_out, d_in)``.
    """
    residual = matrix.double()
    floor = residual.abs().max() * torch.finfo(matrix.dtype).eps
    columns, rows = [], []
    for _ in range(min(matrix.shape)):
        row, column = divmod(int(residual.abs().argmax()), matrix.shape[1])
        if residual[row, column].abs() <= floor:
            break
        columns.append(residual[:, column] / residual[row, column])
        rows.append(residual[row].clone())
        residual = torch.addr(residual, columns[-1], rows[-1], alpha=-1)
    return torch.stack(columns).to(matrix.dtype), torch.stack(rows).to(matrix.dtype)


def _weighted_gram(block: FisherBlock, u_a: Tensor, u_g: Tensor, omega: Tensor) -> Tensor:
    """``JᵀM⁻¹J``, where ``M⁻¹ vec(B) = vec(U_G (Ω ∘ U_Gᵀ B U_A) U_Aᵀ)``: shape ``(c · m, c · m)``."""
    if not isinstance(block, LinearBlock):
        return _weighted_gram_of_gradients(block, u_a, u_g, omega.sqrt())
    inputs, derivatives = block.homogeneous @ u_a, block.derivatives @ u_g
    columns, rows = cross_approximation(omega)
    gram = inputs.new_zeros(len(inputs), len(inputs))
    if len(columns) * (block.d_in + block.d_out) < block.d_in * block.d_out:
        for column, row in zip(columns, rows, strict=True):
            gram.addcmul_((inputs * row) @ inputs.T, (derivatives * column) @ derivatives.T)
        return gram
    size = max(1, _SLICE_NUMBERS // inputs.numel())
    for g, weights in zip(torch.split(derivatives, size, 1), torch.split(omega.sqrt(), size), strict=True):
        products = (g.unsqueeze(2) * weights * inputs.unsqueeze(1)).flatten(1)
        gram.addmm_(products, products.T)
    return gram


def _weighted_gram_of_gradients(block: FisherBlock, u_a: Tensor, u_g: Tensor, weights: Tensor) -> Tensor:
    """The same through per-example gradients, of which two pieces at a time are held."""
    columns = block.columns * block.examples
    gram = weights.new_zeros(columns, columns)

    def transformed(chunk: Tensor) -> Tensor:
        return ((u_g.T @ chunk @ u_a) * weights).flatten(1)

    row = 0
    for i, upper in enumerate(block.gradient_chunks()):
        left = transformed(upper)
        column = 0
        for j, other in enumerate(block.gradient_chunks()):
            if j >= i:
                product = left @ (left if j == i else transformed(other)).T
                gram[row : row + len(upper), column : column + len(other)] = product
                gram[column : column + len(other), row : row + len(upper)] = product.T
            column += len(other)
        row += len(upper)
    return gram
