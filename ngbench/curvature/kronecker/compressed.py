"""``Z(F)`` of a layer with several positions, in orthonormal bases of the few patches and derivatives that it saw.

All patches of a batch are ``ā_{b,t} = Q_A α_{b,t}`` with Q_A ``(d_in, m T)`` if ``m T < d_in``, as deep in a network,
and all derivatives are ``g_{b,t} = Q_G γ_{b,t}``. Then ``Z(F) = (Q_A ⊗ Q_A) Z(F') (Q_G ⊗ Q_G)ᵀ`` for the block F' of α
and γ: the singular triplets of the small ``Z(F')`` are those of ``Z(F)``, with ``MAT(u) = Q_A MAT(u') Q_Aᵀ``. An
iteration passes over matrices of ``m T`` rows instead of d_in; the bases are computed and multiplied once.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ngbench.curvature.blocks.positions import PositionBlock, SequenceBlock
from ngbench.curvature.kronecker.rearrangement import DirectRearrangement
from ngbench.curvature.kronecker.singular import Triplet
from ngbench.curvature.linalg.lower import symmetric_part

__all__ = ["CompressedRearrangement", "compression_operations", "is_compressible"]

# Iterations to 1e-6 on a trained network, about.
_ITERATIONS = 8


class CompressedRearrangement(DirectRearrangement):
    """Vectors are matrices in the coordinates of the bases.

    Args:
        block: that :func:`is_compressible`.
    """

    def __init__(self, block: PositionBlock) -> None:
        m, t = block.examples, block.positions
        patches = block.patches(0, m)[:, 0].transpose(1, 2).flatten(0, 1)
        derivatives = block.output_derivatives(0, block.columns * m)[:, 0].transpose(1, 2).flatten(0, 1)
        self._left, inputs = _compressed(patches)
        self._right, outputs = _compressed(derivatives)
        small = SequenceBlock(torch.unflatten(inputs, 0, (-1, t)), torch.unflatten(outputs, 0, (-1, t)), constant=False)
        super().__init__(small)

    @property
    def wants_warm_start(self) -> bool:
        # The image of a matrix in the coordinates is many iterations on a wide layer.
        width, k = self._left.shape
        block = self._block
        rows = block.columns * block.examples * block.positions
        return width * k * (width + k) <= _ITERATIONS * rows * (block.d_in**2 + block.d_out**2)

    def warm_left(self, term: tuple[Tensor, Tensor]) -> Tensor:
        return self._left.T @ term[0] @ self._left

    def factors(self, triplet: Triplet) -> tuple[Tensor, Tensor]:
        a, g = super().factors(triplet)
        return symmetric_part(self._left @ a @ self._left.T), symmetric_part(self._right @ g @ self._right.T)


def _compressed(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Q and α of ``rows`` ``(k, n)``: ``rows = α Qᵀ``, with as many columns as the smaller of k and n."""
    basis, upper = torch.linalg.qr(rows.T)
    return basis, upper.T.contiguous()


def is_compressible(block: PositionBlock) -> bool:
    """Whether the patches are fewer than their entries, and no groups have input spaces of their own."""
    return block.groups == 1 and block.examples * block.positions < block.d_in


def compression_operations(block: PositionBlock, terms: int) -> tuple[int, int]:
    """Multiplications for ``terms`` triplets in the bases and by direct products, at the usual iterations."""
    columns, t = block.columns * block.examples, block.positions
    k, k_out = block.examples * t, min(columns * t, block.d_out)
    iterations = 2 * _ITERATIONS * terms * columns

    def iteration(d_in: int, d_out: int) -> int:
        return min(t * (d_in**2 + t * d_in + d_out**2), d_out * d_in * (d_in + d_out))

    bases = 2 * (block.d_in * k**2 + columns * t * block.d_out * k_out)
    expansions = terms * (block.d_in**2 * k + block.d_in * k**2 + block.d_out**2 * k_out + block.d_out * k_out**2)
    return bases + expansions + iterations * iteration(k, k_out), iterations * iteration(block.d_in, block.d_out)
