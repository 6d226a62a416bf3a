from __future__ import annotations

import pytest
import torch
from oracle import unvec, vec
from scipy.linalg import eigh

from ngbench.curvature.inverses.damping import Damping, factor_shifts
from ngbench.curvature.inverses.diagonalised import DiagonalisedInverse, invert_normal
from ngbench.curvature.inverses.factored import FactoredInverse, shifted
from ngbench.curvature.inverses.iterative import IterativeInverse
from ngbench.curvature.kronecker.sums import KroneckerSum
from ngbench.curvature.linalg.packing import unpack

D_IN, D_OUT = 5, 4


def _close(actual, expected, tolerance=1e-9):
    assert actual.shape == expected.shape
    assert (actual - expected).norm() <= tolerance * expected.norm()


def _semi_definite(d, generator, rank=None):
    root = torch.randn(d, rank or d + 2, dtype=torch.float64, generator=generator)
    return root @ root.T / d


def _symmetric(d, generator):
    matrix = torch.randn(d, d, dtype=torch.float64, generator=generator)
    return matrix + matrix.T


def _sum(rank, scale, seed=0):
    """A semi-definite product and further ones of any sign."""
    generator = torch.Generator().manual_seed(seed)
    terms = [(_semi_definite(D_IN, generator, 3), _semi_definite(D_OUT, generator))]
    for _ in range(rank - 1):
        terms.append((_symmetric(D_IN, generator) * scale, _symmetric(D_OUT, generator) * scale))
    return KroneckerSum(tuple(terms))


