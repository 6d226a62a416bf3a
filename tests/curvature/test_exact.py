from __future__ import annotations

import io

import pytest
import torch
from dense import LIKELIHOODS, close, convolutions, flat, perceptron, problem
from oracle import unvec, vec
from torch import nn

from ngbench.curvature.blocks.linear import LinearBlock
from ngbench.curvature.capture.jacobian import Jacobian
from ngbench.curvature.curvatures import exact
from ngbench.curvature.curvatures.exact import BlockDiagonalCurvature, ExactCurvature
from ngbench.curvature.inverses.gram import DenseInverse, GramInverse, factorise
from ngbench.curvature.inverses.gram_factored import FactoredGramInverse, cross_approximation
from ngbench.curvature.layers import find_layers
from ngbench.curvature.likelihoods import Gaussian

DAMPING = 0.03


def _direction(curvature, given):
    curvature.accumulate(given.blocks)
    curvature.refresh()
    return curvature.precondition(given.gradients)


def _solve_block(given, layer, damping, extra=None):
    rows = given.slices()[layer]
    block = given.fisher[rows, rows]
    damped = block + damping * torch.eye(len(block)).double() + (0 if extra is None else extra)
    return unvec(torch.linalg.solve(damped, vec(given.gradients[layer])), layer.d_out)


@pytest.mark.parametrize("likelihood", LIKELIHOODS.values(), ids=LIKELIHOODS)
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])
@pytest.mark.parametrize("fisher", ["sampled", "empirical", "exact"])
def test_the_step_solves_the_dense_system_with_its_blocks_between_layers(fisher, bias, likelihood):
    given = problem(fisher, model=perceptron(bias), likelihood=likelihood)
    close(flat(_direction(ExactCurvature(given.layers, damping=DAMPING), given)), given.solve(DAMPING))


@pytest.mark.parametrize("examples", [5, 90])
def test_both_forms_of_the_system_give_the_step(examples):
    given = problem(examples=examples)
    curvature = ExactCurvature(given.layers, damping=DAMPING)
    close(flat(_direction(curvature, given)), given.solve(DAMPING))
    assert isinstance(curvature.inverses[0], GramInverse if examples == 5 else DenseInverse)


@pytest.mark.parametrize("fisher", ["sampled", "empirical"])
def test_convolutions_take_part(fisher):
    given = problem(fisher, model=convolutions())
    close(flat(_direction(ExactCurvature(given.layers, damping=DAMPING), given)), given.solve(DAMPING))
    blocks = _direction(BlockDiagonalCurvature(given.layers, damping=DAMPING), given)
    for layer in given.layers.values():
        close(blocks[layer], _solve_block(given, layer, DAMPING))


@pytest.mark.parametrize("fisher", ["sampled", "empirical", "exact"])
def test_each_layer_on_its_own_solves_its_dense_block(fisher):
    given = problem(fisher)
    step = _direction(BlockDiagonalCurvature(given.layers, damping=DAMPING), given)
    for layer in given.layers.values():
        close(step[layer], _solve_block(given, layer, DAMPING))


@pytest.mark.parametrize("examples", [7, 60], ids=["gram", "dense"])
@pytest.mark.parametrize("use_pi", [True, False])
@pytest.mark.parametrize("model", [perceptron, convolutions])
def test_factored_damping_adds_what_it_adds_to_the_kronecker_product(model, use_pi, examples):
    given = problem(model=model(), examples=examples)
    curvature = BlockDiagonalCurvature(given.layers, damping=DAMPING, damping_kind="factored", use_pi=use_pi)
    step = _direction(curvature, given)
    positions = {"0": 36, "3": 4} if model is convolutions else {}
    for layer, block in given.blocks.items():
        a, g = block.kfac_factors()
        pi = ((a.trace() / len(a)) / (g.trace() / len(g))).sqrt() if use_pi else 1.0
        eye_a, eye_g = torch.eye(len(a)).double(), torch.eye(len(g)).double()
        # KFAC divides λ by the positions of a convolution.
        root = (DAMPING / positions.get(layer.name, 1)) ** 0.5
        extra = torch.kron(a + pi * root * eye_a, g + root / pi * eye_g) - torch.kron(a, g)
        close(step[layer], _solve_block(given, layer, 0.0, extra))


