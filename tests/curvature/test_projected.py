"""Inverses of sums with wide factors of low rank, against the inverses without a projection."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import unvec, vec
from torch import nn

from ngbench.curvature.blocks.linear import LinearBlock
from ngbench.curvature.curvatures.kronecker import KroneckerCurvature
from ngbench.curvature.inverses.damping import Damping, factor_shifts
from ngbench.curvature.inverses.diagonalised import DiagonalisedInverse
from ngbench.curvature.inverses.factored import FactoredInverse, shifted
from ngbench.curvature.inverses.iterative import IterativeInverse
from ngbench.curvature.inverses.projected import ProjectedInverse, ProjectedNormalInverse
from ngbench.curvature.kronecker import approximations
from ngbench.curvature.kronecker.sums import KroneckerSum
from ngbench.curvature.layers import find_layers
from ngbench.curvature.linalg import low_rank
from ngbench.curvature.linalg.packing import unpack
from ngbench.measurement.operations import count_operations

WIDE = 64
D_IN, D_OUT = 240, 200
SIDES = {"inputs": (4, D_OUT), "outputs": (D_IN, 5), "both": (4, 5)}
CLOSED = [("factored", 1), ("factored", 2), ("normal", 1)]
ITERATIVE = [("factored", 3), ("normal", 2), ("normal", 3)]


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setattr(low_rank, "WIDE", WIDE)


def _dense(monkeypatch, total, damping):
    with monkeypatch.context() as patch:
        patch.setattr(low_rank, "WIDE", 10**9)
        return total.inverse(damping)


def _total(ranks, terms, scale=0.3, dtype=torch.float64, seed=0, shape=(D_IN, D_OUT)):
    """Products whose factors are weighted second moments of the same few samples, only the first semi-definite."""
    generator = torch.Generator().manual_seed(seed)
    samples = [torch.randn(r, d, dtype=torch.float64, generator=generator) for r, d in zip(ranks, shape, strict=True)]
    products = []
    for i in range(terms):
        factors = []
        for x in samples:
            weights = torch.randn(len(x), dtype=torch.float64, generator=generator) if i else torch.ones(len(x))
            factors.append(((x.T * weights) @ x * (scale if i else 1) / x.shape[1] ** 0.5).to(dtype))
        products.append((factors[0], factors[1]))
    return KroneckerSum(tuple(products))


def _gradient(dtype=torch.float64, shape=(D_IN, D_OUT)):
    generator = torch.Generator().manual_seed(9)
    return torch.randn(shape[1], shape[0], dtype=torch.float64, generator=generator).to(dtype)


def _close(actual, expected, tolerance):
    assert actual.shape == expected.shape
    assert (actual.double() - expected.double()).norm() <= tolerance * expected.double().norm()


def _inside(total, gradient):
    """A gradient in the range of the first factors, where the core solves."""
    a, g = total.terms[0]
    return g @ gradient @ a


def _is_projected(inverse):
    return isinstance(inverse, ProjectedInverse | ProjectedNormalInverse)


@pytest.mark.parametrize("sides", SIDES)
@pytest.mark.parametrize(("kind", "terms"), CLOSED + ITERATIVE)
@pytest.mark.parametrize("damping", [0.01, 1.0])
def test_the_inverse_is_the_one_without_a_projection(sides, kind, terms, damping, monkeypatch):
    two_term = (kind, terms) == ("factored", 2)
    total = _total(SIDES[sides], terms, scale=2.0 if two_term else 0.02)
    options = Damping(damping, kind)
    inverse, expected = total.inverse(options), _dense(monkeypatch, total, options)
    assert _is_projected(inverse)
    assert not _is_projected(expected)
    assert not inverse.info
    tolerance = 1e-10 if (kind, terms) in CLOSED else 1e-4
    for gradient in (_gradient(), _inside(total, _gradient())):
        _close(inverse.times(gradient), expected.times(gradient), tolerance)
    if two_term:
        assert inverse.diagnostics() == expected.diagnostics()
        assert inverse.diagnostics()["clamped"] > 0


@pytest.mark.parametrize("use_pi", [True, False])
@pytest.mark.parametrize("terms", [1, 2])
def test_the_inverse_solves_the_dense_system(use_pi, terms):
    shape = (WIDE + 6, 9)
    total = _total((2, 9), terms, 0.02, shape=shape)
    inverse = total.inverse(Damping(0.5, use_pi=use_pi, floor=1e-6))
    assert isinstance(inverse, ProjectedInverse)
    first = tuple(map(shifted, total.terms[0], factor_shifts(*total.terms[0], 0.5, use_pi=use_pi)))
    damped = KroneckerSum((first, *total.terms[1:])).dense()
    expected = torch.linalg.solve(damped, vec(_gradient(shape=shape)))
    _close(inverse.times(_gradient(shape=shape)), unvec(expected, 9), 1e-10)


@pytest.mark.parametrize("sides", SIDES)
def test_absolute_values_of_the_second_product(sides, monkeypatch):
    total = _total(SIDES[sides], 2, 2.0)
    options = Damping(0.01, second_term="absolute")
    gradient = _inside(total, _gradient())
    absolute = total.inverse(options).times(gradient)
    _close(absolute, _dense(monkeypatch, total, options).times(gradient), 1e-10)
    clamped = total.inverse(Damping(0.01)).times(gradient)
    assert (clamped - absolute).norm() > 0.01 * clamped.norm()


@pytest.mark.parametrize("sides", SIDES)
@pytest.mark.parametrize(("kind", "terms"), CLOSED)
def test_float32_is_as_near_as_without_a_projection(sides, kind, terms, monkeypatch):
    single = _total(SIDES[sides], terms, 0.05, torch.float32)
    double = KroneckerSum(tuple((a.double(), g.double()) for a, g in single.terms))
    options = Damping(1e-4, kind)
    inverse = single.inverse(options)
    assert _is_projected(inverse)
    exact, plain = _dense(monkeypatch, double, options), _dense(monkeypatch, single, options)
    # What the inverse makes of a few roundings of the gradient, which leave the range of the factors.
    amplified = 4 * torch.finfo(torch.float32).eps * exact.times(_gradient()).norm() / _gradient().norm()
    for gradient in (_gradient(), _inside(double, _gradient())):
        expected = exact.times(gradient)
        error = (inverse.times(gradient.float()).double() - expected).norm()
        assert error <= 2 * (plain.times(gradient.float()).double() - expected).norm() + amplified * gradient.norm()


@pytest.mark.parametrize(("kind", "terms"), CLOSED + ITERATIVE)
def test_factors_of_full_rank_are_not_projected(kind, terms):
    expected = {
        ("factored", 1): FactoredInverse,
        ("factored", 2): DiagonalisedInverse,
        ("normal", 1): DiagonalisedInverse,
    }
    inverse = _total((D_IN, D_OUT), terms, 0.01).inverse(Damping(1.0, kind))
    assert type(inverse) is expected.get((kind, terms), IterativeInverse)


def test_narrow_factors_are_not_projected(monkeypatch):
    total = _total((4, 5), 2, 0.01)
    monkeypatch.setattr(low_rank, "WIDE", D_IN + 1)
    assert type(total.inverse(Damping(1.0))) is DiagonalisedInverse
    monkeypatch.setattr(low_rank, "WIDE", D_IN)
    inverse = total.inverse(Damping(1.0))
    assert isinstance(inverse, ProjectedInverse)
    assert inverse.a.basis is not None
    assert inverse.g.basis is None


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    examples=st.integers(1, 12),
    terms=st.integers(1, 2),
    decay=st.sampled_from([0.0, 0.5, 0.95]),
    kind=st.sampled_from(["factored", "normal"]),
)
def test_a_running_average_is_projected_while_its_rank_is_low(seed, examples, terms, decay, kind):
    if kind == "normal":
        terms = 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(low_rank, "WIDE", WIDE)
        average, projected = None, []
        for batch in range(8):
            new = _total((examples, 20), terms, 0.1, seed=seed + batch, shape=(D_IN, 20))
            average = new if average is None else average.averaged(new, decay)
            inverse = average.inverse(Damping(0.1, kind))
            projected.append(_is_projected(inverse))
            expected = _dense(patch, average, Damping(0.1, kind))
            for gradient in (_gradient(shape=(D_IN, 20)), _inside(average, _gradient(shape=(D_IN, 20)))):
                _close(inverse.times(gradient), expected.times(gradient), 1e-9)
    most = low_rank.most_columns(D_IN, terms, {("factored", 1): 1.0, ("factored", 2): 12.0}.get((kind, terms), 9.0))
    for batch, is_projected in enumerate(projected):
        rank = examples if not decay else examples * (batch + 1)
        if rank <= most or rank > most + 16:
            assert is_projected == (rank <= most)


@pytest.mark.parametrize("sides", SIDES)
@pytest.mark.parametrize(("kind", "terms"), CLOSED + ITERATIVE)
def test_an_inverse_survives_storage(sides, kind, terms, tmp_path):
    inverse = _total(SIDES[sides], terms, 0.02).inverse(Damping(1.0, kind))
    assert _is_projected(inverse)
    torch.save(inverse.pack(), tmp_path / "state")
    placed = []

    def place(tensor):
        placed.append(tensor)
        return tensor.clone()

    again = unpack(torch.load(tmp_path / "state", weights_only=True), place)
    assert type(again) is type(inverse)
    assert placed
    assert torch.equal(again.times(_gradient()), inverse.times(_gradient()))
    assert again.diagnostics() == inverse.diagnostics()
    assert again.iterates == inverse.iterates == ((kind, terms) in ITERATIVE)


@pytest.mark.parametrize("terms", [1, 2])
def test_neither_a_wide_matrix_is_kept_nor_a_wide_factorisation_made(terms):
    total = _total((4, 5), terms, 0.1, shape=(1200, 1000))
    with count_operations() as counter:
        inverse = total.inverse(Damping(0.1))
    # Cholesky factorisations and inverses of both sides alone take n³ operations each.
    assert counter.mark().flops < (0.25 if terms == 1 else 0.5) * (1200**3 + 1000**3)

    def sizes(part):
        if isinstance(part, torch.Tensor):
            yield part.numel()
        elif isinstance(part, dict):
            for value in part.values():
                yield from sizes(value)

    assert max(sizes(inverse.pack())) < 1200 * 50


@pytest.mark.parametrize("terms", [1, 2])
@pytest.mark.parametrize("side", [0, 1])
def test_what_contains_nan_has_no_inverse(terms, side):
    total = _total((4, 5), terms, 0.1)
    total.terms[-1][side][3, 7] = torch.nan
    total.terms[-1][side][7, 3] = torch.nan
    assert total.inverse(Damping(0.1)).info


def test_raised_damping_reaches_what_is_projected(monkeypatch):
    total = _total((4, 5), 2, 0.01, torch.float32)
    options = Damping(1e-16, raised=1)
    inverse = total.inverse(options)
    assert isinstance(inverse, ProjectedInverse)
    assert not inverse.info
    assert inverse.a.shift >= 4 * torch.finfo(torch.float32).eps * total.terms[0][0].trace() > 1e-8
    expected = _dense(monkeypatch, total, options)
    _close(inverse.times(_gradient(torch.float32)), expected.times(_gradient(torch.float32)), 0.1)


@pytest.mark.parametrize("approximation", ["kfac", "kfac_corrected", "deflation", "lanczos"])
def test_an_optimizer_that_goes_on_from_a_state_takes_the_same_step(approximation, tmp_path):
    torch.manual_seed(0)
    layers = find_layers(nn.Linear(300, 5), None)
    (layer,) = layers.values()

    def curvature():
        return KroneckerCurvature(layers, getattr(approximations, approximation), damping=0.1)

    one, other = curvature(), curvature()
    one.accumulate({layer: LinearBlock(torch.randn(6, 300), torch.randn(6, 5), constant=True)})
    one.refresh()
    assert isinstance(one.inverses[layer.name], ProjectedInverse)
    torch.save(one.state_dict(), tmp_path / "state")
    other.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    gradients = {layer: torch.randn(5, 301)}
    assert torch.equal(one.precondition(gradients)[layer], other.precondition(gradients)[layer])
