from __future__ import annotations

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rearranged import CASES, Case, convolution, linear
from torch import Tensor

from ngbench.curvature.blocks.linear import LinearBlock
from ngbench.curvature.blocks.positions import SequenceBlock
from ngbench.curvature.kronecker.approximations import deflation, kfac, kfac_corrected, kpsvd, lanczos
from ngbench.curvature.kronecker.declaration import at_radius
from ngbench.curvature.kronecker.sums import KroneckerSum
from ngbench.curvature.layers import Call, find_layers

TIGHT = {"precision": 1e-12, "max_iterations": 20_000}
# What rounding and a precision of 1e-9 leave of a relation between errors. Coefficients in Gram space lose digits where
# examples are nearly dependent, as all Gram matrices do.
SLACK = {"direct": 1e-7, "auto": 1e-7, "gram": 1e-5}
LOOSE = {"precision": 1e-9, "max_iterations": 2000}

APPROXIMATIONS = {
    "kpsvd": (lambda block, **options: kpsvd(block, **TIGHT, **options), 1),
    "deflation": (lambda block, **options: deflation(block, **TIGHT, **options), 2),
    "deflation-3": (lambda block, **options: deflation(block, rank=3, **TIGHT, **options), 3),
    "lanczos": (lambda block, **options: lanczos(block, dimension=5, **TIGHT, **options), 2),
    "lanczos-3": (lambda block, **options: lanczos(block, rank=3, **TIGHT, **options), 3),
}


def _close(actual: Tensor, expected: Tensor, tolerance: float = 1e-8) -> None:
    assert actual.shape == expected.shape
    assert (actual - expected).norm() <= tolerance * expected.norm()


def _singular_value_sum(z: Tensor, rank: int, d_in: int, d_out: int) -> Tensor:
    """``Σ_{i ≤ rank} σ_i MAT(u_i) ⊗ MAT(v_i)`` by a dense decomposition."""
    u, sigma, v = numpy.linalg.svd(z.numpy())
    total = torch.zeros(d_in * d_out, d_in * d_out, dtype=torch.float64)
    for i in range(min(rank, len(sigma))):
        left = torch.from_numpy(u[:, i].copy()).reshape(d_in, d_in).T
        right = torch.from_numpy(v[i].copy()).reshape(d_out, d_out).T
        total += float(sigma[i]) * torch.kron(left.contiguous(), right.contiguous())
    return total


def _check_first_product(value: KroneckerSum, tolerance: float = 1e-9) -> None:
    for factor in value.terms[0]:
        values = torch.linalg.eigvalsh(factor)
        assert values[0] >= -tolerance * values[-1].clamp(min=1e-300)


@pytest.mark.parametrize(("approximation", "rank"), APPROXIMATIONS.values(), ids=APPROXIMATIONS)
@pytest.mark.parametrize(("make", "options"), CASES.values(), ids=CASES)
def test_approximations_are_the_dense_singular_value_decomposition(make, options, approximation, rank):
    case = make(**options)
    found = approximation(case.block)
    assert found.converged
    d_in, d_out = case.block.d_in, case.block.d_out
    _close(found.value.dense(), _singular_value_sum(case.symmetric_z(), rank, d_in, d_out))
    if isinstance(case.block, LinearBlock) or rank == 1:
        # The restriction to symmetric factors leaves the best approximation what it is.
        _close(found.value.dense(), _singular_value_sum(case.z(), rank, d_in, d_out))
    _check_first_product(found.value)
    for a, g in found.value.terms:
        _close(a, a.T, 1e-14)
        _close(g, g.T, 1e-14)
        assert a.norm() == pytest.approx(float(g.norm()))


@pytest.mark.parametrize(("make", "options"), CASES.values(), ids=CASES)
def test_the_correction_is_the_best_product_for_what_kfac_leaves(make, options):
    case = make(**options)
    found = kfac_corrected(case.block, **TIGHT)
    (a, g), correction = found.value.terms
    for actual, expected in zip((a, g), case.block.kfac_factors(), strict=True):
        _close(actual, expected)
    d_in, d_out = case.block.d_in, case.block.d_out
    remainder = Case(case.block, case.fisher - torch.kron(a, g))
    _close(torch.kron(*correction), _singular_value_sum(remainder.symmetric_z(), 1, d_in, d_out))
    assert found.converged
    assert list(found.iterations) == ["term_2"]


