"""How far an approximation is from a Fisher block: Error 1 and Error 2 of section 3.3.1, without forming either.

With ``f`` and ``f̂`` the sorted spectra of F and F̂,

    Error 1 = ‖F − F̂‖_F / ‖F‖_F,        ‖F − F̂‖² = ‖F‖² − 2⟨F, F̂⟩ + ‖F̂‖²,
    Error 2 = ‖f − f̂‖₂ / ‖f‖₂,           ‖f − f̂‖² = Σ_{i≤k} (fᵢ − f̂ᵢ)² + Σ_{i>k} (fᵢ − f̂ᵢ)².

F has the non-zero eigenvalues of ``JᵀJ/m``, at most ``c · m`` of them; the sum of ``f̂ᵢ²`` over the rest of the spectrum
is ``‖F̂‖²`` less that of the largest ones, so that only those are computed.

F is the block of what the layer recorded; what that is before a batch normalisation in training mode is said in
:mod:`ngbench.curvature.blocks.block`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor

from ngbench.curvature.blocks.block import FisherBlock
from ngbench.curvature.kronecker.sums import KroneckerSum
from ngbench.curvature.linalg.parallel import torch_threads

__all__ = ["Reference", "largest_eigenvalues"]

# Up to this order all eigenvalues are cheaper than some.
_DENSE_ORDER = 1500
_FIRST_EIGENVALUES = 32
# How exactly Error 2 is computed, what the eigenvalues left out can change in it: a part of it, but no less than that.
_RELATIVE_TOLERANCE, _ABSOLUTE_TOLERANCE = 1e-3, 1e-5
# Directions in which all factors together are smaller than this part of their largest are left out.
_NEGLIGIBLE = 1e-7


class Reference:
    """A Fisher block that approximations are measured against, in float64.

    Args:
        block: the Fisher block. The differences of squares below keep half of the digits of its dtype: give it in
            float64.

    Attributes:
        spectrum: the eigenvalues of F that can be non-zero, the largest first: shape ``(min(c · m, d_in · d_out),)``.
    """

    def __init__(self, block: FisherBlock) -> None:
        self._block = block
        eigenvalues = torch.linalg.eigvalsh(block.gram().double() / block.examples).flip(0).clamp(min=0)
        self.spectrum = eigenvalues[: block.d_in * block.d_out]
        self._norm_squared = float(self.spectrum.square().sum())

    def error_1(self, approximation: KroneckerSum) -> float:
        """``‖F − F̂‖_F / ‖F‖_F``; NaN where F vanishes."""
        approximation = _double(approximation)
        squared = (
            self._norm_squared
            - 2 * float(self._block.inner_product(approximation))
            + float(approximation.inner_product(approximation))
        )
        return _relative(squared, self._norm_squared)

    def error_2(self, approximation: KroneckerSum) -> float:
        """``‖spec F − spec F̂‖₂ / ‖spec F‖₂``, to three digits or 1e-5; NaN where F vanishes."""
        approximation = _double(approximation)
        total = float(approximation.inner_product(approximation))
        count = min(_FIRST_EIGENVALUES, len(self.spectrum))
        while True:
            largest = largest_eigenvalues(approximation, count)[: len(self.spectrum)]
            exact = self.spectrum[: len(largest)]
            head = float((exact - largest).square().sum())
            rest = math.sqrt(max(0.0, self._norm_squared - float(exact.square().sum())))
            rest_approximate = math.sqrt(max(0.0, total - float(largest.square().sum())))
            if len(largest) == len(self.spectrum):
                return _relative(head + rest_approximate**2, self._norm_squared)
            lower = _relative(head + (rest - rest_approximate) ** 2, self._norm_squared)
            upper = _relative(head + (rest + rest_approximate) ** 2, self._norm_squared)
            middle = (lower + upper) / 2
            if not upper - lower > 2 * max(_ABSOLUTE_TOLERANCE, _RELATIVE_TOLERANCE * middle):
                return middle
            count = min(2 * count, len(self.spectrum))


def _double(approximation: KroneckerSum) -> KroneckerSum:
    return KroneckerSum(tuple((a.double(), g.double()) for a, g in approximation.terms))


def _relative(squared: float, norm_squared: float) -> float:
    return math.sqrt(max(0.0, squared) / norm_squared) if norm_squared else math.nan


def largest_eigenvalues(approximation: KroneckerSum, count: int) -> Tensor:
    """The ``count`` largest eigenvalues of ``Σ_r A_r ⊗ G_r`` (all of them if that is little more), the largest first.

    Those of one product are the products of its factors' eigenvalues; of a sum they are found by Lanczos' method.

    Raises:
        FloatingPointError: a factor contains NaN or infinite values.
    """
    (a, g), *others = approximation.terms
    if not all(torch.isfinite(factor).all() for term in approximation.terms for factor in term):
        raise FloatingPointError("an approximation of a Fisher block contains NaN or infinite values")
    # A product that vanishes (beyond the rank of Z) leaves the others alone.
    others = [term for term in others if term[0].any() and term[1].any()]
    order = len(a) * len(g)
    if not others:
        products = torch.outer(torch.linalg.eigvalsh(a), torch.linalg.eigvalsh(g)).flatten()
        largest: Tensor = products.topk(min(count, order)).values
        return largest
    total = _on_ranges(KroneckerSum(((a, g), *others)))
    (a, g), *_ = total.terms
    found = _largest_of_sum(total, min(count, len(a) * len(g)))
    zeros = found.new_zeros(order - len(a) * len(g))
    # What was not found may lie between what was and zero.
    reach = order if len(found) == len(a) * len(g) else len(found)
    return torch.cat((found, zeros)).sort(descending=True).values[:reach]


def _on_ranges(total: KroneckerSum) -> KroneckerSum:
    """The sum in orthonormal bases of the common ranges of its factors: the same eigenvalues but for zeros."""
    firsts, seconds = zip(*total.terms, strict=True)
    left, right = _range(firsts), _range(seconds)
    return KroneckerSum(tuple((left.T @ a @ left, right.T @ g @ right) for a, g in total.terms))


def _range(factors: Sequence[Tensor]) -> Tensor:
    # Each factor in its own unit, so that none hides another.
    squares = sum(torch.linalg.matrix_power(factor / torch.linalg.matrix_norm(factor), 2) for factor in factors)
    values, vectors = torch.linalg.eigh(squares)
    basis: Tensor = vectors[:, values > _NEGLIGIBLE**2 * values[-1]]
    return basis


def _largest_of_sum(total: KroneckerSum, count: int) -> Tensor:
    (a, g), *_ = total.terms
    order = len(a) * len(g)
    if order <= _DENSE_ORDER or 2 * count >= order:
        everything: Tensor = torch.linalg.eigvalsh(total.dense())
        return everything

    def times(vector: np.ndarray) -> np.ndarray:
        matrix = torch.from_numpy(np.asarray(vector, dtype=np.float64)).view(len(g), len(a)).to(a)
        return total.times(matrix).flatten().cpu().numpy()

    operator = LinearOperator((order, order), matvec=times, dtype=np.float64)
    # The trace of the rows is a start that no symmetry of the sum makes orthogonal to its dominant eigenvector.
    start = torch.outer(g.diagonal(), a.diagonal()).flatten().cpu().numpy()
    first = start if start.any() else None
    with torch_threads(1):
        found: np.ndarray = eigsh(operator, k=count, which="LA", v0=first, return_eigenvectors=False, tol=1e-9)
    return torch.from_numpy(found).to(a)
