from __future__ import annotations

import pytest
import torch
from oracle import fisher_block, per_example_gradients
from torch import nn
from torch.func import functional_call, grad, vmap

from ngbench.curvature.capture import Capture
from ngbench.curvature.curvatures.kronecker import KroneckerCurvature
from ngbench.curvature.kronecker.approximations import kfac
from ngbench.curvature.layers import Call, find_layers
from ngbench.curvature.likelihoods import Gaussian

GEOMETRIES = {
    "plain": {"kernel_size": 3},
    "stride": {"kernel_size": 4, "stride": 2, "padding": 1},
    "output-padding": {"kernel_size": 3, "stride": 2, "padding": 1, "output_padding": 1},
    "one-by-one-output-padding": {"kernel_size": 1, "stride": 2, "output_padding": 1},
    "rectangular": {"kernel_size": (2, 3), "stride": (3, 1), "padding": (0, 2), "output_padding": (2, 0)},
    "dilation": {"kernel_size": 3, "dilation": 2, "padding": 1},
    "dilation-output-padding": {"kernel_size": 2, "dilation": 3, "stride": 2, "output_padding": (2, 1)},
    "groups": {"kernel_size": 3, "groups": 2, "stride": 2},
    "padding-beyond-kernel": {"kernel_size": 2, "padding": 3, "stride": 3},
    "padding-off-the-stride": {"kernel_size": 1, "padding": 2, "stride": 3},
    "depthwise": {"kernel_size": 2, "groups": 4, "padding": 1},
    "stride-beyond-kernel": {"kernel_size": 2, "stride": 3, "padding": 1, "output_padding": 2},
    "stride-shares-dilation": {"kernel_size": 3, "stride": 4, "dilation": 2, "padding": 3},
    "dilation-multiple-of-stride": {"kernel_size": 3, "stride": 2, "dilation": 4, "padding": (5, 3)},
    "all-but-one-pixel-cut-off": {"kernel_size": 3, "stride": 2, "padding": (5, 4), "groups": 2},
}


def _close(actual, expected, tolerance=1e-10):
    assert actual.shape == expected.shape
    assert (actual - expected).norm() <= tolerance * expected.norm()


def _gradients(module, x, g, output_size=None):
    """``(m, ...)`` by autograd, for the weight and the bias in their own shapes."""
    parameters = {name: p.detach() for name, p in module.named_parameters()}

    def loss(values, x, g):
        output = functional_call(module, values, (x.unsqueeze(0),), {"output_size": output_size})
        return torch.sum(output.squeeze(0) * g)

    return vmap(grad(loss), in_dims=(None, 0, 0))(parameters, x, g)


def _check(module, x, g, gradients):
    (layer,) = find_layers(module).values()
    block = layer.block([Call(x, g)])
    d = block.per_example_gradients()
    for b, matrix in enumerate(d):
        parts = layer.split(matrix)
        for part, parameter, expected in zip(parts, layer.parameters, gradients.values(), strict=True):
            assert part.shape == parameter.shape
            _close(part, expected[b])
        _close(layer.join(*(parts if len(parts) == 2 else (parts[0], None))), matrix)
    _close(block.dense(), fisher_block(d))
    return layer, block


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])
@pytest.mark.parametrize("options", GEOMETRIES.values(), ids=GEOMETRIES)
def test_the_block_of_a_transposed_convolution_is_that_of_per_example_autograd(options, bias):
    torch.manual_seed(0)
    module = nn.ConvTranspose2d(4, 8, bias=bias, **options).double()
    x = torch.randn(3, 4, 5, 4, dtype=torch.float64)
    g = torch.randn_like(module(x).detach())
    _, block = _check(module, x, g, _gradients(module, x, g))
    assert block.positions == g[0, 0].numel()


def test_a_call_that_sizes_its_own_output_is_followed():
    torch.manual_seed(0)
    module = nn.ConvTranspose2d(2, 3, 3, stride=3).double()
    x = torch.randn(3, 2, 4, 4, dtype=torch.float64)
    size = [13, 14]
    g = torch.randn_like(module(x, output_size=size).detach())
    assert g.shape[2:] == (13, 14)
    _check(module, x, g, _gradients(module, x, g, size))


