from __future__ import annotations

import pytest
import torch
from oracle import vec
from rearranged import CASES, LINEAR, Case, case, linear
from torch import nn

from ngbench.curvature.blocks.linear import LinearBlock
from ngbench.curvature.kronecker import gram_space
from ngbench.curvature.kronecker.approximations import deflation, kfac_corrected, kpsvd, lanczos, rearrange
from ngbench.curvature.kronecker.gram_space import GramRearrangement
from ngbench.curvature.kronecker.rearrangement import DirectRearrangement
from ngbench.curvature.kronecker.singular import Deflated, Triplet, lanczos_bidiagonalisation, power_svd


def _close(actual, expected, tolerance=1e-10):
    assert actual.shape == expected.shape
    assert (actual - expected).norm() <= tolerance * expected.norm()


def _symmetric(d, generator):
    matrix = torch.randn(d, d, dtype=torch.float64, generator=generator)
    return matrix + matrix.T


@pytest.mark.parametrize(("make", "options"), CASES.values(), ids=CASES)
def test_direct_products_are_those_of_the_explicit_rearrangement_among_symmetric_matrices(make, options):
    given = make(**options)
    z, generator = DirectRearrangement(given.block), torch.Generator().manual_seed(1)
    u, v = _symmetric(given.block.d_in, generator), _symmetric(given.block.d_out, generator)
    _close(vec(z.times(v)), given.symmetric_z() @ vec(v))
    _close(vec(z.transpose_times(u)), given.symmetric_z().T @ vec(u))


def _matrices(z, u, v):
    """The matrices that vectors of Gram space stand for."""
    return z.factors(Triplet(u, 0.0, v))


@pytest.mark.parametrize("options", LINEAR.values(), ids=LINEAR)
def test_products_in_gram_space_are_those_of_the_explicit_rearrangement(options):
    given = linear(**options)
    z, generator = GramRearrangement(given.block), torch.Generator().manual_seed(1)
    u, v = z.random_left(generator), z.random_right(generator)
    left, right = _matrices(z, u, v)
    image, transposed = _matrices(z, z.times(v), z.transpose_times(u))
    _close(vec(image), given.z() @ vec(right))
    _close(vec(transposed), given.z().T @ vec(left))
    assert z.left_norm(u) == pytest.approx(float(left.norm()))
    assert z.right_norm(v) == pytest.approx(float(right.norm()))
    other = z.random_left(generator)
    assert z.left_products(torch.stack([u, other]), u).tolist() == pytest.approx(
        [float(left.norm() ** 2), float(torch.sum(_matrices(z, other, v)[0] * left))]
    )


@pytest.mark.parametrize("options", LINEAR.values(), ids=LINEAR)
def test_kfac_is_a_pair_of_vectors_on_both_routes(options):
    given = linear(**options)
    a, g = given.block.kfac_factors()
    z = GramRearrangement(given.block)
    for actual, expected in zip(_matrices(z, *z.kfac_pair()), (a, g), strict=True):
        _close(actual, expected)
    for actual, expected in zip(DirectRearrangement(given.block).kfac_pair(), (a, g), strict=True):
        _close(actual, expected)


@pytest.mark.parametrize("options", LINEAR.values(), ids=LINEAR)
@pytest.mark.parametrize("approximation", [kpsvd, deflation, lanczos, kfac_corrected])
def test_routes_agree(options, approximation):
    block = linear(**options).block
    # Vectors differ by the residual over the gap between singular values.
    tight = {"precision": 1e-15, "max_iterations": 3000}
    direct, gram = (approximation(block, route=route, **tight) for route in ("direct", "gram"))
    _close(gram.value.dense(), direct.value.dense())
    for one, other in zip(gram.value.terms, direct.value.terms, strict=True):
        _close(torch.kron(*one), torch.kron(*other))


