"""The inverse of a damped sum of Kronecker products: in closed form where there is one, else by iteration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

import torch
from torch import Tensor

from ngbench.curvature.kronecker import (
    FactoredInverse,
    KroneckerInverse,
    KroneckerSum,
    damped_factors,
    invert_factored,
)
from ngbench.curvature.two_term import DiagonalisedInverse, SecondTerm, invert_normal, invert_two_term

__all__ = ["Damping", "DampingKind", "IterativeInverse", "invert", "pack_inverse", "unpack_inverse"]

DampingKind = Literal["factored", "normal"]

_PRECISION = 1e-6
_MAX_ITERATIONS = 100


@dataclass(frozen=True)
class Damping:
    """How a sum of Kronecker products is made positive definite.

    Attributes:
        value: λ > 0.
        kind: ``"factored"`` adds ``π√λI`` and ``π⁻¹√λI`` to the factors of the first product (3.1.2); ``"normal"`` adds
            λI to the sum (4.54).
        use_pi: balance factored damping by the ratio of the average eigenvalues of the factors; otherwise π = 1.
        second_term: what becomes of the directions in which two products cancel; see
            :func:`~ngbench.curvature.two_term.invert_two_term`.
        floor: of ``second_term="clamp"``.
        raised: factored damping is at least what makes the factors positive definite in their precision.

    Raises:
        ValueError: a value is out of range, or ``second_term="absolute"`` with normal damping.
    """

    value: float
    kind: DampingKind = "factored"
    use_pi: bool = True
    second_term: SecondTerm = "clamp"
    floor: float = 0.1
    raised: bool = False

    def __post_init__(self) -> None:
        if not self.value > 0:
            raise ValueError(f"damping={self.value!r} is not allowed: > 0")
        if self.kind not in ("factored", "normal"):
            raise ValueError(f"damping_kind={self.kind!r} is not allowed: 'factored' or 'normal'")
        if self.second_term not in ("clamp", "absolute"):
            raise ValueError(f"second_term={self.second_term!r} is not allowed: 'clamp' or 'absolute'")
        if not 0 < self.floor <= 1:
            raise ValueError(f"floor={self.floor!r} is not allowed: in (0, 1]")
        if self.second_term == "absolute" and self.kind == "normal":
            raise ValueError(
                "second_term='absolute' is not allowed with damping_kind='normal': only 'clamp' is, for a sum of two"
                " products and λI has no common eigenbasis"
            )


@dataclass
class IterativeInverse(KroneckerInverse):
    """The inverse of ``Σ_r A_r ⊗ G_r + shift · I`` by preconditioned conjugate gradients.

    A sum of three products, or of two and λI, has no common eigenbasis. The iteration stops at a residual of 1e-6 of
    the right-hand side, after 100 products, or where it meets a direction of negative curvature (the later products of
    a sum may be indefinite). It then keeps what it has, or the preconditioned right-hand side if it has nothing, as
    truncated Newton methods do (Steihaug 1983): either way a descent direction, since the preconditioner is positive
    definite.

    Attributes:
        total: the products, damping of factors included.
        shift: λ of normal damping, else 0.
        preconditioner: positive definite.
        iterations: of the last product.
        residual: that it left, relative to the right-hand side.
        negative_curvature: whether it met any.
    """

    total: KroneckerSum
    shift: float
    preconditioner: KroneckerInverse
    info: Tensor
    iterations: int = 0
    residual: float = 0.0
    negative_curvature: bool = False

    def times(self, matrix: Tensor) -> Tensor:
        solution, residual = torch.zeros_like(matrix), matrix.clone()
        size = float(torch.linalg.vector_norm(matrix, dtype=torch.float64))
        preconditioned = self.preconditioner.times(residual)
        direction, product = preconditioned, _dot(residual, preconditioned)
        self.iterations, self.residual, self.negative_curvature = 0, 1.0 if size else 0.0, False
        while self.residual > _PRECISION and self.iterations < _MAX_ITERATIONS:
            image = self.total.times(direction).add_(direction, alpha=self.shift)
            self.iterations += 1
            curvature = _dot(direction, image)
            if not curvature > 0:
                self.negative_curvature = True
                return solution if self.iterations > 1 else direction
            length = product / curvature
            solution.add_(direction, alpha=length)
            residual.sub_(image, alpha=length)
            self.residual = float(torch.linalg.vector_norm(residual, dtype=torch.float64)) / size
            preconditioned = self.preconditioner.times(residual)
            previous, product = product, _dot(residual, preconditioned)
            direction = preconditioned.add(direction, alpha=product / previous)
        return solution

    def diagnostics(self) -> dict[str, float]:
        return {
            "solve_iterations": float(self.iterations),
            "solve_residual": self.residual,
            "negative_curvature": float(self.negative_curvature),
        }


def _dot(x: Tensor, y: Tensor) -> float:
    return float(torch.sum(x * y, dtype=torch.float64))


def invert(total: KroneckerSum, damping: Damping, positions: int = 1) -> KroneckerInverse:
    """The inverse of the damped sum: in closed form for one product, and for two under factored damping.

    Args:
        total: one or more products, the first one of positive semi-definite factors.
        damping: λ is divided by ``positions``.
        positions: T of a convolution.

    Raises:
        ValueError: ``second_term="absolute"`` with three products or more.
    """
    value = damping.value / positions
    first, rank = KroneckerSum(total.terms[:1]), len(total.terms)
    if damping.kind == "normal":
        diagonalised = invert_normal(first, value)
        return diagonalised if rank == 1 else IterativeInverse(total, value, diagonalised, diagonalised.info)
    if rank == 1:
        return invert_factored(first, value, use_pi=damping.use_pi, raised=damping.raised)
    if rank > 2 and damping.second_term == "absolute":
        raise ValueError(f"second_term='absolute' is not allowed with a sum of {rank} products: only 'clamp' is")
    two = KroneckerSum(total.terms[:2])
    inverse = invert_two_term(
        two,
        value,
        use_pi=damping.use_pi,
        second_term=damping.second_term,
        floor=damping.floor,
        raised=damping.raised,
    )
    if rank == 2:
        return inverse
    damped = damped_factors(*total.terms[0], value, use_pi=damping.use_pi, raised=damping.raised)
    return IterativeInverse(KroneckerSum((damped, *total.terms[1:])), 0.0, inverse, inverse.info)


_KINDS: dict[str, type[KroneckerInverse]] = {
    kind.__name__: kind for kind in (FactoredInverse, DiagonalisedInverse, IterativeInverse)
}


def pack_inverse(inverse: KroneckerInverse) -> dict[str, Any]:
    """Tensors and numbers from which :func:`unpack_inverse` makes the inverse again."""

    def pack(value: Any) -> Any:
        if isinstance(value, KroneckerInverse):
            return pack_inverse(value)
        return [list(term) for term in value.terms] if isinstance(value, KroneckerSum) else value

    return {
        "kind": type(inverse).__name__,
        **{entry.name: pack(getattr(inverse, entry.name)) for entry in fields(inverse)},  # type: ignore[arg-type]
    }


def unpack_inverse(state: Mapping[str, Any], place: Callable[[Tensor], Tensor]) -> KroneckerInverse:
    """The inverse that was packed, its tensors put through ``place``."""

    def unpack(value: Any) -> Any:
        if isinstance(value, Tensor):
            return place(value)
        if isinstance(value, Mapping):
            return unpack_inverse(value, place)
        return KroneckerSum(tuple((place(a), place(g)) for a, g in value)) if isinstance(value, list) else value

    return _KINDS[state["kind"]](**{name: unpack(value) for name, value in state.items() if name != "kind"})