def _gradient(seed=9):
    return torch.randn(D_OUT, D_IN, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _damped_factors(a, g, damping, use_pi):
    shifts = factor_shifts(a, g, damping, use_pi=use_pi)
    return shifted(a, shifts[0]), shifted(g, shifts[1])


def _damped(total, damping, use_pi):
    """The dense sum with factored damping on its first product."""
    first = _damped_factors(*total.terms[0], damping, use_pi)
    return KroneckerSum((first, *total.terms[1:])).dense()


@pytest.mark.parametrize("use_pi", [True, False])
def test_factored_damping_adds_to_the_first_factors(use_pi):
    a, g = _sum(1, 0).terms[0]
    damped_a, damped_g = _damped_factors(a, g, 0.3, use_pi)
    pi = float(((a.trace() / D_IN) / (g.trace() / D_OUT)).sqrt()) if use_pi else 1.0
    _close(damped_a, a + pi * 0.3**0.5 * torch.eye(D_IN).double())
    _close(damped_g, g + 0.3**0.5 / pi * torch.eye(D_OUT).double())


@pytest.mark.parametrize("use_pi", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_two_products_are_solved_as_the_dense_system(use_pi, seed):
    total = _sum(2, 0.1, seed)
    inverse = total.inverse(Damping(0.5, use_pi=use_pi, floor=1e-6))
    assert inverse.diagnostics() == {"clamped": 0.0}
    expected = torch.linalg.solve(_damped(total, 0.5, use_pi), vec(_gradient()))
    _close(inverse.times(_gradient()), unvec(expected, D_OUT))


def _generalised(total, damping):
    """The values s and vectors W of ``(C ⊗ D) W = (A' ⊗ B') W diag(s)``, ``Wᵀ(A' ⊗ B')W = I``."""
    second = torch.kron(*total.terms[1])
    first = _damped(KroneckerSum(total.terms[:1]), damping, False)
    values, vectors = eigh(second.numpy(), first.numpy())
    return torch.from_numpy(values), torch.from_numpy(vectors)


@pytest.mark.parametrize(("second_term", "floor"), [("clamp", 0.1), ("clamp", 0.5), ("absolute", 0.1)])
def test_directions_that_cancel_are_clamped_and_counted_or_taken_absolutely(second_term, floor):
    total = _sum(2, 1.0)
    values, vectors = _generalised(total, 0.5)
    below = int((1 + values < floor).sum())
    assert below > 2
    inverse = total.inverse(Damping(0.5, use_pi=False, second_term=second_term, floor=floor))
    entries = 1 + values.abs() if second_term == "absolute" else (1 + values).clamp(min=floor)
    expected = vectors @ ((vectors.T @ vec(_gradient())) / entries)
    _close(inverse.times(_gradient()), unvec(expected, D_OUT))
    assert inverse.diagnostics() == {"clamped": 0.0 if second_term == "absolute" else below}


def test_a_second_product_of_zeros_changes_nothing():
    first = _sum(1, 0).terms[0]
    zeros = (torch.zeros(D_IN, D_IN).double(), torch.zeros(D_OUT, D_OUT).double())
    inverse = KroneckerSum((first, zeros)).inverse(Damping(0.5, floor=0.1))
    expected = KroneckerSum((first,)).inverse(Damping(0.5)).times(_gradient())
    _close(inverse.times(_gradient()), expected)


def test_float32_solves_two_products_to_its_precision():
    generator = torch.Generator().manual_seed(0)
    # Condition numbers of 1e4 for each factor of the first product.
    a, b = _semi_definite(30, generator, 5), _semi_definite(20, generator, 5)
    total = KroneckerSum(((a, b), (_symmetric(30, generator) / 500, _symmetric(20, generator) / 500)))
    gradient = torch.randn(20, 30, dtype=torch.float64, generator=generator)
    single = KroneckerSum(tuple((x.float(), y.float()) for x, y in total.terms))
    exact = total.inverse(Damping(1e-7, use_pi=False, floor=0.1))
    found = single.inverse(Damping(1e-7, use_pi=False, floor=0.1))
    _close(found.times(gradient.float()).double(), exact.times(gradient), 2e-2)


@pytest.mark.parametrize("broken", ["nan-first", "nan-second", "indefinite"])
def test_what_has_no_inverse_says_so(broken):
    (a, b), (c, d) = _sum(2, 0.2).terms
    if broken == "indefinite":
        a = a - 10 * torch.eye(D_IN).double()
    else:
        (a if broken == "nan-first" else c)[0, 0] = torch.nan
    assert KroneckerSum(((a, b), (c, d))).inverse(Damping(0.5, use_pi=False, floor=0.1)).info
    if broken == "nan-first":
        assert invert_normal((a, b), 0.5).info


def test_normal_damping_of_one_product_is_solved_exactly():
    total = _sum(1, 0)
    inverse = total.inverse(Damping(0.3, "normal"))
    expected = torch.linalg.solve(total.dense() + 0.3 * torch.eye(D_IN * D_OUT).double(), vec(_gradient()))
    _close(inverse.times(_gradient()), unvec(expected, D_OUT))
    assert inverse.diagnostics() == {"clamped": 0.0}


def test_normal_damping_clamps_what_is_negative_and_counts_it():
    product = KroneckerSum(((torch.diag(torch.tensor([2.0, -1.0])), torch.diag(torch.tensor([1.0, 3.0, 5.0]))),))
    inverse = invert_normal(product.terms[0], 0.5)
    assert inverse.diagnostics() == {"clamped": 3.0}
    expected = 1 / torch.tensor([[2.5, 0.5], [6.5, 0.5], [10.5, 0.5]])
    _close(inverse.times(torch.ones(3, 2)), expected, 1e-6)


@pytest.mark.parametrize(("rank", "kind"), [(2, "normal"), (3, "normal"), (3, "factored"), (4, "factored")])
def test_sums_without_a_common_eigenbasis_are_solved_by_iteration(rank, kind):
    total = _sum(rank, 0.15)
    dense = total.dense() + 1.5 * torch.eye(D_IN * D_OUT).double() if kind == "normal" else _damped(total, 1.5, True)
    assert torch.linalg.eigvalsh(dense)[0] > 0
    inverse = total.inverse(Damping(1.5, kind))
    assert isinstance(inverse, IterativeInverse)
    expected = torch.linalg.solve(dense, vec(_gradient()))
    _close(inverse.times(_gradient()), unvec(expected, D_OUT), 1e-5)
    numbers = inverse.diagnostics()
    assert 1 < numbers["solve_iterations"] < 30
    assert 0 < numbers["solve_residual"] <= 1e-6
    residual = dense @ vec(inverse.times(_gradient())) - vec(_gradient())
    assert numbers["solve_residual"] == pytest.approx(float(residual.norm() / _gradient().norm()), rel=1e-3)
    assert not numbers["negative_curvature"]


@pytest.mark.parametrize("seed", range(5))
def test_an_indefinite_sum_still_gives_a_descent_direction_and_says_so(seed):
    total = _sum(3, 3.0, seed)
    assert torch.linalg.eigvalsh(_damped(total, 0.1, True))[0] < 0
    inverse = total.inverse(Damping(0.1))
    gradient = _gradient(seed)
    assert torch.sum(inverse.times(gradient) * gradient) > 0
    assert inverse.diagnostics()["negative_curvature"] == 1


def test_iteration_from_a_zero_gradient_gives_zero():
    inverse = _sum(3, 0.1).inverse(Damping(1.0))
    assert not inverse.times(torch.zeros(D_OUT, D_IN).double()).any()
    assert inverse.diagnostics()["solve_residual"] == 0


@pytest.mark.parametrize(
    ("rank", "kind", "expected"),
    [
        (1, "factored", FactoredInverse),
        (2, "factored", DiagonalisedInverse),
        (1, "normal", DiagonalisedInverse),
        (2, "normal", IterativeInverse),
        (3, "factored", IterativeInverse),
    ],
)
def test_an_inverse_survives_storage(rank, kind, expected, tmp_path):
    inverse = _sum(rank, 0.1).inverse(Damping(1.0, kind))
    assert type(inverse) is expected
    torch.save(inverse.pack(), tmp_path / "state")
    again = unpack(torch.load(tmp_path / "state", weights_only=True), torch.clone)
    assert type(again) is expected
    assert torch.equal(again.times(_gradient()), inverse.times(_gradient()))
    assert again.diagnostics() == inverse.diagnostics()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"value": 0.0}, "damping=0.0 is not allowed, it must be a number > 0"),
        ({"kind": "heavy"}, "damping_kind='heavy' is not allowed, it must be 'factored' or 'normal'"),
        ({"second_term": "drop"}, "second_term='drop' is not allowed, it must be 'clamp' or 'absolute'"),
        ({"floor": 2.0}, "floor=2.0 is not allowed, it must be a number > 0 and <= 1"),
        ({"kind": "normal", "second_term": "absolute"}, "second_term='absolute' is not allowed with damping_kind"),
    ],
)
def test_a_damping_that_is_not_allowed_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Damping(**{"value": 1.0, **options})


def test_absolute_values_are_refused_for_three_products():
    with pytest.raises(
        ValueError, match="second_term='absolute' is not allowed with a sum of 3 products: only 'clamp' is"
    ):
        _sum(3, 0.1).inverse(Damping(1.0, second_term="absolute"))


def test_inner_products_of_sums_never_need_the_products():
    one, other = _sum(2, 1.0, 0), _sum(3, 1.0, 1)
    assert float(one.inner_product(other)) == pytest.approx(float(torch.sum(one.dense() * other.dense())))


def test_signs_of_later_products_follow_the_reference():
    total = _sum(3, 1.0)
    (first, (c, d), third) = total.terms
    flipped = KroneckerSum((first, (-c, -d), third))
    aligned = flipped.aligned_with(total)
    for actual, expected in zip(aligned.terms, total.terms, strict=True):
        assert torch.equal(actual[0], expected[0])
        assert torch.equal(actual[1], expected[1])
