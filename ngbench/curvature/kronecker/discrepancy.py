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

import torch

from ngbench.curvature.blocks.block import FisherBlock
from ngbench.curvature.kronecker.estimate import ApproximateBlock

__all__ = ["Reference"]

_FIRST_EIGENVALUES = 32
# How exactly Error 2 is computed, what the eigenvalues left out can change in it: a part of it, but no less than that.
_RELATIVE_TOLERANCE, _ABSOLUTE_TOLERANCE = 1e-3, 1e-5


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

    def error_1(self, approximation: ApproximateBlock) -> float:
        """``‖F − F̂‖_F / ‖F‖_F``; NaN where F vanishes."""
        approximation = approximation.in_dtype(torch.float64)
        product = float(approximation.inner_product_with(self._block))
        squared = self._norm_squared - 2 * product + float(approximation.norm_squared())
        return _relative(squared, self._norm_squared)

    def error_2(self, approximation: ApproximateBlock) -> float:
        """``‖spec F − spec F̂‖₂ / ‖spec F‖₂``, to three digits or 1e-5; NaN where F vanishes."""
        approximation = approximation.in_dtype(torch.float64)
        total = float(approximation.norm_squared())
        count = min(_FIRST_EIGENVALUES, len(self.spectrum))
        while True:
            largest = approximation.largest_eigenvalues(count)[: len(self.spectrum)]
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


def _relative(squared: float, norm_squared: float) -> float:
    return math.sqrt(max(0.0, squared) / norm_squared) if norm_squared else math.nan
