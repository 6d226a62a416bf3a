"""What is added to a Fisher block, or to an approximation of it, before it is inverted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ngbench.curvature.bounds import Positive, PositiveShare, check

__all__ = ["Damping", "DampingKind", "SecondTerm", "factor_shifts", "shifts_of"]

DampingKind = Literal["factored", "normal"]
SecondTerm = Literal["clamp", "absolute"]


@dataclass(frozen=True)
class Damping:
    """How a curvature is made positive definite.

    Attributes:
        value: λ > 0.
        kind: ``"factored"`` adds ``π√λI`` and ``π⁻¹√λI`` to the factors A and G of KFAC or of the first product of a
            sum (3.1.2), and what that adds to their product, ``π√λ I ⊗ G + π⁻¹√λ A ⊗ I + λI``, to an exact block;
            ``"normal"`` adds λI to the whole (4.50, 4.54).
        use_pi: balance factored damping by the ratio of the average eigenvalues of the factors; otherwise π = 1.
        second_term: what becomes of the directions in which two products cancel; see
            :func:`~ngbench.curvature.inverses.diagonalised.invert_two`.
        floor: of ``second_term="clamp"``.
        raised: how far factored damping was raised above the rounding errors of the factors; see
            :func:`factor_shifts`.

    Raises:
        ValueError: a value is out of range, or ``second_term="absolute"`` with normal damping.
    """

    value: float
    kind: DampingKind = "factored"
    use_pi: bool = True
    second_term: SecondTerm = "clamp"
    floor: float = 0.1
    raised: int = 0

    def __post_init__(self) -> None:
        check("damping", self.value, Positive)
        check("damping_kind", self.kind, DampingKind)
        check("use_pi", self.use_pi, bool)
        check("second_term", self.second_term, SecondTerm)
        check("floor", self.floor, PositiveShare)
        if self.second_term == "absolute" and self.kind == "normal":
            raise ValueError(
                "second_term='absolute' is not allowed with damping_kind='normal': only 'clamp' is, for a sum of two"
                " products and λI has no common eigenbasis"
            )


def pi_ratio(a: Tensor, g: Tensor) -> Tensor:
    """``π = √((tr A / dim A) / (tr G / dim G))`` (3.1.2): a scalar tensor, 1 where a trace vanishes."""
    ratio = (a.diagonal().mean() / g.diagonal().mean()).sqrt()
    return torch.where(torch.isfinite(ratio) & (ratio > 0), ratio, torch.ones_like(ratio))


def factor_shifts(a: Tensor, g: Tensor, damping: float, *, use_pi: bool, raised: int = 0) -> tuple[Tensor, Tensor]:
    """``π√λ`` and ``π⁻¹√λ`` (3.1.2, 1.50), scalar tensors.

    Args:
        a: ``(d_in, d_in)``.
        g: ``(d_out, d_out)``.
        damping: λ > 0.
        use_pi: balance by :func:`pi_ratio`; otherwise π = 1.
        raised: k > 0 takes for each factor at least ``4ᵏ`` times its trace times the unit of rounding: what rounding
            made indefinite, in the sum over many patches, is positive definite for a k that is not known beforehand.
    """
    pi = pi_ratio(a, g) if use_pi else torch.ones((), dtype=a.dtype, device=a.device)
    for_a, for_g = pi * damping**0.5, damping**0.5 / pi
    if not raised:
        return for_a, for_g
    return torch.maximum(for_a, _least_shift(a, raised)), torch.maximum(for_g, _least_shift(g, raised))


def shifts_of(a: Tensor, g: Tensor, damping: Damping) -> tuple[Tensor, Tensor]:
    """:func:`factor_shifts` of a damping."""
    return factor_shifts(a, g, damping.value, use_pi=damping.use_pi, raised=damping.raised)


def _least_shift(factor: Tensor, raised: int) -> Tensor:
    return factor.diagonal().sum() * (4.0**raised * torch.finfo(factor.dtype).eps)
