"""Coarse spaces of the two-level corrections (4.2.3): the columns of ``R₀ᵀ``, a few for each layer (4.23).

A coarse space is a function from a :class:`CoarseContext` to its columns: the first column of every layer, the second
of every layer, and so on. Those of :data:`FIXED_SPACES` depend on the curvature alone and hold until its next refresh;
those of :data:`RESIDUAL_SPACES` depend on the residual, hence on the gradient, and are new at every step.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ngbench.curvature.blocks.block import FisherBlock
from ngbench.curvature.capture.jacobian import Jacobian, Matrices
from ngbench.curvature.curvatures.base import Curvature
from ngbench.curvature.curvatures.kronecker import KroneckerCurvature
from ngbench.curvature.kronecker.estimate import ApproximateBlock
from ngbench.curvature.kronecker.sums import KroneckerSum
from ngbench.curvature.layers import Layer
from ngbench.curvature.linalg.eigen import symmetric_eigen
from ngbench.curvature.linalg.low_rank import null_vector
from ngbench.curvature.linalg.packing import Packed, copies_on, unpack
from ngbench.curvature.linalg.parallel import map_layers

__all__ = [
    "FIXED_SPACES",
    "RESIDUAL_SPACES",
    "CoarseContext",
    "CoarseSpace",
    "Column",
    "nicolaides",
    "pack_columns",
    "taylor",
    "unpack_columns",
]

_POWER_ITERATIONS = 100
_POWER_TOLERANCE = 1e-5


class CoarseVector(Packed, ABC):
    """A vector of one layer's block, as a matrix of the shape of its weight."""

    @abstractmethod
    def dense(self) -> Tensor:
        """The matrix ``(d_out, d_in)``."""

    @abstractmethod
    def jacobian_products(self, block: FisherBlock) -> Tensor:
        """``J_iᵀ`` times the vector: shape ``(c · m,)``."""

    @abstractmethod
    def inner(self, matrix: Tensor) -> Tensor:
        """The inner product with a matrix of the same shape: a scalar."""

    def inner_vector(self, other: CoarseVector) -> Tensor:
        """The inner product with a vector of the same layer: a scalar."""
        return self.inner(other.dense())

    @abstractmethod
    def add_to(self, matrix: Tensor, factor: Tensor) -> None:
        """Add ``factor`` times the vector to ``matrix``, in place."""


@dataclass(frozen=True)
class DenseVector(CoarseVector):
    """A vector that is held as its matrix."""

    matrix: Tensor

    def dense(self) -> Tensor:
        return self.matrix

    def jacobian_products(self, block: FisherBlock) -> Tensor:
        return block.transpose_times(self.matrix)

    def inner(self, matrix: Tensor) -> Tensor:
        return torch.dot(self.matrix.flatten(), matrix.flatten())

    def add_to(self, matrix: Tensor, factor: Tensor) -> None:
        matrix.addcmul_(self.matrix, factor)


@dataclass(frozen=True)
class RankOneVector(CoarseVector):
    """``right ⊗ left``, whose matrix is ``left rightᵀ``, for vectors of shapes ``(d_out,)`` and ``(d_in,)``."""

    left: Tensor
    right: Tensor

    def dense(self) -> Tensor:
        return torch.outer(self.left, self.right)

    def jacobian_products(self, block: FisherBlock) -> Tensor:
        return block.rank_one_products(self.left, self.right)

    def inner(self, matrix: Tensor) -> Tensor:
        return torch.dot(self.left, matrix @ self.right)

    def inner_vector(self, other: CoarseVector) -> Tensor:
        if isinstance(other, RankOneVector):
            return torch.dot(self.left, other.left) * torch.dot(self.right, other.right)
        return self.inner(other.dense())

    def add_to(self, matrix: Tensor, factor: Tensor) -> None:
        matrix.addr_(self.left * factor, self.right)


@dataclass(frozen=True)
class OnesVector(CoarseVector):
    """Ones, of the shape ``(d_out, d_in)``.

    Attributes:
        one: a scalar tensor, for the dtype and the device.
    """

    one: Tensor
    d_out: int
    d_in: int

    def dense(self) -> Tensor:
        return self.one.repeat(self.d_out, self.d_in)

    def jacobian_products(self, block: FisherBlock) -> Tensor:
        return block.rank_one_products(self.one.repeat(self.d_out), self.one.repeat(self.d_in))

    def inner(self, matrix: Tensor) -> Tensor:
        return matrix.sum()

    def inner_vector(self, other: CoarseVector) -> Tensor:
        return self.one * (self.d_out * self.d_in) if isinstance(other, OnesVector) else self.inner(other.dense())

    def add_to(self, matrix: Tensor, factor: Tensor) -> None:
        matrix.add_(factor)


Column = Mapping[Layer, CoarseVector]


@dataclass
class CoarseContext:
    """What a coarse space may be made from.

    Attributes:
        batch: J of the last refresh.
        fine: the curvature that is corrected.
        damping: λ of ``F• = F + λI``.
        residual: ``r = ∇h − F• ζ`` (4.15), for the spaces that depend on it.
        diagnostics: what the making of the space has to tell.
    """

    batch: Jacobian
    fine: Curvature
    damping: float
    residual: Matrices = field(default_factory=dict)
    diagnostics: dict[str, float] = field(default_factory=dict)
    _products: dict[int, tuple[Column, dict[Layer, Tensor]]] = field(default_factory=dict)

    def products(self, column: Column) -> dict[Layer, Tensor]:
        """``J_iᵀ V_i`` of each layer i of a column; computed once."""
        if id(column) not in self._products:
            products = {layer: vector.jacobian_products(self.batch.blocks[layer]) for layer, vector in column.items()}
            self._products[id(column)] = column, products
        return self._products[id(column)][1]

    def fisher_times(self, column: Column) -> Matrices:
        """``F•`` times a column whose parts are added up (4.55), which mixes the layers."""
        total = torch.stack(list(self.products(column).values())).sum(0)
        images = self.batch.weighted_sum(total / self.batch.examples)
        for layer, vector in column.items():
            images[layer].add_(vector.dense(), alpha=self.damping)
        return images

    def solve(self, matrices: Matrices) -> Column:
        """The column ``[F•]ᵢᵢ⁻¹ matrices_i`` of the fine level."""
        return {layer: DenseVector(matrix) for layer, matrix in self.fine.precondition(matrices).items()}