def test_wide_layers_take_the_low_rank_form_of_the_factored_damping():
    torch.manual_seed(0)
    given = problem(model=nn.Sequential(nn.Linear(5, 40), nn.Tanh(), nn.Linear(40, 50)).double(), likelihood=Gaussian())
    curvature = BlockDiagonalCurvature(given.layers, damping=1e-3, damping_kind="factored")
    step = _direction(curvature, given)
    layer = list(given.layers.values())[1]
    (inverse,) = (i for i in curvature.inverses if layer in i.jacobian.blocks)
    assert isinstance(inverse, FactoredGramInverse)
    columns, rows = cross_approximation(inverse.basis[2])
    assert len(columns) * (50 + 41) < 50 * 41
    close(columns.T @ rows, inverse.basis[2], 1e-13)
    a, g = given.blocks[layer].kfac_factors()
    eye_a, eye_g = torch.eye(len(a)).double(), torch.eye(len(g)).double()
    extra = 1e-3**0.5 * (torch.kron(a, eye_g) + torch.kron(eye_a, g))
    close(step[layer], _solve_block(given, layer, 1e-3, extra))


@pytest.mark.parametrize("fisher", ["sampled", "empirical", "exact"])
def test_on_one_layer_the_network_and_its_block_give_one_step(fisher):
    torch.manual_seed(0)
    given = problem(fisher, model=nn.Sequential(nn.Linear(5, 3)).double())
    whole = flat(_direction(ExactCurvature(given.layers, damping=DAMPING), given))
    close(whole, flat(_direction(BlockDiagonalCurvature(given.layers, damping=DAMPING), given)))
    close(whole, given.solve(DAMPING))


@pytest.mark.parametrize("curvature", [ExactCurvature, BlockDiagonalCurvature])
def test_large_damping_turns_the_step_into_the_gradient(curvature):
    given = problem()
    step = flat(_direction(curvature(given.layers, damping=1e9), given))
    close(step * 1e9, given.gradient, 1e-8)


@pytest.mark.parametrize("curvature", [ExactCurvature, BlockDiagonalCurvature])
@pytest.mark.parametrize("factor", [1.0, 0.25])
def test_the_form_that_does_not_cancel_is_taken_for_a_multiple_of_the_mean_gradient(curvature, factor, monkeypatch):
    given = problem("empirical")
    given.gradients = {layer: factor * gradient for layer, gradient in given.gradients.items()}
    monkeypatch.setattr(GramInverse, "times", lambda *_: pytest.fail("the gradient was not recognised"))
    step = flat(_direction(curvature(given.layers, damping=1e-10, empirical=True), given))
    monkeypatch.undo()
    if curvature is ExactCurvature:
        # (λI + JJᵀ/m)⁻¹ J1/m = J (λm I + JᵀJ)⁻¹ 1, well conditioned where the dense system is not.
        j, m = given.jacobian, given.examples
        close(
            step, factor * j @ torch.linalg.solve(j.T @ j + 1e-10 * m * torch.eye(m).double(), torch.ones(m).double())
        )


def test_a_gradient_that_is_not_the_mean_one_takes_the_general_form():
    given = problem("empirical")
    first = next(iter(given.gradients))
    given.gradients[first] = given.gradients[first].clone()
    given.gradients[first][1, 2] *= 1 + 1e-6
    assert Jacobian(given.blocks).mean_column_factor(given.gradients) is None
    close(flat(_direction(ExactCurvature(given.layers, damping=DAMPING, empirical=True), given)), given.solve(DAMPING))


def test_the_gradient_of_a_later_batch_is_not_taken_for_the_mean_of_an_earlier_one():
    given = problem("empirical")
    curvature = ExactCurvature(given.layers, damping=DAMPING, empirical=True)
    _direction(curvature, given)
    torch.manual_seed(5)
    given.gradients = {layer: torch.randn_like(gradient) for layer, gradient in given.gradients.items()}
    close(flat(curvature.precondition(given.gradients)), given.solve(DAMPING))


def test_in_single_precision_the_form_that_does_not_cancel_keeps_digits_that_the_general_one_loses():
    double = problem("empirical")
    expected = flat(_direction(ExactCurvature(double.layers, damping=1e-9, empirical=True), double))
    layers = find_layers(perceptron().float())
    pairs = list(zip(layers.values(), double.blocks.items(), strict=True))
    blocks = {
        layer: LinearBlock(block.inputs.float(), block.derivatives.float(), constant=True)
        for layer, (_, block) in pairs
    }
    gradients = {layer: double.gradients[other].float() for layer, (other, _) in pairs}
    errors = {}
    for empirical in (True, False):
        curvature = ExactCurvature(layers, damping=1e-9, empirical=empirical)
        curvature.accumulate(blocks)
        curvature.refresh()
        step = flat(curvature.precondition(gradients)).double()
        errors[empirical] = ((step - expected).norm() / expected.norm()).item()
    assert errors[True] < 1e-4
    assert errors[False] > 100 * errors[True]


