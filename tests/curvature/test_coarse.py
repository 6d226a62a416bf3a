from __future__ import annotations

import math

import pytest
import torch
from dense import close, convolutions, perceptron, problem
from oracle import vec
from torch import nn

from ngbench.curvature.blocks.positions import SequenceBlock
from ngbench.curvature.capture.jacobian import Jacobian
from ngbench.curvature.curvatures import coarse_operator
from ngbench.curvature.curvatures.coarse import (
    CoarseContext,
    DenseVector,
    OnesVector,
    RankOneVector,
    krylov,
    nicolaides,
    spectral,
)
from ngbench.curvature.curvatures.coarse_operator import CoarseOperator, PseudoInverse
from ngbench.curvature.curvatures.exact import ExactCurvature
from ngbench.curvature.curvatures.kronecker import KroneckerCurvature
from ngbench.curvature.kronecker.approximations import kfac
from ngbench.curvature.kronecker.sums import KroneckerSum
from ngbench.curvature.layers import Call, find_layers
from ngbench.curvature.linalg import low_rank
from ngbench.measurement.operations import count_operations


def _context(given, fine):
    fine.accumulate(given.blocks)
    fine.refresh()
    return CoarseContext(Jacobian(given.blocks), fine, 0.1)


def _semi_definite(size, seed):
    root = torch.randn(size, size + 2, generator=torch.Generator().manual_seed(seed)).double()
    return root @ root.T


def _two_products(block, *arguments):
    """A positive definite sum of two products, in the place of an approximation."""
    value = kfac(block, *arguments).value
    a, g = value.terms[0]
    second = (_semi_definite(len(a), 1) / len(a), _semi_definite(len(g), 2) / 50)
    return kfac(block, *arguments).__class__(KroneckerSum((*value.terms, second)))


def test_the_spectral_vector_of_a_product_is_the_eigenvector_of_its_block():
    given = problem(examples=40)
    fine = KroneckerCurvature(given.layers, kfac, damping=0.1)
    (column,) = spectral(_context(given, fine))
    for layer, vector in list(column.items())[:2]:
        values, vectors = torch.linalg.eigh(fine.factors[layer.name].dense())
        assert values[1] > 1.1 * values[0] > 0
        assert abs(vec(vector.dense()) @ vectors[:, 0]) == pytest.approx(1, abs=1e-9)


def test_the_spectral_vector_of_a_wide_factor_of_low_rank_is_found_without_diagonalising_it(monkeypatch):
    monkeypatch.setattr(low_rank, "WIDE", 64)
    layers = find_layers(nn.Linear(400, 3).double())
    (layer,) = layers.values()
    generator = torch.Generator().manual_seed(0)
    inputs, derivatives = (torch.randn(5, d, dtype=torch.float64, generator=generator) for d in (400, 3))
    block = layer.block([Call(inputs, derivatives)])
    fine = KroneckerCurvature(layers, kfac, damping=0.1)
    fine.accumulate({layer: block})
    with count_operations() as counter:
        (column,) = spectral(CoarseContext(Jacobian({layer: block}), fine, 0.1))
    assert counter.mark().flops < 401**3
    vector = column[layer].dense()
    assert float(vector.norm()) == pytest.approx(1, abs=1e-12)
    assert fine.factors[layer.name].times(vector).norm() < 1e-12 * fine.factors[layer.name].dense().norm()


def test_the_spectral_vector_of_a_sum_of_products_is_the_eigenvector_of_its_damped_block():
    given = problem(examples=40)
    fine = KroneckerCurvature(given.layers, _two_products, damping=1e-3, use_pi=False)
    context = _context(given, fine)
    (column,) = spectral(context)
    assert 1 < context.diagnostics["spectral_iterations"] <= 100
    for layer, vector in column.items():
        (a, g), (c, d) = fine.factors[layer.name].terms
        root = 1e-3**0.5
        damped = torch.kron(a + root * torch.eye(len(a)).double(), g + root * torch.eye(len(g)).double())
        damped += torch.kron(c, d)
        direction = vec(vector.dense())
        values = torch.linalg.eigvalsh(damped)
        assert direction @ damped @ direction == pytest.approx(values[0].item(), rel=1e-3)


