"""Kronecker approximations of a Fisher block: each is one function from a block to a :class:`KroneckerSum`.

``kpsvd``, ``deflation`` and ``lanczos`` give the sum of r Kronecker products of symmetric matrices that is nearest to
F in Frobenius norm: the r dominant singular triplets of ``Z(F)`` (Theorem 3.14). The factors of the first product are
positive semi-definite (Proposition 3.2); later products may have any sign, and one beyond the rank of ``Z(F)`` is zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Literal

import torch
from torch import Tensor

from ngbench.curvature.blocks.block import FisherBlock
from ngbench.curvature.blocks.linear import LinearBlock
from ngbench.curvature.blocks.moments import second_moment
from ngbench.curvature.blocks.positions import PositionBlock
from ngbench.curvature.blocks.truncation import TruncatedBlock
from ngbench.curvature.bounds import Count, Precision, Range, checked
from ngbench.curvature.kronecker.compressed import CompressedRearrangement, compression_operations, is_compressible
from ngbench.curvature.kronecker.declaration import PredictedCost, Setting, declares
from ngbench.curvature.kronecker.estimate import Estimate
from ngbench.curvature.kronecker.gram_space import GramRearrangement, choose_route
from ngbench.curvature.kronecker.rearrangement import DirectRearrangement, Rearrangement
from ngbench.curvature.kronecker.singular import Deflated, Spectrum, Triplet, lanczos_bidiagonalisation, power_svd
from ngbench.curvature.kronecker.sums import KroneckerSum
from ngbench.curvature.linalg.eigen import symmetric_eigen

__all__ = ["MAX_ITERATIONS", "PRECISION", "deflation", "kfac", "kfac_corrected", "kpsvd", "lanczos"]

Route = Literal["auto", "direct", "gram"]

PRECISION = 1e-6
MAX_ITERATIONS = 200
# What a warm start keeps of the cold one, lest it be orthogonal to what is looked for. A start near a lesser singular
# vector passes for converged unless the share of the dominant one, _COLD_SHARE/√m, exceeds precision · σ₁/σ₂.
_COLD_SHARE = 0.05


def _table_3_1(
    order: str, estimate: Callable[[Setting], tuple[float, float]], cubes: str = "2ℓd³", products: str = "2ℓd³"
) -> Callable[[Setting], dict[str, PredictedCost]]:
    """A row of the thesis' Table 3.1: the orders of F̂, F̂⁻¹ and F̂⁻¹∇h, with the sizes of a layer.

    The table is written for ℓ layers of equal width d. Here a layer has its own ``d_in`` and ``d_out``, and T positions
    if it is a convolution, so that ``2ℓmd²`` becomes ``Σ mT(d_in² + d_out²)`` and ``2ℓd³`` becomes
    ``Σ (d_in³ + d_out³)`` for inverses, ``Σ (d_out²d_in + d_out d_in²)`` for products. The constants ``c₁`` and ``c₂``
    of the two-term solution are implementation constants: taken as 2, they show in the ratio of what was measured to
    what is predicted. The table counts a multiplication and its addition as one operation; here they are two.

    The iteration numbers k₁ and k₂ are those that the run measures. They count every search, so that the two searches
    of Deflation are one sum.

    Args:
        order: of F̂, as the table writes it.
        estimate: its value for one layer without iterations, and for each iteration.
        cubes: the order of F̂⁻¹.
        products: that of F̂⁻¹∇h.
    """

    def costs(setting: Setting) -> dict[str, PredictedCost]:
        d_in, d_out = setting.d_in, setting.d_out
        fixed, per_iteration = estimate(setting)
        return {
            "accumulate": PredictedCost(order, 2 * fixed, 2 * per_iteration),
            "refresh": PredictedCost(cubes, 2.0 * (d_in**3 + d_out**3)),
            "precondition": PredictedCost(products, 2.0 * (d_out**2 * d_in + d_out * d_in**2)),
        }

    return costs


def _moments(setting: Setting) -> float:
    return float(setting.examples * setting.positions * (setting.d_in**2 + setting.d_out**2))


def _lanczos_estimate(setting: Setting) -> tuple[float, float]:
    dimension = setting.options["dimension"]
    bases = dimension**3 + dimension * (setting.d_in**2 + setting.d_out**2)
    return bases, 2 * _moments(setting)


@declares(costs=_table_3_1("2ℓmd²", lambda setting: (_moments(setting), 0)))
def kfac(block: FisherBlock, previous: KroneckerSum | None = None) -> Estimate:
    """``A ⊗ G`` of Kronecker-factored approximate curvature: (3.19), and (3.29) with several positions."""
    return Estimate(KroneckerSum((block.kfac_factors(),)))


@declares(costs=_table_3_1("4k₁ℓmd²", lambda setting: (0, 2 * _moments(setting))))
@checked
def kpsvd(
    block: FisherBlock,
    previous: KroneckerSum | None = None,
    *,
    precision: Precision = PRECISION,
    max_iterations: Count = MAX_ITERATIONS,
    route: Route = "auto",
) -> Estimate:
    """The nearest Kronecker product (3.22), by the power method.

    Args:
        block: the Fisher block.
        previous: where the iteration starts.
        precision: an iteration stops when ``‖Zv − σu‖`` is at most this share of σ₁.
        max_iterations: of the power method.
        route: as for :func:`deflation`.

    Raises:
        ValueError: as for :func:`deflation`.
    """
    return deflation(block, previous, rank=1, precision=precision, max_iterations=max_iterations, route=route)


@declares(
    costs=_table_3_1("4k₁ℓmd² + 4k₁ℓmd²", lambda setting: (0, 2 * _moments(setting)), "c₁ℓd³", "c₂ℓd³"),
)
@checked
def deflation(
    block: FisherBlock,
    previous: KroneckerSum | None = None,
    *,
    rank: Count = 2,
    precision: Precision = PRECISION,
    max_iterations: Count = MAX_ITERATIONS,
    route: Route = "auto",
) -> Estimate:
    """The nearest sum of ``rank`` Kronecker products, one after another by the power method (3.2.3.1).

    Args:
        block: the Fisher block.
        previous: where the iterations start.
        rank: how many products.
        precision: an iteration stops when ``‖Zv − σu‖`` is at most this share of σ₁.
        max_iterations: of the power method, for each product.
        route: through Gram matrices (Linear layers alone), by direct products, or by what needs fewer operations of
            these and, for several positions, of products in bases of the patches and derivatives.

    Raises:
        ValueError: ``route="gram"`` for a block that has no Gram form.
    """
    z = rearrange(block, rank, route)
    generator = torch.Generator().manual_seed(0)
    found: list[Triplet] = []
    spectra = []
    for i in range(rank):
        remainder = Deflated(z, [(triplet.u * triplet.sigma, triplet.v) for triplet in found])
        cold = z.random_left(generator) if found else z.positive_left()
        start = _start(z, cold, previous.terms[i : i + 1] if previous else (), found)
        spectrum = power_svd(
            remainder,
            start,
            precision=precision,
            max_iterations=max_iterations,
            scale=found[0].sigma if found else None,
            cold=cold,
        )
        spectra.append(spectrum)
        found += spectrum.triplets
    return _estimate(z, _factors(block, z, found), {f"term_{i + 1}": s for i, s in enumerate(spectra)})


@declares(
    costs=_table_3_1("2ℓmd² + 4k₁ℓmd²", lambda setting: (_moments(setting), 2 * _moments(setting)), "c₁ℓd³", "c₂ℓd³"),
)
@checked
def kfac_corrected(
    block: FisherBlock,
    previous: KroneckerSum | None = None,
    *,
    precision: Precision = PRECISION,
    max_iterations: Count = MAX_ITERATIONS,
    route: Route = "auto",
) -> Estimate:
    """KFAC's product plus the one nearest to what it leaves (3.26), by the power method.

    Args:
        block: the Fisher block.
        previous: where the iteration starts.
        precision: it stops when ``‖Zv − σu‖`` is at most this share of ``‖A ⊗ G‖``, the norm of KFAC's product.
        max_iterations: of the power method.
        route: as for :func:`deflation`.

    Raises:
        ValueError: as for :func:`deflation`.
    """
    z = rearrange(block, 1, route)
    left, right = z.kfac_pair()
    cold = z.random_left(torch.Generator().manual_seed(0))
    start = _start(z, cold, previous.terms[1:2] if previous else ())
    spectrum = power_svd(
        Deflated(z, [(left, right)]),
        start,
        precision=precision,
        max_iterations=max_iterations,
        scale=z.left_norm(left) * z.right_norm(right),
        cold=cold,
    )
    terms = [block.kfac_factors(), z.factors(spectrum.triplets[0])]
    return _estimate(z, terms, {"term_2": spectrum})


@declares(costs=_table_3_1("4k₂ℓmd² + ℓK³ + 2ℓKd²", _lanczos_estimate, "c₁ℓd³", "c₂ℓd³"))
@checked
def lanczos(
    block: FisherBlock,
    previous: KroneckerSum | None = None,
    *,
    rank: Count = 2,
    dimension: Annotated[int, Range(minimum=2)] = 10,
    precision: Precision = PRECISION,
    max_iterations: Count = MAX_ITERATIONS,
    route: Route = "auto",
) -> Estimate:
    """The nearest sum of ``rank`` Kronecker products, all at once by Lanczos bidiagonalisation (3.2.3.2).

    Args:
        block: the Fisher block.
        previous: where the iteration starts.
        rank: how many products.
        dimension: K > ``rank`` of the Krylov space.
        precision: it stops when ``‖Zv − σu‖`` is at most this share of σ₁, for each product.
        max_iterations: of the bidiagonalisation, restarts included.
        route: as for :func:`deflation`.

    Raises:
        ValueError: ``dimension`` is not larger than ``rank``, or as for :func:`deflation`.
    """
    if dimension <= rank:
        raise ValueError(f"dimension={dimension} is not allowed: with rank={rank} it must be at least {rank + 1}")
    z = rearrange(block, rank, route)
    generator = torch.Generator().manual_seed(0)
    positive = z.positive_left()
    # The random part is the smaller one, so that the two never cancel.
    cold = _unit(z, positive) + 0.5 * _unit(z, z.random_left(generator))
    start = _start(z, cold, previous.terms if previous else ())
    spectrum = lanczos_bidiagonalisation(
        z,
        start,
        rank=rank,
        dimension=dimension,
        precision=precision,
        max_iterations=max_iterations,
        generator=generator,
        norm_squared=z.norm_squared(),
    )
    spectrum = _positive_first(z, spectrum, positive, precision)
    return _estimate(z, _factors(block, z, spectrum.triplets), {"krylov": spectrum})


def rearrange(block: FisherBlock, terms: int, route: Route = "auto") -> Rearrangement:
    """``Z(F)`` by the route asked for; ``"auto"`` is the one with the fewer operations for ``terms`` triplets.

    Raises:
        ValueError: ``route="gram"`` for a block that has no Gram form.
    """
    if isinstance(block, LinearBlock) and route != "direct":
        return choose_route(block, terms) if route == "auto" else GramRearrangement(block)
    if route == "gram":
        raise ValueError(f"route='gram' is not allowed for {type(block).__name__}: only 'auto' and 'direct' are")
    if route == "auto" and isinstance(block, PositionBlock) and is_compressible(block):
        compressed, direct = compression_operations(block, terms)
        if compressed < direct:
            return CompressedRearrangement(block)
    return DirectRearrangement(block)


def _start(
    z: Rearrangement, cold: Tensor, terms: Sequence[tuple[Tensor, Tensor]], found: Sequence[Triplet] = ()
) -> Tensor:
    """The direction of ``terms`` across the triplets ``found``, if Z wants one and they have one, else ``cold``.

    On another batch, an earlier second product may lie almost along the first triplet, of which nothing is left.
    """
    cold = _unit(z, cold)
    if not terms or not z.wants_warm_start:
        return cold
    warm = torch.stack([_unit(z, z.warm_left(term)) for term in terms]).sum(0)
    for triplet in found:
        warm = warm - triplet.u * float(z.left_products(triplet.u.unsqueeze(0), warm))
    warm = _unit(z, warm)
    return warm + _COLD_SHARE * cold if z.left_norm(warm) else cold


def _factors(block: FisherBlock, z: Rearrangement, triplets: Sequence[Triplet]) -> list[tuple[Tensor, Tensor]]:
    terms = [z.factors(triplet) for triplet in triplets]
    if isinstance(block, TruncatedBlock):
        # Of a truncated sum the dominant triplet may be indefinite: its nearest semi-definite factors stand for it.
        terms[0] = (_semi_definite(terms[0][0]), _semi_definite(terms[0][1]))
    return terms


def _semi_definite(matrix: Tensor) -> Tensor:
    """The nearest positive semi-definite matrix to ``matrix`` or its opposite, whichever has the larger trace."""
    if not matrix.isfinite().all():
        return matrix
    values, vectors = symmetric_eigen(matrix)
    return second_moment(vectors.T, (values if values.sum() >= 0 else -values).clamp(min=0))


def _unit(z: Rearrangement, u: Tensor) -> Tensor:
    length = z.left_norm(u)
    return u / length if length else u


def _positive_first(z: Rearrangement, spectrum: Spectrum, positive: Tensor, precision: float) -> Spectrum:
    """The same sum with a first triplet that is positive semi-definite.

    Singular vectors are given up to their sign, and those of (nearly) equal σ up to a rotation, which changes their sum
    by no more than the difference. Of equal ones the first becomes the one to which the power method leads from a
    positive semi-definite matrix, through iterates that all are.
    """
    triplets = spectrum.triplets
    tied = [t for t in triplets if t.sigma and t.sigma >= (1 - 4 * precision) * triplets[0].sigma]
    if not tied:
        return spectrum
    left, right = torch.stack([t.u for t in tied]), torch.stack([t.v for t in tied])
    if len(tied) == 1:
        sign = 1.0 if float(z.left_products(left, positive)) >= 0 else -1.0
        first = Triplet(triplets[0].u * sign, triplets[0].sigma, triplets[0].v * sign)
        return replace(spectrum, triplets=(first, *triplets[1:]))
    search = power_svd(z, positive, precision=precision, max_iterations=MAX_ITERATIONS)
    first = search.triplets[0]
    shares = z.left_products(left, first.u).unsqueeze(1)
    # The columns after the first one span what is orthogonal to the shares.
    rotation = torch.linalg.qr(torch.cat([shares, torch.eye(len(tied), dtype=shares.dtype)], 1)).Q[:, 1:].to(left)
    sigma = sum(t.sigma for t in tied) / len(tied)
    others = [
        Triplet(torch.tensordot(column, left, dims=1), sigma, torch.tensordot(column, right, dims=1))
        for column in rotation.T
    ]
    return replace(
        spectrum,
        triplets=(first, *others, *triplets[len(tied) :]),
        iterations=spectrum.iterations + search.iterations,
    )


def _estimate(z: Rearrangement, terms: Sequence[tuple[Tensor, Tensor]], searches: Mapping[str, Spectrum]) -> Estimate:
    value = KroneckerSum(tuple(terms))
    residuals = {
        (f"term_{i + 1}" if name == "krylov" else name): residual
        for name, search in searches.items()
        for i, residual in enumerate(search.residuals)
    }
    return Estimate(
        value,
        iterations={name: search.iterations for name, search in searches.items()},
        residuals=residuals,
        converged=all(search.converged for search in searches.values()),
        start=value if z.wants_warm_start else None,
    )
