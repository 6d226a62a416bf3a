"""Nothing depends on how a library rounds: with products that are not symmetric all stays what it is."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from dense import close, convolutions, flat, perceptron, problem
from rearranged import CASES, Case
from rounding import Rounding
from torch import nn

from ngbench.curvature.blocks import moments
from ngbench.curvature.blocks.moments import homogeneous_second_moment
from ngbench.curvature.blocks.positions import SequenceBlock
from ngbench.curvature.curvatures.additive import AdditiveTwoLevelCurvature
from ngbench.curvature.curvatures.exact import BlockDiagonalCurvature, ExactCurvature
from ngbench.curvature.curvatures.kronecker import KroneckerCurvature
from ngbench.curvature.curvatures.two_level import TwoLevelCurvature
from ngbench.curvature.kronecker.approximations import deflation, kfac, kfac_corrected, kpsvd, lanczos
from ngbench.curvature.kronecker.declaration import at_radius
from ngbench.curvature.layers import Call, find_layers
from ngbench.curvature.likelihoods import Categorical
from ngbench.curvature.linalg import lower

EPS = torch.finfo(torch.float64).eps
TIGHT = {"precision": 1e-10, "max_iterations": 5000}
APPROXIMATIONS = {
    "kfac": (kfac, 1),
    "kpsvd": (partial(kpsvd, **TIGHT), 1),
    "deflation": (partial(deflation, **TIGHT), 2),
    "deflation-direct": (partial(deflation, route="direct", **TIGHT), 2),
    "lanczos": (partial(lanczos, dimension=5, **TIGHT), 2),
    "lanczos-direct": (partial(lanczos, dimension=5, route="direct", **TIGHT), 2),
    "kfac-corrected": (partial(kfac_corrected, **TIGHT), 2),
}


def transposed_convolution() -> Case:
    generator = torch.Generator().manual_seed(0)
    module = nn.ConvTranspose2d(2, 4, 3, stride=2, padding=1).double()
    inputs = torch.randn(4, 2, 3, 3, dtype=torch.float64, generator=generator)
    derivatives = torch.randn(4, *module(inputs).shape[1:], dtype=torch.float64, generator=generator)
    (layer,) = find_layers(module).values()
    block = layer.block([Call(inputs, derivatives)])
    return Case(block, block.dense())


def sequence() -> Case:
    generator = torch.Generator().manual_seed(0)
    inputs, derivatives = (torch.randn(6, 3, d, dtype=torch.float64, generator=generator) for d in (4, 3))
    block = SequenceBlock(inputs, derivatives, constant=True)
    return Case(block, block.dense())


LAYERS = {
    **{name: partial(make, **options) for name, (make, options) in CASES.items()},
    # Fewer patches than their entries: the iterations run in bases of them.
    "convolution-compressed": partial(
        CASES["convolution-plain"][0], examples=2, size=(2, 2), channels=(8, 6), padding=1
    ),
    "transposed-convolution": transposed_convolution,
    "sequence": sequence,
}


@pytest.fixture
def _small_blocks(monkeypatch):
    """All ways by blocks, for matrices of a few rows."""
    monkeypatch.setattr(lower, "_BLOCK", 3)
    monkeypatch.setattr(moments, "_WIDTH", 3)
    monkeypatch.setattr(moments, "_MULTIPLICATIONS", 0)


@pytest.fixture(params=["whole", "blocks"])
def _either_way(request):
    if request.param == "blocks":
        request.getfixturevalue("_small_blocks")


def is_symmetric(matrix):
    return torch.equal(matrix, matrix.T)


def test_products_are_not_symmetric_here():
    x = torch.randn(40, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with Rounding():
        product = x.T @ x
        assert not is_symmetric(product)
        assert not torch.equal(product, x.T @ x)
        batch = torch.stack([x, x])
        assert not is_symmetric((batch.mT @ batch)[0])
    # u ε, and what the library rounds by itself: at most n ε for sums of n products.
    assert ((product - x.T @ x).abs() <= 3 * len(x) * EPS * (x.abs().T @ x.abs())).all()


@pytest.mark.usefixtures("_either_way")
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("constant", [False, True])
def test_second_moments_are_symmetric(constant, weighted):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, 10, dtype=torch.float64, generator=generator)
    weights = torch.randn(40, dtype=torch.float64, generator=generator) if weighted else None
    with Rounding():
        moment = homogeneous_second_moment(x, constant=constant, weights=weights)
    assert is_symmetric(moment)


@pytest.mark.usefixtures("_small_blocks")
@pytest.mark.parametrize("name", APPROXIMATIONS)
@pytest.mark.parametrize("layer", LAYERS)
def test_approximations_have_symmetric_factors_and_are_what_the_dense_block_says(layer, name):
    approximation, rank = APPROXIMATIONS[name]
    found = LAYERS[layer]()
    with Rounding():
        value = approximation(found.block).value
    for a, g in value.terms:
        assert is_symmetric(a)
        assert is_symmetric(g)
    if name == "kfac":
        expected = found.block.kfac_factors()
        close(torch.kron(*value.terms[0]), torch.kron(*expected), 1e-13)
    elif name == "kfac-corrected":
        rest = Case(found.block, found.fisher - torch.kron(*found.block.kfac_factors()))
        close(torch.kron(*value.terms[1]), _nearest(rest, 1), 1e-7)
    else:
        close(value.dense(), _nearest(found, rank), 1e-7)


def _nearest(found, rank):
    """The dense sum of the first products of symmetric factors."""
    d_in, d_out = found.block.d_in, found.block.d_out
    u, sigma, v = torch.linalg.svd(found.symmetric_z())
    return sum(
        sigma[i] * torch.kron(u[:, i].reshape(d_in, d_in).contiguous(), v[i].reshape(d_out, d_out).contiguous())
        for i in range(rank)
    )


@pytest.mark.usefixtures("_small_blocks")
@pytest.mark.parametrize("radius", [None, 1])
@pytest.mark.parametrize("layer", [name for name in LAYERS if "linear" not in name])
def test_a_matrix_that_is_symmetric_but_for_rounding_takes_no_other_way(layer, radius):
    generator = torch.Generator().manual_seed(0)
    for name, size in (("rearranged_times", "d_out"), ("rearranged_transpose_times", "d_in")):
        # What a block keeps of its first product spares the second one some work.
        blocks = [LAYERS[layer]().block for _ in range(2)]
        if radius is not None:
            blocks = [block.truncated(radius) for block in blocks]
        matrix = torch.randn(*2 * [getattr(blocks[0], size)], dtype=torch.float64, generator=generator)
        matrix = matrix + matrix.T
        rounded = matrix * (1 + EPS * torch.randint(-2, 3, matrix.shape, generator=generator).double())
        assert not is_symmetric(rounded)
        with Rounding(units=0) as exact:
            expected = getattr(blocks[0], name)(matrix)
        with Rounding() as planted:
            actual = getattr(blocks[1], name)(rounded)
        assert planted.shapes == exact.shapes
        assert is_symmetric(actual)
        close(actual, expected, 1e-13)


FINE = partial(KroneckerCurvature, approximation=kfac, damping=0.1)
CURVATURES = {
    **{
        f"{name}-{kind}": partial(KroneckerCurvature, approximation=approximation, damping=0.1, damping_kind=kind)
        for name, (approximation, _) in APPROXIMATIONS.items()
        for kind in ("factored", "normal")
        if not name.endswith("-direct")
    },
    "deflation-3": partial(KroneckerCurvature, approximation=partial(deflation, rank=3, **TIGHT), damping=0.1),
    "near-positions": partial(KroneckerCurvature, approximation=at_radius(partial(kpsvd, **TIGHT), 1), damping=0.1),
    "exact": partial(ExactCurvature, damping=0.1),
    "block-diagonal": partial(BlockDiagonalCurvature, damping=0.1),
    "block-diagonal-factored": partial(BlockDiagonalCurvature, damping=0.1, damping_kind="factored"),
    **{
        f"two-level-{space}": lambda layers, space=space: TwoLevelCurvature(
            layers, FINE(layers), coarse_space=space, damping=0.1
        )
        for space in ("nicolaides", "spectral", "krylov-nicolaides", "residual", "krylov-residual", "taylor")
    },
    "additive": lambda layers: AdditiveTwoLevelCurvature(layers, FINE(layers), damping=0.1),
}
MODELS = {"perceptron": perceptron, "convolutions": convolutions}


@pytest.mark.usefixtures("_small_blocks")
@pytest.mark.parametrize("curvature", CURVATURES)
@pytest.mark.parametrize("model", MODELS)
def test_steps_are_what_they_are_with_other_rounding(model, curvature):
    given = problem(model=MODELS[model](), likelihood=Categorical(), examples=12)

    def step():
        made = CURVATURES[curvature](given.layers)
        for _ in range(2):
            made.accumulate(given.blocks)
            made.refresh()
        return made, flat(made.precondition(given.gradients))

    _, expected = step()
    with Rounding():
        made, actual = step()
    # What iterations to 1e-6 leave, where there are any; else the condition of the damped curvature, here below 1e3.
    close(actual, expected, 1e-5 if curvature in ITERATED else 1e-11)
    if curvature == "exact":
        close(actual, given.solve(0.1), 1e-11)
    for value in getattr(made, "factors", {}).values():
        for factor in (factor for term in value.terms for factor in term):
            # Averages round entry by entry, some in vectors and some not.
            assert ((factor - factor.T).abs() <= 4 * EPS * factor.abs()).all()


ITERATED = {"deflation-3"} | {name for name in CURVATURES if name.endswith("-normal")}