@pytest.mark.parametrize(
    ("columns", "d_out", "piece"), [(2, 40, 2**24), (9, 3, 2**24), (9, 5, 1)], ids=["pairs", "moments", "pieces"]
)
def test_derivative_columns_are_summed_example_by_example_in_the_gram_matrix(columns, d_out, piece, monkeypatch):
    monkeypatch.setattr(gram_space, "_PIECE_NUMBERS", piece)
    g = torch.randn(columns * 4, d_out, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    block = LinearBlock(torch.ones(4, 2, dtype=torch.float64), g, constant=False)
    moments = torch.einsum("jbi,jbk->bik", g.reshape(columns, 4, d_out), g.reshape(columns, 4, d_out)).flatten(1)
    _close(gram_space._output_gram(block), moments @ moments.T)


def test_float32_keeps_the_digits_of_near_constant_inputs():
    generator = torch.Generator().manual_seed(0)
    inputs = 1 + 1e-3 * torch.randn(30, 40, generator=generator)
    block = LinearBlock(inputs, torch.randn(30, 5, generator=generator), constant=True)
    exact = LinearBlock(inputs.double(), block.derivatives.double(), constant=True)
    found, expected = GramRearrangement(block), GramRearrangement(exact)
    # The variation of K_A about its mean is 1e-6 of it, what float32 alone would lose to rounding.
    centre = torch.eye(30, dtype=torch.float64) - 1 / 30
    _close(centre @ found._input @ centre, centre @ expected._input @ centre, 1e-2)


@pytest.mark.parametrize(
    ("examples", "d_in", "d_out", "route"),
    [(32, 200, 100, GramRearrangement), (600, 6, 5, DirectRearrangement), (600, 6, 400, GramRearrangement)],
)
def test_a_linear_layer_takes_the_route_with_fewer_operations(examples, d_in, d_out, route):
    block = LinearBlock(torch.randn(examples, d_in), torch.randn(examples, d_out), constant=True)
    assert type(rearrange(block, 1)) is route


def test_only_a_linear_layer_has_a_gram_route():
    make, options = CASES["convolution-plain"]
    with pytest.raises(
        ValueError, match="route='gram' is not allowed for ConvolutionBlock: only 'auto' and 'direct' are"
    ):
        rearrange(make(**options).block, 1, "gram")


class _Diagonal:
    """A matrix with given singular values, and vectors that are vectors."""

    rounding = 1e-14

    def __init__(self, sigma):
        self.sigma = torch.tensor(sigma, dtype=torch.float64)
        self.products = 0

    def times(self, v):
        self.products += 1
        return self.sigma * v

    transpose_times = times

    def left_products(self, basis, u):
        return basis @ u

    right_products = left_products

    def left_norm(self, u):
        return float(u.norm())

    right_norm = left_norm

    def random_left(self, generator):
        return torch.randn(len(self.sigma), dtype=torch.float64, generator=generator)

    random_right = random_left


def _lanczos(z, **options):
    generator = torch.Generator().manual_seed(0)
    given = {"rank": 2, "dimension": 4, "precision": 1e-10, "max_iterations": 500, **options}
    return lanczos_bidiagonalisation(z, z.random_left(generator), generator=generator, **given)


def test_the_power_method_counts_pairs_of_products_and_reports_its_residual():
    z = _Diagonal([3.0, 1.0, 0.5])
    found = power_svd(z, torch.ones(3, dtype=torch.float64), precision=1e-8, max_iterations=100)
    (triplet,) = found.triplets
    assert found.converged
    assert z.products == 2 * found.iterations
    assert found.residuals[0] == pytest.approx(float((z.sigma * triplet.v - triplet.sigma * triplet.u).norm()) / 3)
    assert 1e-10 < found.residuals[0] <= 1e-8
    assert triplet.sigma == pytest.approx(3, abs=1e-8)


def test_a_power_method_that_is_cut_off_says_so():
    start = torch.ones(3, dtype=torch.float64)
    found = power_svd(_Diagonal([1.0, 0.999, 0.5]), start, precision=1e-8, max_iterations=5)
    assert not found.converged
    assert found.iterations == 5
    assert found.residuals[0] > 1e-8


def test_a_power_method_stops_where_rounding_keeps_it_from_its_precision():
    exact = linear(examples=20).block
    block = LinearBlock(exact.inputs.float(), exact.derivatives.float(), constant=True)
    found = deflation(block, precision=1e-12, max_iterations=10_000, route="direct")
    assert not found.converged
    assert max(found.iterations.values()) < 200
    assert all(1e-12 < residual < 1e-6 for residual in found.residuals.values())


def test_deflation_leaves_the_next_singular_value():
    z = _Diagonal([3.0, 2.0, 0.5])
    first = torch.tensor([1.0, 0, 0], dtype=torch.float64)
    start = torch.ones(3, dtype=torch.float64)
    found = power_svd(Deflated(z, [(3 * first, first)]), start, precision=1e-10, max_iterations=500, scale=3.0)
    assert found.triplets[0].sigma == pytest.approx(2)


@pytest.mark.parametrize(
    "sigma",
    [[3, 2, 1, 0.5, 0.1], [3, 3, 1, 0.5, 0.1], [3, 3, 3, 3, 3], [3, 2, 2, 1, 0.5], [3, 2.99, 2.98, 2.97, 1]],
    ids=["distinct", "double", "all-equal", "double-second", "clustered"],
)
@pytest.mark.parametrize("dimension", [3, 4, 5])
def test_lanczos_finds_the_largest_values_with_their_multiplicity(sigma, dimension):
    z = _Diagonal([float(s) for s in sigma])
    found = _lanczos(z, dimension=dimension)
    assert found.converged
    assert [triplet.sigma for triplet in found.triplets] == pytest.approx(sigma[:2], abs=1e-9)
    for triplet, residual in zip(found.triplets, found.residuals, strict=True):
        assert float((z.sigma * triplet.u - triplet.sigma * triplet.v).norm()) <= 1e-9
        assert residual <= 1e-10
    basis = torch.stack([triplet.v for triplet in found.triplets])
    torch.testing.assert_close(basis @ basis.T, torch.eye(2, dtype=torch.float64))


def test_a_norm_that_leaves_no_room_for_another_copy_spares_the_confirmation():
    for sigma in ([3.0, 2.0, 1.0, 0.5, 0.1, 0.0, 0.0, 0.0], [3.0, 3.0, 1.0, 0.5, 0.1, 0.0, 0.0, 0.0]):
        z = _Diagonal(sigma)
        plain, known = (_lanczos(z, dimension=8, norm_squared=n) for n in (float("inf"), float(z.sigma.square().sum())))
        assert [triplet.sigma for triplet in known.triplets] == pytest.approx(sigma[:2])
        assert known.iterations == plain.iterations if sigma[1] == 3 else known.iterations < plain.iterations


@pytest.mark.parametrize(("make", "options"), CASES.values(), ids=CASES)
def test_the_norm_of_the_rearrangement_is_that_of_the_block(make, options):
    given = make(**options)
    for route in ("direct", "gram") if isinstance(given.block, LinearBlock) else ("direct",):
        assert rearrange(given.block, 2, route).norm_squared() == pytest.approx(float(given.fisher.norm() ** 2))


def test_the_norm_is_left_open_where_it_costs_more_than_it_saves():
    block = linear(examples=100).block
    assert rearrange(block, 2, "direct").norm_squared() == float("inf")
    make, options = CASES["convolution-plain"]
    assert rearrange(make(**options).block.truncated(1), 2).norm_squared() == float("inf")


def test_lanczos_keeps_its_vectors_orthogonal_over_many_restarts():
    # Without re-orthogonalisation a converged vector comes back as its own copy.
    sigma = [1.0, *[0.9 - 1e-3 * i for i in range(60)]]
    found = _lanczos(_Diagonal(sigma), rank=3, dimension=6, precision=1e-9)
    assert [triplet.sigma for triplet in found.triplets] == pytest.approx(sigma[:3], abs=1e-7)


@pytest.mark.parametrize("sigma", [[2.0, 0.0, 0.0, 0.0, 0.0], [2.0], [0.0, 0.0]])
def test_lanczos_gives_zeros_for_what_the_matrix_does_not_have(sigma):
    found = _lanczos(_Diagonal(sigma))
    assert found.converged
    assert [triplet.sigma for triplet in found.triplets] == pytest.approx([sigma[0], 0])
    assert not found.triplets[1].u.any()
    assert not found.triplets[1].v.any()


def test_lanczos_that_is_cut_off_says_so():
    found = _lanczos(_Diagonal([1 - 1e-4 * i for i in range(50)]), max_iterations=6)
    assert found.iterations == 6
    assert not found.converged
    assert max(found.residuals) > 1e-10


@pytest.mark.parametrize("route", ["direct", "gram"])
@pytest.mark.parametrize("approximation", [kpsvd, deflation, lanczos, kfac_corrected])
def test_what_is_not_finite_ends_the_iteration(route, approximation):
    inputs = torch.randn(6, 4, dtype=torch.float64)
    inputs[0, 0] = torch.nan
    block = LinearBlock(inputs, torch.randn(6, 3, dtype=torch.float64), constant=True)
    found = approximation(block, route=route)
    assert not found.converged
    assert not all(torch.isfinite(factor).all() for term in found.value.terms for factor in term)


def test_the_case_is_that_of_its_layer():
    given = case(nn.Linear(2, 2), torch.ones(3, 2, dtype=torch.float64), torch.ones(3, 2, dtype=torch.float64))
    assert isinstance(given, Case)
    _close(given.block.dense(), given.fisher)
