"""The inverse of a damped sum of Kronecker products: in closed form where there is one, else by iteration."""

from __future__ import annotations

from torch import Tensor

from ngbench.curvature.inverses.damping import Damping, shifts_of
from ngbench.curvature.inverses.diagonalised import invert_normal, invert_two
from ngbench.curvature.inverses.factored import BlockInverse, invert_one, shifted
from ngbench.curvature.inverses.iterative import IterativeInverse
from ngbench.curvature.inverses.projected import ProjectedInverse, ProjectedNormalInverse, project, side_of
from ngbench.curvature.linalg import low_rank
from ngbench.curvature.linalg.products import Terms

__all__ = ["invert"]


def invert(terms: Terms, damping: Damping) -> BlockInverse:
    """The inverse of the damped sum: in closed form for one product, and for two under factored damping.

    Factors that are wide and of low rank are projected on their range first; see
    :mod:`ngbench.curvature.inverses.projected`. The inverse may keep tensors of ``terms``, which must not be changed in
    place afterwards.

    Args:
        terms: one or more products, the first one of positive semi-definite factors.
        damping: of the sum.

    Raises:
        ValueError: ``second_term="absolute"`` with three products or more.
    """
    rank = len(terms)
    if rank > 2 and damping.second_term == "absolute":
        raise ValueError(f"second_term='absolute' is not allowed with a sum of {rank} products: only 'clamp' is")
    if damping.kind == "normal":
        return _invert_normal(terms, damping.value)
    shifts = shifts_of(*terms[0], damping)
    if not _is_wide(terms):
        return _invert_factored(terms, shifts, damping)
    projection = project(terms, (float(shifts[0]), float(shifts[1])), _CUBES[min(rank, 2)])
    if projection is None:
        return _invert_factored(terms, shifts, damping)
    core = _invert_factored(projection.terms, shifts, damping)
    (a, g), (a_core, g_core) = terms[0], projection.terms[0]
    a_side, a_info = side_of(a, a_core, projection.a, shifts[0])
    g_side, g_info = side_of(g, g_core, projection.g, shifts[1])
    return ProjectedInverse(core, a_side, g_side, core.info + a_info + g_info)


def _is_wide(terms: Terms) -> bool:
    return any(len(factor) >= low_rank.WIDE for factor in terms[0])


def _invert_factored(terms: Terms, shifts: tuple[Tensor, Tensor], damping: Damping) -> BlockInverse:
    if len(terms) == 1:
        return invert_one(terms[0], shifts)
    inverse = invert_two(terms[:2], shifts, second_term=damping.second_term, floor=damping.floor)
    if len(terms) == 2:
        return inverse
    (a, g), *others = terms
    damped = shifted(a, shifts[0]), shifted(g, shifts[1])
    return IterativeInverse((damped, *others), 0.0, inverse, inverse.info)


def _invert_normal(terms: Terms, value: float) -> BlockInverse:
    projection = project(terms, value, _CUBES[0]) if _is_wide(terms) else None
    core_terms = terms if projection is None else projection.terms
    core: BlockInverse = invert_normal(core_terms[0], value)
    if len(terms) > 1:
        core = IterativeInverse(core_terms, value, core, core.info)
    return core if projection is None else ProjectedNormalInverse(core, projection.a, projection.g, value, core.info)


# Operations of the inverse in units of d³ (see measurement/operations.py): a diagonalisation for normal damping; a
# Cholesky factorisation and its inverse for one product; a factorisation, three solves and a diagonalisation for two.
_CUBES = {0: 9.0, 1: 1.0, 2: 12.0}
