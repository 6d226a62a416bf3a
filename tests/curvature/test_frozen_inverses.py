"""What an inverse keeps is its own: estimates between two inversions do not change F̂⁻¹∇h."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from ngbench.curvature.curvatures.additive import AdditiveTwoLevelCurvature
from ngbench.curvature.curvatures.coarse import FIXED_SPACES, RESIDUAL_SPACES
from ngbench.curvature.curvatures.exact import BlockDiagonalCurvature, ExactCurvature
from ngbench.curvature.curvatures.kronecker import KroneckerCurvature
from ngbench.curvature.curvatures.two_level import TwoLevelCurvature
from ngbench.curvature.kronecker import approximations as ap
from ngbench.curvature.layers import Call, find_layers
from ngbench.curvature.linalg import low_rank

EXAMPLES = 12

APPROXIMATIONS = {
    "kfac": ap.kfac,
    "kpsvd": ap.kpsvd,
    "kfac-corrected": ap.kfac_corrected,
    **{f"deflation-{rank}": partial(ap.deflation, rank=rank) for rank in (1, 2, 3, 4)},
    **{f"lanczos-{rank}": partial(ap.lanczos, rank=rank) for rank in (1, 2, 3)},
}
DAMPINGS = [
    {"damping_kind": kind, "use_pi": use_pi, "second_term": second_term}
    for kind, use_pi in (("factored", False), ("factored", True), ("normal", False))
    for second_term in ("clamp", "absolute")
]


def _is_allowed(name, damping):
    """Two products under factored damping alone take absolute values."""
    rank = int(name[-1]) if name[-1].isdigit() else 2
    return damping["second_term"] == "clamp" or (rank <= 2 and damping["damping_kind"] == "factored")


CASES = [(name, damping) for name in APPROXIMATIONS for damping in DAMPINGS if _is_allowed(name, damping)]


def _layers():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(7, 6), nn.Conv2d(2, 3, 2), nn.Linear(6, 4, bias=False)).double()
    return find_layers(model)


def _blocks(layers, seed):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return seed * torch.randn(EXAMPLES, *shape, generator=generator, dtype=torch.float64)

    first, convolution, last = layers.values()
    recorded = {
        first: Call(draw(7), draw(6)),
        convolution: Call(draw(2, 4, 4), draw(3, 3, 3)),
        last: Call(draw(6), draw(4)),
    }
    blocks = {layer: layer.block((call,)) for layer, call in recorded.items()}
    for layer, call in recorded.items():
        blocks[layer].calls = (call,)
    return blocks


def _gradients(layers):
    generator = torch.Generator().manual_seed(9)
    return {
        layer: torch.randn(layer.d_out, layer.d_in, generator=generator, dtype=torch.float64)
        for layer in layers.values()
    }


def _check_frozen(curvature, layers):
    def directions():
        return {layer: matrix.clone() for layer, matrix in curvature.precondition(_gradients(layers)).items()}

    curvature.accumulate(_blocks(layers, 1))
    curvature.refresh()
    # The first product of an exact curvature after a refresh may take another way than later ones.
    directions()
    before = directions()
    for seed in (2, 3):
        curvature.accumulate(_blocks(layers, seed))
        after = directions()
        for layer, matrix in before.items():
            torch.testing.assert_close(after[layer], matrix, rtol=1e-9, atol=1e-12)
    curvature.refresh()
    after = directions()
    moved = max(float((after[layer] - matrix).norm() / matrix.norm()) for layer, matrix in before.items())
    assert moved > 1e-3


@pytest.mark.parametrize("wide", [False, True], ids=["", "projected"])
@pytest.mark.parametrize(
    ("name", "damping"), CASES, ids=[f"{name}-{'-'.join(map(str, damping.values()))}" for name, damping in CASES]
)
def test_an_inverse_of_kronecker_products_is_frozen(name, damping, wide, monkeypatch):
    if wide:
        # Of the layers' factors, some are then projected on their ranges and some are kept whole.
        monkeypatch.setattr(low_rank, "WIDE", 7)
    layers = _layers()
    curvature = KroneckerCurvature(layers, APPROXIMATIONS[name], damping=1e-2, decay=0.5, **damping)
    _check_frozen(curvature, layers)


@pytest.mark.parametrize("fine", ["kfac", "deflation-3"])
@pytest.mark.parametrize("space", [*FIXED_SPACES, *RESIDUAL_SPACES, "taylor", "previous"])
def test_a_two_level_correction_is_frozen(space, fine):
    layers = _layers()
    inner = KroneckerCurvature(layers, APPROXIMATIONS[fine], damping=1e-2, damping_kind="normal", decay=0.5)
    if space == "previous":
        _check_frozen(AdditiveTwoLevelCurvature(layers, inner, damping=1e-2), layers)
    else:
        _check_frozen(TwoLevelCurvature(layers, inner, coarse_space=space, damping=1e-2), layers)


@pytest.mark.parametrize(
    "make",
    [
        ExactCurvature,
        BlockDiagonalCurvature,
        partial(BlockDiagonalCurvature, damping_kind="factored", use_pi=True),
        partial(ExactCurvature, empirical=True),
    ],
)
def test_the_inverse_of_a_batch_is_frozen(make):
    layers = _layers()
    _check_frozen(make(layers, damping=1e-2), layers)
