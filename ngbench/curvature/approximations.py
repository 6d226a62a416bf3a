"""Kronecker approximations of a Fisher block: each is one function from a block to a :class:`KroneckerSum`."""

from __future__ import annotations

from collections.abc import Callable

from ngbench.curvature.fisher import FisherBlock
from ngbench.curvature.kronecker import KroneckerSum

__all__ = ["Approximation", "kfac"]

Approximation = Callable[[FisherBlock], KroneckerSum]


def kfac(block: FisherBlock) -> KroneckerSum:
    """``A ⊗ G`` of Kronecker-factored approximate curvature: (3.19), and (3.29) with several positions."""
    return KroneckerSum((block.kfac_factors(),))
