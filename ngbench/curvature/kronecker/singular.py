"""Dominant singular triplets of an implicit matrix: the power method, and Golub-Kahan-Lanczos bidiagonalisation.

Both know the matrix ``Z`` by its products alone, and a vector only as a tensor that can be scaled and added: what its
entries mean, and hence its norm, is the operator's business. Scalars and the small matrices of a Krylov space live on
the host, in float64: in numpy, whose operations on few numbers take a fraction of the time of torch's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

__all__ = ["Deflated", "Operator", "Spectrum", "Triplet", "lanczos_bidiagonalisation", "power_svd"]

_Products = Callable[[Tensor, Tensor], Tensor]
_Array = npt.NDArray[np.float64]

# After this many iterations at a residual that falls no more, below this share of σ, only rounding is left of it.
_STALLED = 10
# By this many iterations a triplet shows, if there is one beyond rounding errors.
_SETTLED = 4
_ROUNDING_SHARE = 1e-3


class Operator(Protocol):
    """A matrix Z, in some coordinates of its left and right vectors.

    Attributes:
        rounding: the relative size of a vector that is made of rounding errors.
    """

    rounding: float

    def times(self, v: Tensor) -> Tensor:
        """``Z v``."""

    def transpose_times(self, u: Tensor) -> Tensor:
        """``Zᵀ u``."""

    def left_products(self, basis: Tensor, u: Tensor, /) -> Tensor:
        """``⟨basis_i, u⟩``: shape ``(k,)``, on the host in float64."""

    def right_products(self, basis: Tensor, v: Tensor, /) -> Tensor:
        """``⟨basis_i, v⟩``: shape ``(k,)``, on the host in float64."""

    def left_norm(self, u: Tensor, /) -> float:
        """``‖u‖``."""

    def right_norm(self, v: Tensor, /) -> float:
        """``‖v‖``."""

    def random_left(self, generator: torch.Generator) -> Tensor:
        """A left vector without preferred direction."""

    def random_right(self, generator: torch.Generator) -> Tensor:
        """A right vector without preferred direction."""


@dataclass(frozen=True)
class Triplet:
    """``Zᵀu = σ v`` and ``Zv = σ u`` up to a residual, with unit ``u`` and ``v``; zeros where Z has no such triplet."""

    u: Tensor
    sigma: float
    v: Tensor


@dataclass(frozen=True)
class Spectrum:
    """Triplets that an iteration found.

    Attributes:
        triplets: in the order of decreasing σ.
        iterations: pairs of products with Z and Zᵀ.
        residuals: of each triplet, ``‖Zv − σu‖`` or ``‖Zᵀu − σv‖`` (the other one vanishes) relative to σ₁.
        converged: whether every residual reached the precision.
    """

    triplets: tuple[Triplet, ...]
    iterations: int
    residuals: tuple[float, ...]
    converged: bool


class Deflated:
    """``Z − Σ_i u_i v_iᵀ``, for pairs of left and right vectors of any length (3.2.3.1)."""

    def __init__(self, z: Operator, pairs: Sequence[tuple[Tensor, Tensor]]) -> None:
        self._z = z
        self._pairs = pairs
        self.rounding = z.rounding
        self.left_products = z.left_products
        self.right_products = z.right_products
        self.left_norm = z.left_norm
        self.right_norm = z.right_norm
        self.random_left = z.random_left
        self.random_right = z.random_right

    def times(self, v: Tensor) -> Tensor:
        product = self._z.times(v)
        for left, right in self._pairs:
            product = product - left * float(self._z.right_products(right.unsqueeze(0), v))
        return product

    def transpose_times(self, u: Tensor) -> Tensor:
        product = self._z.transpose_times(u)
        for left, right in self._pairs:
            product = product - right * float(self._z.left_products(left.unsqueeze(0), u))
        return product


def power_svd(
    z: Operator,
    start: Tensor,
    *,
    precision: float,
    max_iterations: int,
    scale: float | None = None,
    cold: Tensor | None = None,
) -> Spectrum:
    """The dominant triplet by the power method (Algorithm 1 of the thesis, begun at ``v⁽⁰⁾ = Zᵀ start``).

    Stops when ``‖Zv − σu‖ ≤ precision · scale``, when rounding keeps the residual from falling further, or after
    ``max_iterations``.

    Args:
        z: the matrix.
        start: a left vector.
        precision: relative to ``scale``.
        max_iterations: at least 1.
        scale: σ₁ of the matrix that Z is the remainder of; σ itself by default. A Z that is rounding errors beside it
            has no triplet.
        cold: where to begin anew if Z turns ``start`` into rounding errors, lest the start pass for a Z that vanishes.
    """
    u = _unit(z, start)
    best, best_at, began, k = math.inf, 0, 0, 0
    while True:
        k += 1
        t = z.transpose_times(u)
        sigma = z.right_norm(t)
        v = t / sigma if sigma else t
        w = z.times(v)
        length = z.left_norm(w)
        unit = scale or sigma
        residual = z.left_norm(w - sigma * u) / unit if unit else 0.0
        # One product with a start that has little of the triplet is small too; with rounding errors, all are.
        small = sigma <= z.rounding * (scale or 0.0)
        if not sigma * length or (small and (residual <= precision or k - began >= _SETTLED)):
            if cold is not None:
                u, cold, began = _unit(z, cold), None, k
                continue
            return Spectrum((Triplet(torch.zeros_like(u), 0.0, torch.zeros_like(t)),), k, (0.0,), True)
        if residual < best:
            best, best_at = residual, k
        # Near another singular vector the residual grows, for as long as the iteration takes to leave it.
        stalled = k - best_at >= _STALLED and residual <= 2 * best and best * unit < _ROUNDING_SHARE * sigma
        if residual <= precision or stalled or k >= max_iterations or not math.isfinite(residual):
            return Spectrum((Triplet(u, sigma, v),), k, (residual,), residual <= precision)
        u = w / length


def _unit(z: Operator, u: Tensor) -> Tensor:
    length = z.left_norm(u)
    return u / length if length else u


def lanczos_bidiagonalisation(
    z: Operator,
    start: Tensor,
    *,
    rank: int,
    dimension: int,
    precision: float,
    max_iterations: int,
    generator: torch.Generator,
    norm_squared: float = math.inf,
) -> Spectrum:
    """The ``rank`` dominant triplets by restarted Golub-Kahan-Lanczos (Algorithm 2 of the thesis).

    Every new vector is orthogonalised against all earlier ones, twice where it loses digits. A full basis is restarted
    with the wanted singular vectors and the last residual (Baglama and Reichel 2005: the thick form of the restart in
    3.2.3.2, which loses nothing of their span). Stops when ``‖Zᵀu_i − σ_i v_i‖ ≤ precision · σ₁`` for all wanted
    triplets. A Krylov space holds but one direction of a repeated singular value; so, unless ``‖Z‖²`` leaves no room
    for another σ as large as the last but one that is wanted, one more basis, begun in a random direction, must confirm
    them.

    Args:
        z: the matrix.
        start: a left vector.
        rank: how many triplets.
        dimension: K > ``rank``, the size of a basis.
        precision: relative to σ₁.
        max_iterations: pairs of products, at least 1.
        generator: of the random directions.
        norm_squared: ``‖Z‖²`` in Frobenius norm, or a bound.
    """
    first = z.transpose_times(start)
    length = z.right_norm(first)
    if not length:
        zero = Triplet(torch.zeros_like(start), 0.0, torch.zeros_like(first))
        return Spectrum((zero,) * rank, 1, (0.0,) * rank, True)
    basis = _Basis(z, start, first / length, dimension, generator)
    iterations, confirming = 0, False
    while True:
        converged = exhausted = False
        while basis.size < dimension and iterations < max_iterations and not exhausted:
            exhausted = not basis.extend()
            iterations += not exhausted
            converged = basis.converged(rank, precision)
            if converged and not confirming:
                break
        settled = converged and (confirming or rank == 1 or basis.complete(rank, norm_squared))
        if exhausted or iterations >= max_iterations or settled:
            return basis.spectrum(rank, iterations, precision)
        confirming = converged
        basis.restart(rank, at_random=confirming)


class _Basis:
    """Orthonormal ``left`` and ``right`` vectors with ``Z right = left B``, and the triplets of the small B."""

    def __init__(self, z: Operator, left: Tensor, right: Tensor, dimension: int, generator: torch.Generator) -> None:
        self._z = z
        self._generator = generator
        self._left = left.new_zeros(dimension, *left.shape)
        self._right = right.new_zeros(dimension, *right.shape)
        self._matrix: _Array = np.zeros((dimension, dimension))
        self._next: Tensor | None = right
        self._set_svd(self._matrix[:0, :0], self._matrix[0, :0], self._matrix[:0, :0], 0.0)
        self.size = 0

    def _set_svd(self, x: _Array, sigma: _Array, y: _Array, beta: float) -> None:
        self._x, self._sigma, self._y = x, sigma, y
        self._largest = float(sigma[0]) if len(sigma) else 0.0
        self._residuals: list[float] = (
            (np.abs(x[-1]) * beta / self._largest).tolist() if self._largest else [0.0] * len(x)
        )

    def extend(self) -> bool:
        """Take in the next right vector and its image; False if there is no further direction."""
        z, k = self._z, self.size
        if self._next is None:
            return False
        self._right[k] = self._next
        column, image, alpha = _orthogonalise(z.times(self._next), self._left[:k], z.left_products, z.left_norm)
        if alpha <= z.rounding * max(float(np.linalg.norm(column)), self._largest):
            # The image lies in the span: any direction may follow, and none (zeros) does no harm either.
            alpha = 0.0
            left = self._random(z.random_left, self._left[:k], z.left_products, z.left_norm)
            self._left[k] = 0 if left is None else left
        else:
            self._left[k] = image / alpha
        self._matrix[:k, k] = column
        self._matrix[k, k] = alpha
        self.size = k + 1
        self._close()
        return True

    def _close(self) -> None:
        z, k = self._z, self.size
        matrix = self._matrix[:k, :k]
        if not np.isfinite(matrix).all():
            nothing = np.full_like(matrix, math.nan)
            self._next = None
            self._set_svd(nothing, nothing[0], nothing, math.nan)
            return
        x, sigma, y = np.linalg.svd(matrix)
        image = z.transpose_times(self._left[k - 1])
        _, remainder, beta = _orthogonalise(image, self._right[:k], z.right_products, z.right_norm)
        if beta <= z.rounding * float(sigma[0]):
            beta = 0.0
            self._next = self._random(z.random_right, self._right[:k], z.right_products, z.right_norm)
        else:
            self._next = remainder / beta
        self._set_svd(x, sigma, y.T, beta)

    def _random(
        self,
        draw: Callable[[torch.Generator], Tensor],
        basis: Tensor,
        products: _Products,
        norm: Callable[[Tensor], float],
    ) -> Tensor | None:
        """A random unit vector orthogonal to ``basis``, or None if that spans the space."""
        vector = draw(self._generator)
        length = norm(vector)
        _, vector, rest = _orthogonalise(vector, basis, products, norm)
        return vector / rest if rest > self._z.rounding * length else None

    def converged(self, rank: int, precision: float) -> bool:
        """Whether ``rank`` triplets have reached the precision."""
        return len(self._residuals) >= rank and all(r <= precision for r in self._residuals[:rank])

    def complete(self, rank: int, norm_squared: float) -> bool:
        """Whether ``‖Z‖²`` leaves no room for another singular value as large as the last but one of ``rank``."""
        found = np.square(self._sigma[:rank])
        return norm_squared - float(found.sum()) < 0.99 * float(found[rank - 2])

    def restart(self, rank: int, *, at_random: bool) -> None:
        """Keep the wanted singular vectors, and go on from the last residual or from a random direction."""
        z, k, r = self._z, self.size, min(rank, self.size)
        self._left[:r] = _combine(self._x[:, :r], self._left[:k])
        self._right[:r] = _combine(self._y[:, :r], self._right[:k])
        self._matrix[:] = 0
        np.fill_diagonal(self._matrix[:r, :r], self._sigma[:r])
        self._x = self._y = np.eye(r)
        self._sigma, self._residuals = self._sigma[:r], self._residuals[:r]
        self.size = r
        if at_random:
            self._next = self._random(z.random_right, self._right[:r], z.right_products, z.right_norm)

    def spectrum(self, rank: int, iterations: int, precision: float) -> Spectrum:
        """The wanted triplets, with zeros for those that Z does not have."""
        k, r = len(self._x), min(rank, len(self._x))
        left = _combine(self._x[:, :r], self._left[:k])
        right = _combine(self._y[:, :r], self._right[:k])
        triplets = []
        for i in range(r):
            sigma = float(self._sigma[i])
            here = not sigma <= self._z.rounding * self._largest
            triplets.append(Triplet(left[i] * here, sigma * here, right[i] * here))
        missing = Triplet(torch.zeros_like(self._left[0]), 0.0, torch.zeros_like(self._right[0]))
        residuals = (*self._residuals[:r], *[0.0] * (rank - r))
        return Spectrum(
            (*triplets, *[missing] * (rank - r)), iterations, residuals, all(r <= precision for r in residuals)
        )


def _orthogonalise(
    vector: Tensor, basis: Tensor, products: _Products, norm: Callable[[Tensor], float]
) -> tuple[_Array, Tensor, float]:
    """The coefficients of ``vector`` in an orthonormal ``basis``, what remains of it, and the norm of that."""
    coefficients: _Array = np.zeros(basis.shape[0])
    length = norm(vector)
    if basis.shape[0]:
        for _ in range(2):
            before = length
            correction = products(basis, vector)
            weights = correction.to(basis.device, basis.dtype)
            vector = torch.addmv(vector.flatten(), basis.flatten(1).T, weights, alpha=-1).view_as(vector)
            coefficients += correction.numpy()
            length = norm(vector)
            # What keeps most of its length keeps its digits; otherwise a second pass removes what rounding has left.
            if length > 0.7 * before:
                break
    return coefficients, vector, length


def _combine(coefficients: _Array, basis: Tensor) -> Tensor:
    """``Σ_i c_ij basis_i`` for coefficients ``(k, n)``: shape ``(n, ...)``."""
    weights = torch.from_numpy(coefficients.T).to(basis.device, basis.dtype)
    return (weights @ basis.flatten(1)).reshape(-1, *basis.shape[1:])