CoarseSpace = Callable[[CoarseContext], list[Column]]


def nicolaides(context: CoarseContext) -> list[Column]:
    """Ones (4.26)."""
    one = torch.ones((), dtype=context.batch.dtype, device=context.batch.device)
    return [{layer: OnesVector(one, block.d_out, block.d_in) for layer, block in context.batch.blocks.items()}]


def spectral(context: CoarseContext) -> list[Column]:
    """Eigenvectors of the smallest eigenvalue of each block of the fine level (4.27).

    Of one Kronecker product it is that of its factors (4.30), damped or not; of a sum of several, and of a block of
    another form, it is found by inverse iteration, whose number is reported as ``spectral_iterations``.

    Raises:
        TypeError: the fine level has no approximation of each block.
    """
    fine = context.fine
    if not isinstance(fine, KroneckerCurvature):
        raise TypeError(f"the spectral coarse space needs the blocks of layers, which {type(fine).__name__} lacks")
    blocks = [(layer, fine.factors[layer.name]) for layer in context.batch.blocks]
    vectors = map_layers(
        lambda item: _smallest_eigenvector(item[1], context.batch.dtype),
        blocks,
        device=context.batch.device,
        size=lambda item: sum(width**3 for width in item[1].shape),
    )
    column: dict[Layer, CoarseVector] = {layer: vector for (layer, _), vector in zip(blocks, vectors, strict=True)}
    single = {layer for layer, value in blocks if isinstance(value, KroneckerSum) and len(value.terms) == 1}
    several = {layer: vector.dense() for layer, vector in column.items() if layer not in single}
    if several:
        column.update(_inverse_iteration(context, several))
    return [column]


def _smallest_eigenvector(value: ApproximateBlock, dtype: torch.dtype) -> CoarseVector:
    """That of the first product, or a vector that inverse iteration may start from."""
    if not isinstance(value, KroneckerSum):
        start = torch.randn(value.shape, generator=torch.Generator().manual_seed(0))
        return DenseVector(start.to(value.tensors()[0].device, dtype))
    a, g = value.terms[0]
    return RankOneVector(_of_factor(g).to(dtype), _of_factor(a).to(dtype))


def _of_factor(factor: Tensor) -> Tensor:
    outside = null_vector(factor)
    return symmetric_eigen(factor)[1][:, 0] if outside is None else outside


def _inverse_iteration(context: CoarseContext, start: Matrices) -> Column:
    """Inverse iteration of all layers at once, until no direction turns by more than the tolerance."""
    vectors = {layer: matrix / matrix.norm() for layer, matrix in start.items()}
    change = torch.tensor(torch.inf)
    iterations = 0
    while iterations < _POWER_ITERATIONS and change > _POWER_TOLERANCE:
        images = context.fine.precondition(vectors)
        images = {layer: image / image.norm() for layer, image in images.items()}
        # An indefinite sum may flip the sign.
        turns = [torch.minimum((images[k] - v).norm(), (images[k] + v).norm()) for k, v in vectors.items()]
        change = torch.stack(turns).max()
        vectors = images
        iterations += 1
    context.diagnostics["spectral_iterations"] = float(iterations)
    return {layer: DenseVector(matrix) for layer, matrix in vectors.items()}


def residual(context: CoarseContext) -> list[Column]:
    """``[F•KFAC]ᵢᵢ⁻¹ r_i`` (4.34)."""
    return [context.solve(context.residual)]


def krylov(space: CoarseSpace) -> CoarseSpace:
    """Another space and its image by ``[F•KFAC]ᵢᵢ⁻¹`` (4.31-4.32)."""

    def columns(context: CoarseContext) -> list[Column]:
        first = space(context)
        return first + [context.solve({layer: v.dense() for layer, v in column.items()}) for column in first]

    return columns


def taylor(context: CoarseContext, order: int) -> list[Column]:
    """``w₁ = F•KFAC⁻¹ r``, ``w_{j+1} = F•KFAC⁻¹ F• w_j`` for ``order`` columns (4.39-4.40); order 1 is ``residual``."""
    columns = residual(context)
    while len(columns) < order:
        columns.append(context.solve(context.fisher_times(columns[-1])))
    return columns


FIXED_SPACES: dict[str, CoarseSpace] = {
    "nicolaides": nicolaides,
    "spectral": spectral,
    "krylov-nicolaides": krylov(nicolaides),
}

RESIDUAL_SPACES: dict[str, CoarseSpace] = {
    "residual": residual,
    "krylov-residual": krylov(residual),
}


def pack_columns(columns: list[Column]) -> list[dict[str, Any]]:
    """Vectors by layer name, for a ``state_dict``."""
    return [{layer.name: vector.pack() for layer, vector in column.items()} for column in columns]


def unpack_columns(packed: list[dict[str, Any]], layers: Mapping[str, Layer]) -> list[Column]:
    """The inverse of :func:`pack_columns`."""
    return [
        {layers[name]: unpack(vector, copies_on(layers[name].weight.device)) for name, vector in column.items()}
        for column in packed
    ]
