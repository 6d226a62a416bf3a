"""Iterations in bases of few patches, against direct products."""

from __future__ import annotations

import pytest
import torch
from rearranged import case, convolution
from torch import nn

from ngbench.curvature.kronecker.approximations import deflation, kfac_corrected, kpsvd, lanczos, rearrange
from ngbench.curvature.kronecker.compressed import CompressedRearrangement, compression_operations, is_compressible
from ngbench.curvature.kronecker.rearrangement import DirectRearrangement
from ngbench.curvature.kronecker.sums import KroneckerSum
from ngbench.curvature.layers import Call, find_layers
from ngbench.measurement.operations import count_operations

# Two examples of 3 x 3 positions; patches of 32 entries and the constant.
DEEP = {"examples": 2, "size": (2, 2), "channels": (8, 24), "padding": 1}
EXACT = {"precision": 1e-12, "max_iterations": 2000}


def _difference(one, other):
    return float((one.dense() - other.dense()).norm() / one.dense().norm())


@pytest.mark.parametrize("approximation", [kpsvd, deflation, lanczos, kfac_corrected])
@pytest.mark.parametrize(
    "options", [{}, {"bias": False}, {"columns": 3}, {"channels": (8, 6), "columns": 3}, {"stride": 2}]
)
def test_few_patches_give_the_products_of_the_direct_route(approximation, options):
    block = convolution(**{**DEEP, **options}).block
    assert isinstance(rearrange(block, 2), CompressedRearrangement)
    found, expected = approximation(block, **EXACT), approximation(block, route="direct", **EXACT)
    assert _difference(expected.value, found.value) < 1e-9
    a, g = found.value.terms[-1]
    assert torch.equal(a, a.T)
    assert torch.equal(g, g.T)
    assert found.iterations.keys() == expected.iterations.keys()


def test_a_layer_that_is_called_twice_has_the_positions_of_both_calls():
    generator = torch.Generator().manual_seed(0)
    (layer,) = find_layers(nn.Conv2d(8, 24, 3, padding=1).double()).values()
    calls = [
        Call(*(torch.randn(2, c, h, 2, dtype=torch.float64, generator=generator) for c in (8, 24))) for h in (1, 2)
    ]
    block = layer.block(calls)
    assert isinstance(rearrange(block, 2), CompressedRearrangement)
    assert _difference(deflation(block, route="direct", **EXACT).value, deflation(block, **EXACT).value) < 1e-9


def test_a_start_from_another_batch_gives_the_same_products():
    block = convolution(**DEEP).block
    start = deflation(convolution(**DEEP, seed=1).block).value
    found = deflation(block, start, **EXACT)
    assert _difference(deflation(block, route="direct", **EXACT).value, found.value) < 1e-9


def test_a_start_is_taken_where_it_costs_less_than_the_iterations_that_it_saves():
    narrow = CompressedRearrangement(convolution(**{**DEEP, "examples": 3}).block)
    assert narrow.wants_warm_start
    image = narrow.warm_left((torch.eye(33).double(), torch.eye(24).double()))
    assert torch.allclose(image, torch.eye(27).double())
    assert not rearrange(convolution(**{**DEEP, "channels": (60, 24)}).block, 2).wants_warm_start


@pytest.mark.parametrize("approximation", [kpsvd, deflation, lanczos, kfac_corrected])
def test_zero_gradients_have_zero_products(approximation):
    layer = nn.Conv2d(8, 24, 3, padding=1)
    block = case(layer, torch.randn(2, 8, 2, 2).double(), torch.zeros(2, 24, 2, 2).double()).block
    for a, g in approximation(block).value.terms:
        assert not torch.kron(a, g).any()


def test_many_patches_and_groups_are_left_to_the_direct_route():
    assert type(rearrange(convolution(**{**DEEP, "examples": 10}).block, 2)) is DirectRearrangement
    grouped = convolution(**{**DEEP, "channels": (8, 24)}, groups=2).block
    assert not is_compressible(grouped)
    assert type(rearrange(grouped, 2)) is DirectRearrangement
    assert type(rearrange(convolution(**DEEP).block.truncated(1), 2)) is DirectRearrangement


def test_the_route_takes_the_operations_that_it_saves():
    block = convolution(examples=2, size=(2, 2), channels=(40, 30), padding=1).block
    counts = []
    for route in ("auto", "direct"):
        with count_operations() as counter:
            deflation(block, route=route)
        counts.append(counter.mark().flops)
    compressed, direct = compression_operations(block, 2)
    assert compressed < direct / 4
    assert counts[0] < counts[1] / 4


def test_float32_finds_the_products_of_float64():
    generator = torch.Generator().manual_seed(0)
    inputs, derivatives = (torch.randn(2, c, 2, 2, generator=generator) for c in (8, 24))
    (layer,) = find_layers(nn.Conv2d(8, 24, 3, padding=1)).values()
    single, double = (layer.block([Call(inputs.to(d), derivatives.to(d))]) for d in (torch.float32, torch.float64))
    assert isinstance(rearrange(single, 2), CompressedRearrangement)
    found = deflation(single, precision=1e-5)
    value = KroneckerSum(tuple((a.double(), g.double()) for a, g in found.value.terms))
    assert _difference(deflation(double, route="direct", **EXACT).value, value) < 1e-3
