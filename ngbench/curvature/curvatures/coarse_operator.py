"""The coarse operator ``F_coarse = R₀ F• R₀ᵀ`` (4.14) of a batch, from ``J`` and the columns of ``R₀ᵀ``.

``R₀ F R₀ᵀ = (1/m) PᵀP`` with ``P = JᵀR₀ᵀ`` ``(c · m, N)``, whose columns are products of one layer's rows of J (4.77);
and ``R₀ F ζ = (1/m) Pᵀ (Jᵀζ)``, so a space that stays costs one product with ``Jᵀ`` a step, or, from the images
``F• R₀ᵀ`` of its columns, N inner products with ζ. The N × N algebra is in float64.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ngbench.curvature.capture.jacobian import Jacobian
from ngbench.curvature.curvatures.coarse import CoarseContext, Column
from ngbench.curvature.layers import Layer
from ngbench.curvature.linalg.packing import Packed

__all__ = ["CoarseOperator", "PseudoInverse"]


@dataclass(frozen=True)
class PseudoInverse(Packed):
    """The inverse of a symmetric positive semi-definite matrix on its range.

    Attributes:
        basis: ``(N, N)``, in which the matrix is diagonal.
        weights: ``(N,)``, one over the diagonal, zero for a direction that is left out.
        dropped: a scalar tensor, how many of the N directions were left out.
    """

    basis: Tensor
    weights: Tensor
    dropped: Tensor

    @classmethod
    def of(cls, matrix: Tensor, precision: float) -> PseudoInverse:
        """The inverse of a matrix, scaled to unit diagonal first.

        For the columns of a coarse space differ in length by orders of magnitude. Directions whose scaled eigenvalue is
        within N ε of zero, and negative ones, are left out.

        Args:
            matrix: ``(N, N)`` in float64.
            precision: ε of the numbers that the matrix was computed from.

        Raises:
            FloatingPointError: the matrix contains NaN or infinite values.
        """
        if not torch.isfinite(matrix).all():
            raise FloatingPointError("the coarse operator contains NaN or infinite values")
        diagonal = matrix.diagonal()
        scale = torch.where(diagonal > 0, diagonal, torch.inf).rsqrt()
        values, vectors = torch.linalg.eigh(matrix * scale.unsqueeze(1) * scale)
        kept = values > len(values) * precision * values[-1].clamp(min=torch.finfo(torch.float64).tiny)
        return cls(vectors * scale.unsqueeze(1), torch.where(kept, 1 / values, 0.0), (~kept).sum())

    def times(self, vector: Tensor) -> Tensor:
        """The product with a vector ``(N,)``."""
        product: Tensor = self.basis @ (self.weights * (self.basis.T @ vector))
        return product


_MOST_IMAGE_NUMBERS = 2**26
"""Of the images that are held: 256 MiB in float32."""

_INNER_PRODUCT = 12
"""A number of an image, which comes from memory, takes as long as so many multiplications of a matrix product."""


class CoarseOperator:
    """``R₀ᵀ``, its products with J, and ``F_coarse``, for one batch.

    Args:
        batch: J.
        columns: of the coarse space.
        products: P.
        damping: λ of F•.
        lifetime: how many steps will use it. If so many are worth the making of the N images, which takes about N
            products with Jᵀ, it has them, and a step costs a quarter to two thirds of what it does without.

    Attributes:
        matrix: ``F_coarse`` ``(N, N)``, in float64.
    """

    def __init__(
        self, batch: Jacobian, columns: list[Column], products: Tensor, damping: float, lifetime: float = 1
    ) -> None:
        self.batch = batch
        self.columns = columns
        self.products = products.double()
        self.damping = damping
        self._vectors = [(layer, vector) for column in columns for layer, vector in column.items()]
        self.matrix = self.products.T @ self.products / batch.examples + damping * self._lengths()
        self._images = self._make_images() if self._images_pay(lifetime) else None

    @classmethod
    def build(cls, context: CoarseContext, columns: list[Column], lifetime: float = 1) -> CoarseOperator:
        """The operator of a space on the context's batch."""
        products = [product for column in columns for product in context.products(column).values()]
        return cls(context.batch, columns, torch.stack(products, 1), context.damping, lifetime)

    def _lengths(self) -> Tensor:
        """``R₀ R₀ᵀ``: vectors of different layers are orthogonal."""
        size = len(self._vectors)
        lengths = self.products.new_zeros(size, size)
        for i, (layer, vector) in enumerate(self._vectors):
            for j, (other_layer, other) in enumerate(self._vectors[: i + 1]):
                if layer is other_layer:
                    lengths[i, j] = lengths[j, i] = vector.inner_vector(other)
        return lengths

    def restrict(self, matrices: Mapping[Layer, Tensor]) -> Tensor:
        """``R₀ matrices``: shape ``(N,)``, in float64."""
        return torch.stack([vector.inner(matrices[layer]) for layer, vector in self._vectors]).double()

    def restricted_residual(self, gradients: Mapping[Layer, Tensor], directions: Mapping[Layer, Tensor]) -> Tensor:
        """``R₀ (∇h − F• ζ)`` without forming the residual: shape ``(N,)``."""
        if self._images is not None:
            return self.restrict(gradients) - self._image_products(self._images, directions)
        image = self.products.T @ self.batch.transpose_times(directions).double()
        return self.restrict(gradients) - self.damping * self.restrict(directions) - image / self.batch.examples

    def _images_pay(self, lifetime: float) -> bool:
        size = len(self._vectors)
        saved = 1 - size * _INNER_PRODUCT / self.batch.columns
        return lifetime * saved > size and size * self.batch.parameters <= _MOST_IMAGE_NUMBERS

    def _image_products(self, images: Mapping[Layer, Tensor], directions: Mapping[Layer, Tensor]) -> Tensor:
        """``R₀ F• ζ`` from the images."""
        total = self.products.new_zeros(len(self._vectors), dtype=self.batch.dtype)
        for layer, parts in images.items():
            total.addmv_(parts.flatten(1), directions[layer].flatten())
        return total.double()

    def _make_images(self) -> dict[Layer, Tensor]:
        """``F• R₀ᵀ``: for each layer its part of the N images, ``(N, d_out, d_in)``."""
        weights = (self.products / self.batch.examples).to(self.batch.dtype)
        images = {
            layer: torch.stack([block.weighted_sum(column) for column in weights.T])
            for layer, block in self.batch.blocks.items()
        }
        damping = weights.new_full((), self.damping)
        for k, (layer, vector) in enumerate(self._vectors):
            vector.add_to(images[layer][k], damping)
        return images

    def energy_gap(self, coefficients: Tensor, restricted: Tensor) -> Tensor:
        """``𝔈(β) − 𝔈(0) = ⟨F_coarse β, β⟩ − 2⟨β, R₀ r⟩`` (4.46): a scalar tensor in float64."""
        return torch.dot(self.matrix @ coefficients, coefficients) - 2 * torch.dot(coefficients, restricted)

    def add_correction(self, directions: Mapping[Layer, Tensor], coefficients: Tensor) -> None:
        """``ζ += R₀ᵀβ``, in place."""
        factors = coefficients.to(self.batch.dtype).unbind()
        for (layer, vector), factor in zip(self._vectors, factors, strict=True):
            if layer in directions:
                vector.add_to(directions[layer], factor.to(directions[layer].dtype))