def test_the_spectral_space_needs_kronecker_factors():
    given = problem()
    with pytest.raises(TypeError, match="needs the blocks of layers, which ExactCurvature lacks"):
        spectral(_context(given, ExactCurvature(given.layers, damping=0.1)))


@pytest.mark.parametrize("kind", ["rank-one", "ones"])
def test_a_structured_vector_is_its_matrix(kind):
    given = problem(model=perceptron())
    layer, block = next(iter(given.blocks.items()))
    torch.manual_seed(2)
    vector, other = (
        RankOneVector(torch.randn(layer.d_out).double(), torch.randn(layer.d_in).double())
        if kind == "rank-one"
        else OnesVector(torch.tensor(1.0).double(), layer.d_out, layer.d_in)
        for _ in range(2)
    )
    dense = DenseVector(vector.dense())
    matrix = torch.randn(layer.d_out, layer.d_in).double()
    close(vector.jacobian_products(block), dense.jacobian_products(block), 1e-12)
    close(vector.inner(matrix), dense.inner(matrix), 1e-12)
    close(vector.inner_vector(other), dense.inner_vector(other), 1e-12)
    close(other.inner_vector(dense), dense.inner_vector(other), 1e-12)
    added = [matrix.clone(), matrix.clone()]
    vector.add_to(added[0], torch.tensor(0.3).double())
    dense.add_to(added[1], torch.tensor(0.3).double())
    close(*added, 1e-12)
    assert not torch.equal(added[0], matrix)


@pytest.mark.parametrize("fisher", ["sampled", "exact"])
@pytest.mark.parametrize("model", [perceptron, convolutions])
def test_pairs_of_vectors_are_multiplied_at_once(model, fisher):
    given = problem(fisher, model=model())
    torch.manual_seed(2)
    for layer, block in given.blocks.items():
        left, right = torch.randn(layer.d_out, 3).double(), torch.randn(layer.d_in, 3).double()
        products = block.rank_one_products(left, right)
        for k in range(3):
            close(products[:, k], block.transpose_times(torch.outer(left[:, k], right[:, k])), 1e-12)
            close(block.rank_one_products(left[:, k], right[:, k]), products[:, k], 1e-12)


@pytest.mark.parametrize("constant", [True, False])
def test_pairs_of_vectors_are_multiplied_at_once_where_a_linear_layer_has_positions(constant):
    torch.manual_seed(2)
    block = SequenceBlock(torch.randn(6, 7, 4).double(), torch.randn(12, 7, 5).double(), constant=constant)
    left, right = torch.randn(5, 3).double(), torch.randn(4 + constant, 3).double()
    expected = [block.transpose_times(torch.outer(x, y)) for x, y in zip(left.T, right.T, strict=True)]
    close(block.rank_one_products(left, right), torch.stack(expected, 1), 1e-12)
    close(block.rank_one_products(left[:, 0], right[:, 0]), expected[0], 1e-12)


@pytest.mark.parametrize("fisher", ["sampled", "exact"])
def test_the_operator_and_the_restricted_residual_are_the_dense_ones(fisher):
    given = problem(fisher)
    torch.manual_seed(4)
    columns = [
        {layer: DenseVector(torch.randn_like(gradient)) for layer, gradient in given.gradients.items()}
        for _ in range(2)
    ]
    context = CoarseContext(Jacobian(given.blocks), ExactCurvature(given.layers, damping=1.0), 0.1)
    operator = CoarseOperator.build(context, columns)
    r0t = torch.zeros(len(given.jacobian), 6).double()
    for i, (column, (layer, rows)) in enumerate((c, item) for c in columns for item in given.slices().items()):
        r0t[rows, i] = vec(column[layer].dense())
    damped = given.fisher + 0.1 * torch.eye(len(given.jacobian)).double()
    close(operator.matrix, r0t.T @ damped @ r0t)
    directions = {layer: torch.randn_like(gradient) for layer, gradient in given.gradients.items()}
    flat = torch.cat([vec(matrix) for matrix in directions.values()])
    close(operator.restricted_residual(given.gradients, directions), r0t.T @ (given.gradient - damped @ flat))


