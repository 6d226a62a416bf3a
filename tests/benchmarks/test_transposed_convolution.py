"""What KFAC's refresh of a transposed convolution costs, as a part of that of the convolution that it equals.

``pytest tests/benchmarks/test_transposed_convolution.py --benchmark-enable`` measures processor time on one thread,
prints the ratios and holds them to a factor of two; without a benchmark run each layer is refreshed once. The
convolution is given its input with the zeros between the pixels (chapter 5.2): putting them there is not counted.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from ngbench.curvature.curvatures.kronecker import KroneckerCurvature
from ngbench.curvature.kronecker.approximations import kfac
from ngbench.curvature.layers import Call, ConvTranspose2dLayer, find_layers

ROUNDS = 7
LIMIT = 2.0


@dataclass(frozen=True)
class Case:
    """A layer of a task's network, the height and width of its input, and how many examples the curvature sees."""

    module: nn.ConvTranspose2d
    size: int
    examples: int


CASES = {
    "conv-autoencoder-mnist 16→6, 5×5": Case(nn.ConvTranspose2d(16, 6, 5), 20, 128),
    "conv-autoencoder-mnist 6→1, 5×5": Case(nn.ConvTranspose2d(6, 1, 5), 24, 128),
    "conv-autoencoder-cifar10 16→6, 5×5": Case(nn.ConvTranspose2d(16, 6, 5), 24, 128),
    "conv-autoencoder-cifar10 6→3, 5×5": Case(nn.ConvTranspose2d(6, 3, 5), 28, 128),
    "gan-mnist 64→128, 4×4": Case(nn.ConvTranspose2d(64, 128, 4), 1, 64),
    "gan-mnist 128→64, 4×4, stride 2": Case(nn.ConvTranspose2d(128, 64, 4, 2, 1), 4, 64),
    "gan-mnist 64→32, 4×4, stride 2": Case(nn.ConvTranspose2d(64, 32, 4, 2, 1), 8, 64),
    "gan-mnist 32→16, 4×4, stride 2": Case(nn.ConvTranspose2d(32, 16, 4, 2, 1), 16, 64),
    "gan-mnist 16→1, 1×1, padding 2": Case(nn.ConvTranspose2d(16, 1, 1, padding=2), 32, 64),
    "gan-cifar10 16→16, 4×4, stride 2": Case(nn.ConvTranspose2d(16, 16, 4, 2, 1), 16, 64),
    "gan-cifar10 16→16, 1×1, stride 2": Case(nn.ConvTranspose2d(16, 16, 1, 2, output_padding=1), 16, 64),
}


class Refresh:
    """KFAC's estimate and inverse of one layer on one batch, again and again."""

    def __init__(self, module: nn.Module, inputs: Tensor, derivatives: Tensor) -> None:
        layers = find_layers(module)
        (self.layer,) = layers.values()
        self.call = Call(inputs, derivatives)
        self.curvature = KroneckerCurvature(layers, kfac, damping=1e-3)

    def seconds(self) -> float:
        """Of the processor."""
        start = time.process_time()
        self.curvature.accumulate({self.layer: self.layer.block([self.call])})
        self.curvature.refresh()
        return time.process_time() - start


def pair(case: Case) -> tuple[Refresh, Refresh]:
    """The transposed convolution and the convolution that it equals."""
    torch.manual_seed(0)
    module = case.module
    inputs = torch.randn(case.examples, module.in_channels, case.size, case.size)
    outputs = module(inputs).detach()
    transposed = Refresh(module, inputs, torch.randn_like(outputs))
    assert isinstance(transposed.layer, ConvTranspose2dLayer)
    transposition = transposed.layer.transposition
    left, _, top, _ = transposition.geometry.padding
    convolution = nn.Conv2d(module.in_channels, module.out_channels, module.kernel_size, padding=(top, left))
    with torch.no_grad():
        convolution.weight.copy_(module.weight.transpose(0, 1).flip(2, 3))
        convolution.bias.copy_(module.bias)
    interleaved = transposition.interleave(inputs, outputs)
    assert torch.allclose(convolution(interleaved), outputs, atol=1e-5)
    return transposed, Refresh(convolution, interleaved, transposed.call.derivatives)


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", CASES)
def test_refresh_of_a_transposed_convolution_in_units_of_that_of_its_convolution(name, benchmark, capsys):
    case = CASES[name]
    if benchmark.disabled:
        case = Case(case.module, case.size, 2)
    transposed, convolution = pair(case)
    ratios = []
    # The first round also pays for what is allocated and loaded once.
    for _ in range(1 if benchmark.disabled else ROUNDS + 1):
        unit = convolution.seconds()
        ratios.append(transposed.seconds() / unit)
    ratio = statistics.median(ratios[1:] or ratios)
    benchmark.extra_info["convolutions"] = ratio
    benchmark.pedantic(transposed.seconds, rounds=1)
    if not benchmark.disabled:
        with capsys.disabled():
            print(f"\nKFAC's refresh of {name}: {ratio:.2f} of that of its convolution, at most {LIMIT:.0f}")
        assert ratio <= LIMIT
    (a, g), (expected_a, expected_g) = (
        side.curvature.factors[side.layer.name].terms[0] for side in (transposed, convolution)
    )
    torch.testing.assert_close(a, expected_a, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(g, expected_g, rtol=1e-4, atol=1e-4)
