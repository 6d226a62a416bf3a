"""The inverse of a damped sum of Kronecker products: in closed form where there is one, else by iteration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

import torch
from torch import Tensor

from ngbench.curvature.bounds import Positive, PositiveShare, check
from ngbench.curvature.inverses.projected import ProjectedInverse, ProjectedNormalInverse, Side, project, side_of
from ngbench.curvature.inverses.two_term import DiagonalisedInverse, SecondTerm, invert_normal, invert_two_shifted
from ngbench.curvature.kronecker import low_rank
from ngbench.curvature.kronecker.sums import (
    FactoredInverse,
    KroneckerInverse,
    KroneckerSum,
    factor_shifts,
    invert_shifted,
    shifted,
)

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
            :func:`~ngbench.curvature.inverses.two_term.invert_two_term`.
        floor: of ``second_term="clamp"``.
        raised: how far factored damping was raised above the rounding errors of the factors; see
            :func:`~ngbench.curvature.kronecker.sums.factor_shifts`.

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

    @property
    def iterates(self) -> bool:
        return True

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

    Factors that are wide and of low rank are projected on their range first; see
    :mod:`ngbench.curvature.inverses.projected`. The inverse may keep tensors of ``total``, which must not be changed in
    place afterwards.

    Args:
        total: one or more products, the first one of positive semi-definite factors.
        damping: λ is divided by ``positions``, under factored damping as in the published runs, and under normal
            damping so that one λ means the same for both kinds; (4.54) itself has λ.
        positions: T of a convolution.

    Raises:
        ValueError: ``second_term="absolute"`` with three products or more.
    """
    rank = len(total.terms)
    if rank > 2 and damping.second_term == "absolute":
        raise ValueError(f"second_term='absolute' is not allowed with a sum of {rank} products: only 'clamp' is")
    value = damping.value / positions
    if damping.kind == "normal":
        return _invert_normal(total, value)
    shifts = factor_shifts(*total.terms[0], value, use_pi=damping.use_pi, raised=damping.raised)
    if not _is_wide(total):
        return _invert_factored(total, shifts, damping)
    projection = project(total, (float(shifts[0]), float(shifts[1])), _CUBES[min(rank, 2)])
    if projection is None:
        return _invert_factored(total, shifts, damping)
    core = _invert_factored(projection.total, shifts, damping)
    (a, g), (a_core, g_core) = total.terms[0], projection.total.terms[0]
    a_side, a_info = side_of(a, a_core, projection.a, shifts[0])
    g_side, g_info = side_of(g, g_core, projection.g, shifts[1])
    return ProjectedInverse(core, a_side, g_side, core.info + a_info + g_info)


def _is_wide(total: KroneckerSum) -> bool:
    return any(len(factor) >= low_rank.WIDE for factor in total.terms[0])


def _invert_factored(total: KroneckerSum, shifts: tuple[Tensor, Tensor], damping: Damping) -> KroneckerInverse:
    if len(total.terms) == 1:
        return invert_shifted(total, shifts)
    two = KroneckerSum(total.terms[:2])
    inverse = invert_two_shifted(two, shifts, second_term=damping.second_term, floor=damping.floor)
    if len(total.terms) == 2:
        return inverse
    (a, g), *others = total.terms
    damped = shifted(a, shifts[0]), shifted(g, shifts[1])
    return IterativeInverse(KroneckerSum((damped, *others)), 0.0, inverse, inverse.info)


def _invert_normal(total: KroneckerSum, value: float) -> KroneckerInverse:
    projection = project(total, value, _CUBES[0]) if _is_wide(total) else None
    core_total = total if projection is None else projection.total
    core: KroneckerInverse = invert_normal(KroneckerSum(core_total.terms[:1]), value)
    if len(total.terms) > 1:
        core = IterativeInverse(core_total, value, core, core.info)
    return core if projection is None else ProjectedNormalInverse(core, projection.a, projection.g, value, core.info)


# Operations of the inverse in units of d³ (see measurement/operations.py): a diagonalisation for normal damping; a
# Cholesky factorisation and its inverse for one product; a factorisation, three solves and a diagonalisation for two.
_CUBES = {0: 9.0, 1: 1.0, 2: 12.0}

_KINDS: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        FactoredInverse,
        DiagonalisedInverse,
        IterativeInverse,
        ProjectedInverse,
        ProjectedNormalInverse,
        Side,
    )
}


def pack_inverse(inverse: KroneckerInverse) -> dict[str, Any]:
    """Tensors and numbers from which :func:`unpack_inverse` makes the inverse again."""
    return _pack(inverse)


def _pack(part: Any) -> dict[str, Any]:
    def pack(value: Any) -> Any:
        if type(value).__name__ in _KINDS:
            return _pack(value)
        return [list(term) for term in value.terms] if isinstance(value, KroneckerSum) else value

    return {"kind": type(part).__name__, **{entry.name: pack(getattr(part, entry.name)) for entry in fields(part)}}


def unpack_inverse(state: Mapping[str, Any], place: Callable[[Tensor], Tensor]) -> KroneckerInverse:
    """The inverse that was packed, its tensors put through ``place``."""
    inverse: KroneckerInverse = _unpack(state, place)
    return inverse


def _unpack(state: Mapping[str, Any], place: Callable[[Tensor], Tensor]) -> Any:
    def unpack(value: Any) -> Any:
        if isinstance(value, Tensor):
            return place(value)
        if isinstance(value, Mapping):
            return _unpack(value, place)
        return KroneckerSum(tuple((place(a), place(g)) for a, g in value)) if isinstance(value, list) else value

    return _KINDS[state["kind"]](**{name: unpack(value) for name, value in state.items() if name != "kind"})
