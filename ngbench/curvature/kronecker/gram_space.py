"""``Z(F)`` of a Linear layer through two ``m × m`` Gram matrices.

``Z = (1/m) P Qᵀ``, where the columns of P are ``vec(ā_b ā_bᵀ)`` and those of Q are ``vec(Σ_j g_{j,b} g_{j,b}ᵀ)``,
summed over the c derivative columns of example b. With ``u = P x`` and ``v = Q y`` the products are
``Z v = P (K_G y)/m`` and ``Zᵀu = Q (K_A x)/m`` for ``K_A = PᵀP = (ĀᵀĀ)∘²`` and ``K_G = QᵀQ``: O(m²) an iteration
instead of O(m d²). The matrices behind the vectors are assembled once, as weighted second moments
``MAT(P x) = Σ_b x_b ā_b ā_bᵀ``. KFAC's factors are ``(1/m) P 1`` and ``(1/m) Q 1``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ngbench.curvature.blocks.linear import LinearBlock
from ngbench.curvature.blocks.moments import homogeneous_second_moment, second_moment
from ngbench.curvature.kronecker.rearrangement import DirectRearrangement, Rearrangement
from ngbench.curvature.kronecker.singular import Triplet
from ngbench.curvature.linalg.norms import frobenius_norm

__all__ = ["GramRearrangement", "choose_route"]

# A matrix-vector product in float64 takes about as long as so many times its operations in a matrix product.
_VECTOR_PRODUCT = 8
# Iterations to 1e-6 on a trained network, about.
_ITERATIONS = 8
# Pieces of at most this many numbers (128 MiB in float64) bound the memory of the sums over derivative columns.
_PIECE_NUMBERS = 2**24


class GramRearrangement(Rearrangement):
    """A vector is a tensor ``(2, m)``: its coefficients x and their image ``K x``, so that a norm costs O(m).

    The Gram matrices are multiplied in the precision of the statistics, the inputs with their mean apart, since
    squaring would cost near-constant inputs their digits. Iterations run in float64.
    """

    def __init__(self, block: LinearBlock) -> None:
        self._block = block
        self._input = _input_gram(block).square_()
        self._output = _output_gram(block)
        eps = torch.finfo(block.inputs.dtype).eps
        self.rounding = 64 * eps
        # Below this share of ‖x‖², xᵀKx is made of rounding errors of K.
        self._left_floor = 4 * eps * float(self._input.diagonal().max())
        self._right_floor = 4 * eps * float(self._output.diagonal().max())

    def times(self, v: Tensor) -> Tensor:
        return self._left(v[1] / self._block.examples)

    def transpose_times(self, u: Tensor) -> Tensor:
        return self._right(u[1] / self._block.examples)

    def _left(self, x: Tensor) -> Tensor:
        return torch.stack([x, self._input @ x])

    def _right(self, y: Tensor) -> Tensor:
        return torch.stack([y, self._output @ y])

    def left_products(self, basis: Tensor, u: Tensor) -> Tensor:
        return (basis[:, 0] @ u[1]).cpu()

    right_products = left_products

    def left_norm(self, u: Tensor) -> float:
        return _norm(u, self._left_floor)

    def right_norm(self, v: Tensor) -> float:
        return _norm(v, self._right_floor)

    def random_left(self, generator: torch.Generator) -> Tensor:
        return self._left(self._random(generator))

    def random_right(self, generator: torch.Generator) -> Tensor:
        return self._right(self._random(generator))

    def _random(self, generator: torch.Generator) -> Tensor:
        # Drawn on the host, so that every device starts alike.
        return torch.randn(len(self._input), generator=generator, dtype=torch.float64).to(self._input)

    def kfac_pair(self) -> tuple[Tensor, Tensor]:
        even = self._input.new_full((len(self._input),), 1 / self._block.examples)
        return self._left(even), self._right(even)

    def positive_left(self) -> Tensor:
        return self._left(torch.ones_like(self._input[0]))

    @property
    def wants_warm_start(self) -> bool:
        # The image of a matrix is a pass over the statistics, that is many iterations on wide layers.
        block = self._block
        projection = block.examples * min(block.d_in**2, block.columns * block.d_out**2)
        return projection <= _ITERATIONS * 2 * block.examples**2 * _VECTOR_PRODUCT

    def warm_left(self, term: tuple[Tensor, Tensor]) -> Tensor:
        a, g = term
        block = self._block
        if block.d_in**2 <= block.columns * block.d_out**2:
            inputs = block.inputs
            forms = torch.sum((inputs @ a[: inputs.shape[1], : inputs.shape[1]]) * inputs, 1)
            if block.constant:
                forms = forms + 2 * (inputs @ a[:-1, -1]) + a[-1, -1]
            return self._left(self._output @ forms.double())
        forms = torch.sum((block.derivatives @ g) * block.derivatives, 1)
        return self._left(forms.double().reshape(block.columns, block.examples).sum(0))

    def norm_squared(self) -> float:
        return float(torch.dot(self._input.flatten(), self._output.flatten())) / self._block.examples**2

    def factors(self, triplet: Triplet) -> tuple[Tensor, Tensor]:
        block = self._block
        x = triplet.u[0].to(block.inputs.dtype)
        y = triplet.v[0].to(block.inputs.dtype)
        a = homogeneous_second_moment(block.inputs, constant=block.constant, weights=x)
        g = second_moment(block.derivatives, y.repeat(block.columns))
        if not triplet.sigma:
            return a, g
        # The norms of the matrices themselves are more accurate than those in coefficients, in which u was divided by
        # its norm: σ is too large by the error of that of u, and too small by that of v.
        left, right = float(frobenius_norm(a)), float(frobenius_norm(g))
        if not left * right:
            return torch.zeros_like(a), torch.zeros_like(g)
        root = (triplet.sigma * right / left) ** 0.5
        return a.mul_(root / left), g.mul_(root / right)


def _norm(vector: Tensor, floor: float) -> float:
    of_coefficients, squared = (vector @ vector[0]).tolist()
    return 0.0 if squared <= floor * of_coefficients else math.sqrt(squared)


def _input_gram(block: LinearBlock) -> Tensor:
    """``ĀᵀĀ`` of the m examples, in float64."""
    mean = block.inputs.mean(0)
    centred = block.inputs - mean
    gram = second_moment(centred.T).double()
    along = centred.double() @ mean.double() + (mean.double().square().sum() + block.constant) / 2
    return gram.add_(along.unsqueeze(0)).add_(along.unsqueeze(1))


def _output_gram(block: LinearBlock) -> Tensor:
    """``K_G``: the Frobenius products of the ``Σ_j g_j g_jᵀ`` of the m examples, in float64."""
    c, m, d = block.columns, block.examples, block.d_out
    if c == 1:
        return second_moment(block.derivatives.T).double().square_()
    total = block.derivatives.new_zeros(m, m, dtype=torch.float64)
    g = block.derivatives.reshape(c, m, d)
    if c * c * m * m * d <= _column_operations(block):
        for column in g:
            products = (column @ block.derivatives.T).double().square_()
            total += products.reshape(m, c, m).sum(1)
        return total
    # A slice of the rows of all Σ_j g_j g_jᵀ at a time.
    size = max(1, _PIECE_NUMBERS // (m * d))
    for start in range(0, d, size):
        rows = torch.einsum("jbr,jbd->brd", g[:, :, start : start + size], g).flatten(1)
        total += (rows @ rows.T).double()
    return total


def _column_operations(block: LinearBlock) -> int:
    c, m, d = block.columns, block.examples, block.d_out
    return c * m * d**2 + m**2 * d**2


def gram_operations(block: LinearBlock, terms: int) -> tuple[int, int]:
    """Multiplications for ``terms`` triplets in Gram space and by direct products, at the usual iterations."""
    m, columns = block.examples, block.columns
    second_moments = m * block.d_in**2 + columns * m * block.d_out**2
    output_gram = m * m * block.d_out
    if columns > 1:
        output_gram = min(columns**2 * output_gram, _column_operations(block))
    iterations = _ITERATIONS * terms
    gram = m * m * block.d_in + output_gram + iterations * 2 * m * m * _VECTOR_PRODUCT + terms * second_moments
    direct = iterations * 2 * columns * m * (block.d_in**2 + block.d_out**2)
    return gram, direct


def choose_route(block: LinearBlock, terms: int) -> Rearrangement:
    """Z(F) in Gram space or by direct products, whichever needs fewer operations for ``terms`` triplets."""
    gram, direct = gram_operations(block, terms)
    return GramRearrangement(block) if gram <= direct else DirectRearrangement(block)