def _residuals(given, space, lifetime):
    """A restricted residual of an operator of such a lifetime, what it should be, and its operations."""
    torch.manual_seed(6)
    context = _context(given, KroneckerCurvature(given.layers, kfac, damping=0.1))
    columns = space(context)
    operator = CoarseOperator.build(context, columns, lifetime)
    dense = [(layer, vector.dense()) for column in columns for layer, vector in column.items()]
    directions = {layer: torch.randn_like(gradient) for layer, gradient in given.gradients.items()}
    image = {layer: DenseVector(matrix) for layer, matrix in directions.items()}
    residual = {layer: given.gradients[layer] - matrix for layer, matrix in context.fisher_times(image).items()}
    with count_operations() as counter:
        found = operator.restricted_residual(given.gradients, directions)
    return found, torch.stack([torch.sum(matrix * residual[layer]) for layer, matrix in dense]), counter.mark().flops


@pytest.mark.parametrize("space", [nicolaides, spectral, krylov(nicolaides)])
@pytest.mark.parametrize("model", [perceptron, convolutions])
def test_an_operator_of_a_long_life_has_the_images_of_its_columns(space, model):
    given = problem(model=model(), examples=120)
    operations = {}
    for lifetime in (1, 100, math.inf):
        found, expected, operations[lifetime] = _residuals(given, space, lifetime)
        close(found, expected, 1e-11)
    assert operations[math.inf] == operations[100] < operations[1]


def test_images_that_do_not_pay_are_not_made(monkeypatch):
    def operations(examples, lifetime):
        return _residuals(problem(examples=examples), nicolaides, lifetime)[-1]

    # Three columns: each image saves 1 - 3 * 12 / 120 of a product a step, and takes one.
    assert operations(120, 4) == operations(120, 1)
    assert operations(120, 5) < operations(120, 1)
    assert operations(36, math.inf) == operations(36, 1)
    usual = operations(120, 1)
    monkeypatch.setattr(coarse_operator, "_MOST_IMAGE_NUMBERS", 10)
    assert operations(120, math.inf) == usual


def test_the_pseudo_inverse_solves_on_the_range_whatever_the_scale_of_the_columns():
    torch.manual_seed(0)
    columns = torch.randn(20, 3).double()
    columns = torch.stack([columns[:, 0], 1e6 * columns[:, 1], 1e-6 * columns[:, 2], torch.zeros(20).double()], 1)
    columns = torch.cat([columns, columns[:, :1] + 1e-6 * columns[:, 1:2]], 1)
    matrix = columns.T @ columns
    inverse = PseudoInverse.of(matrix, 1e-15)
    assert int(inverse.dropped) == 2
    solution = torch.randn(5).double()
    close(columns @ inverse.times(matrix @ solution), columns @ solution, 1e-8)


@pytest.mark.parametrize("size", [1, 4])
def test_the_pseudo_inverse_of_zero_is_zero(size):
    inverse = PseudoInverse.of(torch.zeros(size, size).double(), 1e-15)
    assert int(inverse.dropped) == size
    assert inverse.times(torch.ones(size).double()).abs().max() == 0


def test_the_context_multiplies_a_column_with_j_once(monkeypatch):
    given = problem()
    context = _context(given, KroneckerCurvature(given.layers, kfac, damping=0.1))
    column = {layer: DenseVector(gradient) for layer, gradient in given.gradients.items()}
    calls = []
    plain = DenseVector.jacobian_products
    monkeypatch.setattr(DenseVector, "jacobian_products", lambda *a: (calls.append(1), plain(*a))[1])
    context.products(column)
    context.fisher_times(column)
    assert len(calls) == 3


def test_f_times_a_vector_mixes_the_layers():
    given = problem()
    context = _context(given, KroneckerCurvature(given.layers, kfac, damping=0.1))
    images = context.fisher_times({layer: DenseVector(gradient) for layer, gradient in given.gradients.items()})
    damped = given.fisher + 0.1 * torch.eye(len(given.jacobian)).double()
    close(torch.cat([vec(image) for image in images.values()]), damped @ given.gradient)