def _check_factors(module, inputs, derivatives):
    (layer,) = find_layers(module).values()
    examples = len(inputs[0])
    block = layer.block([Call(x, g) for x, g in zip(inputs, derivatives, strict=True)])
    a, factor = block.kfac_factors()
    assert "inputs" not in vars(block), "zeros were put between the pixels"
    patches = block.patches(0, examples)
    _close(a, torch.einsum("ngit,ngjt->ij", patches, patches) / examples)
    derivatives = block.output_derivatives(0, examples)
    positions = examples * block.positions * module.groups
    blocks = torch.einsum("ngit,ngjt->gij", derivatives, derivatives) / positions
    _close(factor, torch.block_diag(*blocks))


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])
@pytest.mark.parametrize("options", GEOMETRIES.values(), ids=GEOMETRIES)
def test_the_factors_are_those_of_the_interleaved_convolution(options, bias):
    torch.manual_seed(0)
    module = nn.ConvTranspose2d(4, 8, bias=bias, **options).double()
    x = torch.randn(3, 4, 5, 4, dtype=torch.float64)
    _check_factors(module, [x], [torch.randn_like(module(x).detach())])


@pytest.mark.parametrize("name", ["stride", "output-padding", "groups"])
def test_the_factors_of_several_calls_add_up(name):
    torch.manual_seed(0)
    module = nn.ConvTranspose2d(4, 8, **GEOMETRIES[name]).double()
    inputs = [torch.randn(3, 4, *size, dtype=torch.float64) for size in [(5, 4), (1, 1), (2, 7)]]
    _check_factors(module, inputs, [torch.randn_like(module(x).detach()) for x in inputs])


@pytest.mark.parametrize("stride", [2, 3])
def test_kernel_offsets_of_different_phases_of_the_stride_are_uncorrelated(stride):
    torch.manual_seed(0)
    module = nn.ConvTranspose2d(2, 3, 4, stride=stride, bias=False).double()
    x = torch.randn(3, 2, 5, 4, dtype=torch.float64)
    (layer,) = find_layers(module).values()
    a, _ = layer.block([Call(x, torch.randn_like(module(x).detach()))]).kfac_factors()
    phases = torch.cartesian_prod(torch.arange(4) % stride, torch.arange(4) % stride).repeat(2, 1)
    same = (phases[:, None] == phases).all(2)
    assert not a[~same].any()
    assert a[same].all()


def test_the_update_is_that_of_the_interleaved_convolution_mapped_back():
    """(5.41): the natural gradient of the convolution, its kernel rotated and its channel axes exchanged."""
    torch.manual_seed(0)
    module = nn.ConvTranspose2d(4, 6, 4, stride=2, padding=1).double()
    convolution = nn.Conv2d(4, 6, 4, padding=2).double()
    x = torch.randn(3, 4, 5, 4, dtype=torch.float64)
    interleaved = torch.zeros(3, 4, 9, 7, dtype=torch.float64)
    interleaved[:, :, ::2, ::2] = x
    with torch.no_grad():
        convolution.weight.copy_(module.weight.transpose(0, 1).flip(2, 3))
        convolution.bias.copy_(module.bias)
    _close(convolution(interleaved), module(x))
    g = torch.randn_like(module(x).detach())
    updates = []
    for given, inputs in ((module, x), (convolution, interleaved)):
        given(inputs).backward(g)
        layers = find_layers(given)
        (layer,) = layers.values()
        curvature = KroneckerCurvature(layers, kfac, damping=1e-2)
        curvature.accumulate({layer: layer.block([Call(inputs, g)])})
        curvature.refresh()
        (update,) = curvature.precondition({layer: layer.gradient()}).values()
        updates.append(layer.split(update))
    (weight, bias), (expected_weight, expected_bias) = updates
    _close(weight, expected_weight.transpose(0, 1).flip(2, 3))
    _close(bias, expected_bias)


def test_a_generator_is_captured():
    torch.manual_seed(0)
    likelihood = Gaussian()
    model = nn.Sequential(
        nn.ConvTranspose2d(3, 4, 2),
        nn.ReLU(inplace=True),
        nn.ConvTranspose2d(4, 2, 4, stride=2, padding=1, bias=False),
        nn.Flatten(),
    ).double()
    inputs = torch.randn(4, 3, 2, 2, dtype=torch.float64)
    targets = torch.randn(4, 72, dtype=torch.float64)
    layers = find_layers(model)
    capture = Capture(model, layers, likelihood, fisher="empirical")
    capture.due = True
    likelihood.loss(model(inputs), targets).backward()
    blocks = capture.take()
    capture.remove()
    assert [layer.name for layer in blocks] == ["0", "2"]
    model[1].inplace = False
    gradients = per_example_gradients(model, likelihood, inputs, targets)
    for layer, block in blocks.items():
        for b, matrix in enumerate(block.per_example_gradients()):
            for part, parameter in zip(layer.split(matrix), ("weight", "bias"), strict=False):
                _close(part, gradients[f"{layer.name}.{parameter}"][b])
        _close(block.per_example_gradients().mean(0), layer.gradient())