def test_an_indefinite_gram_matrix_is_clamped_and_counted():
    torch.manual_seed(0)
    root = torch.randn(30, 4)
    matrix = root @ root.T
    # Rounding that a float32 Gram matrix of strong per-example gradients has.
    matrix -= 1e-4 * torch.eye(30)
    factor = factorise(matrix.clone(), 1e-7, "the curvature")
    assert factor.clamped >= 20
    assert torch.isfinite(factor.lower).all()
    # Along the range of the matrix the solution is that of the clean one.
    right = root @ torch.randn(4)
    clean = torch.linalg.lstsq(root.double() @ root.double().T, right.double(), driver="gelsd").solution
    close(root.double().T @ factor.solve(right).double(), root.double().T @ clean, 1e-2)


def test_the_diagnostics_count_the_clamped_eigenvalues(monkeypatch):
    given = problem()
    curvature = ExactCurvature(given.layers, damping=DAMPING)
    _direction(curvature, given)
    assert curvature.diagnostics() == {"clamped_eigenvalues": 0.0}
    curvature.inverses[0].factor.clamped = 2
    assert curvature.diagnostics() == {"clamped_eigenvalues": 2.0}


def test_infinite_derivatives_are_named():
    given = problem()
    list(given.blocks.values())[1].derivatives[0, 0] = torch.inf
    curvature = BlockDiagonalCurvature(given.layers, damping=DAMPING)
    curvature.accumulate(given.blocks)
    with pytest.raises(FloatingPointError, match="the curvature of layer '2' contains NaN or infinite values"):
        curvature.refresh()


def test_a_system_that_is_too_large_is_refused_before_it_is_formed(monkeypatch):
    given = problem()
    monkeypatch.setattr(exact, "LARGEST_SYSTEM", 6)
    curvature = ExactCurvature(given.layers, damping=DAMPING)
    curvature.accumulate(given.blocks)
    with pytest.raises(ValueError, match=r"would solve for 7 unknowns .* at most 6 are allowed"):
        curvature.refresh()


def test_layers_without_a_gradient_are_left_out():
    given = problem()
    first = next(iter(given.gradients))
    step = _direction(ExactCurvature(given.layers, damping=DAMPING), given)
    assert first in step
    del given.gradients[first]
    assert first not in _direction(ExactCurvature(given.layers, damping=DAMPING), given)


def test_nothing_is_preconditioned_before_a_refresh():
    given = problem()
    curvature = ExactCurvature(given.layers, damping=DAMPING)
    curvature.accumulate(given.blocks)
    assert curvature.precondition(given.gradients) == {}


def test_a_batch_that_was_overwritten_is_not_used_again():
    given = problem()
    curvature = ExactCurvature(given.layers, damping=DAMPING)
    _direction(curvature, given)
    curvature.precondition(given.gradients)
    next(iter(given.blocks.values())).inputs.zero_()
    with pytest.raises(RuntimeError, match="overwritten in place"):
        curvature.precondition(given.gradients)


@pytest.mark.parametrize(
    "make",
    [
        lambda layers: ExactCurvature(layers, damping=DAMPING),
        lambda layers: BlockDiagonalCurvature(layers, damping=DAMPING),
        lambda layers: BlockDiagonalCurvature(layers, damping=DAMPING, damping_kind="factored"),
    ],
    ids=["exact", "block-diagonal", "factored"],
)
@pytest.mark.parametrize("refreshed", [True, False])
def test_a_saved_state_continues_bit_for_bit(make, refreshed):
    given = problem(examples=30)
    curvature, resumed = make(given.layers), make(given.layers)
    earlier = problem(examples=20, model=given.model).blocks.values()
    curvature.accumulate(dict(zip(given.blocks, earlier, strict=True)))
    curvature.refresh()
    curvature.accumulate(given.blocks)
    if refreshed:
        curvature.refresh()
    buffer = io.BytesIO()
    torch.save(curvature.state_dict(), buffer)
    buffer.seek(0)
    resumed.load_state_dict(torch.load(buffer, weights_only=True))
    for _ in range(2):
        expected, actual = curvature.precondition(given.gradients), resumed.precondition(given.gradients)
        assert all(torch.equal(actual[layer], expected[layer]) for layer in given.gradients)
        assert expected.keys() == actual.keys() != set()
        curvature.refresh()
        resumed.refresh()