def test_a_layer_with_several_positions_that_is_no_convolution_is_approximated_too():
    generator = torch.Generator().manual_seed(0)
    inputs, derivatives = (torch.randn(6, 3, d, dtype=torch.float64, generator=generator) for d in (4, 2))
    block = SequenceBlock(inputs, derivatives, constant=True)
    case = Case(block, block.dense())
    _close(deflation(block, **TIGHT).value.dense(), _singular_value_sum(case.symmetric_z(), 2, 5, 2))


def test_factors_stay_symmetric_where_the_rearrangement_has_larger_antisymmetric_triplets():
    # D_1 = I and D_2 the rotation by a right angle: Z(F) = vec(I)vec(I)ᵀ + vec(J)vec(J)ᵀ.
    gradients = torch.stack([torch.eye(2), torch.tensor([[0.0, -1.0], [1.0, 0.0]])]).double()
    block = SequenceBlock(torch.eye(2).double().expand(2, 2, 2), gradients.transpose(1, 2), constant=False)
    _close(block.per_example_gradients(), gradients)
    for found in (deflation(block), lanczos(block)):
        _close(found.value.dense(), torch.eye(4).double() / 2)
        assert not any(factor.any() for factor in found.value.terms[1])


@st.composite
def statistics(draw) -> Case:
    """Blocks of random and of degenerate statistics: dead units, equal and repeated examples, zero gradients."""
    examples, d_in, d_out, columns = (draw(st.integers(1, n)) for n in (9, 4, 4, 2))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**16)))
    kind = draw(st.sampled_from(["random", "duplicated", "dead", "zero", "one-hot", "scaled", "convolution"]))
    if kind == "convolution":
        return convolution(examples=min(examples, 3), seed=draw(st.integers(0, 50)), size=(3, 3), channels=(1, 2))
    inputs = torch.randn(examples, d_in, dtype=torch.float64, generator=generator)
    derivatives = torch.randn(columns * examples, d_out, dtype=torch.float64, generator=generator)
    if kind == "duplicated":
        inputs[examples // 2 :], derivatives[examples // 2 :] = inputs[0].clone(), derivatives[0].clone()
    elif kind == "dead":
        inputs[:, 0] = 0
        derivatives[:, -1] = 0
        derivatives[0] = 0
    elif kind == "zero":
        derivatives.zero_()
    elif kind == "one-hot":
        # Orthogonal examples of equal size: repeated singular values.
        inputs = torch.eye(d_in, dtype=torch.float64)[torch.arange(examples) % d_in]
        derivatives = torch.eye(d_out, dtype=torch.float64)[torch.arange(columns * examples) % d_out]
    elif kind == "scaled":
        derivatives *= torch.logspace(0, -6, len(derivatives), dtype=torch.float64)[:, None]
    block = LinearBlock(inputs, derivatives, constant=draw(st.booleans()))
    return Case(block, block.dense())


def _routes(case: Case) -> list[str]:
    return ["direct", "gram"] if isinstance(case.block, LinearBlock) else ["auto"]


@given(statistics())
@settings(max_examples=60, deadline=None)
def test_more_general_approximations_have_smaller_errors(case):
    errors = {"kfac": case.error(kfac(case.block).value)}
    for route in _routes(case):
        options = {**LOOSE, "route": route}
        errors["kpsvd"] = case.error(kpsvd(case.block, **options).value)
        errors["deflation"] = case.error(deflation(case.block, **options).value)
        errors["corrected"] = case.error(kfac_corrected(case.block, **options).value)
        assert errors["deflation"] <= errors["kpsvd"] + SLACK[route]
        assert errors["kpsvd"] <= errors["kfac"] + SLACK[route]
        assert errors["corrected"] <= errors["kfac"] + SLACK[route]
        assert errors["deflation"] <= errors["corrected"] + SLACK[route]


@given(statistics())
@settings(max_examples=60, deadline=None)
def test_lanczos_is_as_near_as_deflation_and_both_are_finite_with_a_semi_definite_first_product(case):
    optimum = torch.linalg.svdvals(case.symmetric_z())[:2]
    norm = float(case.fisher.norm()) or 1.0
    best = max(float(case.fisher.norm() ** 2 - optimum.square().sum()), 0.0) ** 0.5 / norm
    for route in _routes(case):
        for found in (
            deflation(case.block, route=route, **LOOSE),
            lanczos(case.block, dimension=4, route=route, **LOOSE),
        ):
            assert all(torch.isfinite(factor).all() for term in found.value.terms for factor in term)
            _check_first_product(found.value, 1e-7)
            # The error is a difference of squares, and so found to half of the digits.
            assert case.error(found.value) == pytest.approx(best, abs=max(1e-6, SLACK[route]))


@given(statistics())
@settings(max_examples=30, deadline=None)
def test_a_rank_that_reaches_the_rank_of_the_rearrangement_leaves_nothing(case):
    sigma = torch.linalg.svdvals(case.symmetric_z())
    rank = max(2, int((sigma > 1e-12 * sigma[0]).sum()))
    antisymmetric = float((case.z() - case.symmetric_z()).norm()) / (float(case.fisher.norm()) or 1.0)
    for route in _routes(case):
        found = deflation(case.block, rank=rank, route=route, **LOOSE)
        assert case.error(found.value) <= antisymmetric + SLACK[route]
        found = lanczos(case.block, rank=rank, dimension=rank + 3, route=route, **LOOSE)
        assert case.error(found.value) <= antisymmetric + SLACK[route]


@pytest.mark.parametrize("route", ["direct", "gram"])
@pytest.mark.parametrize("approximation", [deflation, lanczos, kfac_corrected])
def test_products_that_the_rearrangement_does_not_have_are_zero(approximation, route):
    block = linear(examples=1).block
    found = approximation(block, route=route)
    assert found.converged
    assert not any(factor.any() for factor in found.value.terms[1])
    _close(found.value.dense(), block.dense())


@pytest.mark.parametrize("route", ["direct", "gram"])
@pytest.mark.parametrize("approximation", [kpsvd, deflation, lanczos])
def test_of_more_equal_singular_values_than_products_the_first_one_is_semi_definite(approximation, route):
    block = LinearBlock(torch.eye(4).double(), torch.eye(4).double(), constant=False)
    value = approximation(block, route=route).value
    _check_first_product(value)
    expected = 1 - len(value.terms) / 4
    assert Case(block, block.dense()).error(value) ** 2 == pytest.approx(expected)


@pytest.mark.parametrize("route", ["direct", "gram"])
@pytest.mark.parametrize("approximation", [kpsvd, deflation, lanczos, kfac_corrected])
def test_zero_gradients_have_zero_products(approximation, route):
    block = LinearBlock(torch.randn(5, 3), torch.zeros(5, 2), constant=True)
    found = approximation(block, route=route)
    assert found.converged
    first = found.value.terms[1:] if approximation is kfac_corrected else found.value.terms
    assert not any(factor.any() for term in first for factor in term)
    assert not found.value.dense().any()


def _batches(make) -> tuple[Case, Case]:
    """Two batches of the same layer, the second one a perturbation of the first."""
    options = {"channels": (2, 4)} if make is convolution else {"d_in": 8, "d_out": 6}
    first, other = (make(seed=seed, examples=30, **options) for seed in (0, 1))
    share = 1e-4
    if isinstance(first.block, LinearBlock):
        inputs = first.block.inputs + share * other.block.inputs
        block = LinearBlock(inputs, first.block.derivatives + share * other.block.derivatives, constant=True)
    else:
        (layer,) = find_layers(torch.nn.Conv2d(2, 4, 2).double()).values()
        inputs = first.block.inputs[0] + share * other.block.inputs[0]
        block = layer.block([Call(inputs, first.block.derivatives[0] + share * other.block.derivatives[0])])
    return first, Case(block, block.dense())


@pytest.mark.parametrize("make", [linear, convolution])
@pytest.mark.parametrize("approximation", [kpsvd, deflation, lanczos, kfac_corrected])
@pytest.mark.parametrize("route", ["direct", "gram"])
def test_a_warm_start_changes_the_number_of_iterations_alone(make, approximation, route):
    if make is convolution and route == "gram":
        pytest.skip("a convolution has no Gram route")
    first, second = _batches(make)
    options = {"precision": 1e-5, "max_iterations": 5000, "route": route}
    start = approximation(first.block, **options).start
    cold, warm = approximation(second.block, **options), approximation(second.block, start, **options)
    assert start is not None
    assert sum(warm.iterations.values()) < sum(cold.iterations.values())
    assert second.error(warm.value) == pytest.approx(second.error(cold.value), abs=1e-7)
    _check_first_product(warm.value)


@pytest.mark.parametrize("approximation", [kpsvd, deflation, lanczos])
def test_a_start_that_is_orthogonal_to_the_solution_does_not_hide_it(approximation):
    # Two examples without anything in common, the second one larger; the start is the solution for the first.
    inputs, derivatives = torch.eye(2).double(), torch.diag(torch.tensor([1.0, 3.0])).double()
    block = LinearBlock(inputs, derivatives, constant=False)
    corner = torch.diag(torch.tensor([1.0, 0.0])).double()
    for route in ("direct", "gram"):
        for start in (((corner, corner),) * 2, ((torch.zeros(2, 2).double(),) * 2,) * 2):
            a, g = approximation(block, KroneckerSum(start), route=route).value.terms[0]
            _close(torch.kron(a, g), torch.diag(torch.tensor([0, 0, 0, 4.5]).double()), 1e-5)


def test_a_wide_layer_in_gram_space_wants_no_start_that_costs_more_than_it_saves():
    wide = LinearBlock(torch.randn(16, 300), torch.randn(16, 300), constant=True)
    narrow = LinearBlock(torch.randn(16, 300), torch.randn(16, 10), constant=True)
    assert deflation(wide, route="gram").start is None
    assert deflation(narrow, route="gram").start is not None
    assert deflation(wide, deflation(wide, route="direct").value, route="gram").iterations == (
        deflation(wide, route="gram").iterations
    )


@pytest.mark.parametrize("approximation", [kpsvd, deflation, lanczos, kfac_corrected])
@pytest.mark.parametrize("options", [{}, {"padding": 1, "stride": 2}, {"groups": 2, "channels": (4, 4)}])
def test_all_positions_are_those_within_a_radius_that_reaches_over_the_grid(approximation, options):
    case = convolution(**options)
    everywhere = at_radius(lambda b, p: approximation(b, p, **TIGHT), "all")(case.block, None)
    within = at_radius(lambda b, p: approximation(b, p, **TIGHT), 5)(case.block, None)
    _close(within.value.dense(), everywhere.value.dense())


@pytest.mark.parametrize("radius", [0, 1, 2])
@pytest.mark.parametrize("seed", range(4))
def test_a_truncated_block_gives_a_semi_definite_first_product(radius, seed):
    case = convolution(seed=seed, examples=2)
    truncated = case.block.truncated(radius)
    found = at_radius(lambda b, p: kpsvd(b, p, **TIGHT), radius)(case.block, None)
    _check_first_product(found.value)
    dense = Case(truncated, truncated.dense())
    d_in, d_out = truncated.d_in, truncated.d_out
    best = _singular_value_sum(dense.symmetric_z(), 1, d_in, d_out)
    if torch.linalg.eigvalsh(best)[0] >= -1e-9:
        _close(found.value.dense(), best)


def test_a_krylov_space_must_be_larger_than_the_rank():
    with pytest.raises(ValueError, match="dimension=3 is not allowed: with rank=3 it must be at least 4"):
        lanczos(linear().block, rank=3, dimension=3)


def test_float32_finds_the_products_of_float64():
    exact = linear(d_in=20, d_out=10, examples=30).block
    single = LinearBlock(exact.inputs.float(), exact.derivatives.float(), constant=True)
    for approximation in (deflation, lanczos, kfac_corrected):
        expected = approximation(exact, **TIGHT).value
        for route in ("direct", "gram"):
            found = approximation(single, route=route, max_iterations=2000)
            assert found.value.terms[0][0].dtype == torch.float32
            _close(found.value.dense().double(), expected.dense(), 1e-4)


@pytest.mark.parametrize(("dtype", "spread"), [(torch.float32, 0.07), (torch.float64, 0.02)])
@pytest.mark.parametrize("approximation", [deflation, kfac_corrected, lanczos])
def test_the_estimate_of_another_batch_as_start_does_not_hide_a_small_second_product(approximation, dtype, spread):
    def block(seed: int, spread: float) -> LinearBlock:
        generator = torch.Generator().manual_seed(seed)
        inputs = 1 + spread * torch.randn(64, 20, generator=generator, dtype=torch.float64)
        derivatives = 1 + spread * torch.randn(64, 15, generator=generator, dtype=torch.float64)
        return LinearBlock(inputs.to(dtype), derivatives.to(dtype), constant=True)

    now = block(1, spread)
    # The second product of widely spread statistics lies almost along the first one of narrow statistics.
    warm = approximation(now, approximation(block(0, 1.0), None).start).value
    cold = approximation(now, None).value
    first = [float(term[0].norm() * term[1].norm()) for term in cold.terms]
    assert 0 < first[1] < 5e-2 * first[0]
    for mine, theirs in zip(warm.terms, cold.terms, strict=True):
        size = float(mine[0].norm() * mine[1].norm())
        assert size == pytest.approx(float(theirs[0].norm() * theirs[1].norm()), rel=1e-2)
