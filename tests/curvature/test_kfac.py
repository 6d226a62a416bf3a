from __future__ import annotations

import pytest
import torch
from oracle import expectation_over_targets, fisher_block, per_example_gradients, unvec, vec, weight_gradients
from torch import nn

from ngbench.curvature.blocks.moments import homogeneous_second_moment
from ngbench.curvature.capture import Capture
from ngbench.curvature.curvatures.kronecker import KroneckerCurvature
from ngbench.curvature.inverses.damping import Damping
from ngbench.curvature.kronecker.approximations import kfac
from ngbench.curvature.kronecker.sums import KroneckerSum
from ngbench.curvature.layers import find_layers
from ngbench.curvature.likelihoods import Bernoulli, Categorical, Gaussian

LIKELIHOODS = {"bernoulli": Bernoulli(), "gaussian": Gaussian(), "categorical": Categorical()}


def _close(actual, expected, tolerance=1e-10):
    assert (actual - expected).norm() <= tolerance * expected.norm()


def _network(bias: bool = True) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(5, 6, bias=bias),
        nn.ReLU(inplace=True),
        nn.Linear(6, 4, bias=bias),
        nn.Tanh(),
        nn.Linear(4, 3),
    ).double()


def _blocks(model, likelihood, inputs, targets, fisher, **options):
    layers = find_layers(model)
    capture = Capture(model, layers, likelihood, fisher=fisher, seed=3, **options)
    capture.due = True
    loss = likelihood.loss(model(inputs), targets)
    loss.backward()
    blocks = capture.take()
    capture.remove()
    return {layer.name: block for layer, block in blocks.items()}


def _same_samples(model, likelihood, inputs):
    return likelihood.sample(model(inputs).detach(), torch.Generator().manual_seed(3))


@pytest.mark.parametrize("likelihood", LIKELIHOODS.values(), ids=LIKELIHOODS)
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])
@pytest.mark.parametrize("fisher", ["sampled", "empirical"])
def test_the_captured_block_is_that_of_per_example_autograd(likelihood, bias, fisher):
    model = _network(bias)
    inputs = torch.randn(7, 5, dtype=torch.float64)
    targets = likelihood.sample(model(inputs).detach())
    blocks = _blocks(model, likelihood, inputs, targets, fisher)
    used = targets if fisher == "empirical" else _same_samples(model, likelihood, inputs)
    gradients = per_example_gradients(model, likelihood, inputs, used)
    for name in ("0", "2", "4"):
        _close(blocks[name].dense(), fisher_block(weight_gradients(gradients, name)))


@pytest.mark.parametrize("likelihood", LIKELIHOODS.values(), ids=LIKELIHOODS)
def test_the_exact_block_is_the_expectation_over_targets(likelihood):
    model = _network()
    inputs = torch.randn(4, 5, dtype=torch.float64)
    blocks = _blocks(model, likelihood, inputs, likelihood.sample(model(inputs).detach()), "exact")
    for name in ("0", "2", "4"):
        _close(blocks[name].dense(), expectation_over_targets(model, likelihood, inputs, name))


@pytest.mark.parametrize("fisher", ["sampled", "empirical", "exact"])
def test_factors_are_the_second_moments_of_dense_inputs_and_derivatives(fisher):
    model, likelihood = _network(), Categorical()
    inputs = torch.randn(7, 5, dtype=torch.float64)
    targets = likelihood.sample(model(inputs).detach())
    block = _blocks(model, likelihood, inputs, targets, fisher)["2"]
    a, g = kfac(block).value.terms[0]
    hidden = torch.cat([model[1](model[0](inputs)), torch.ones(7, 1)], 1).detach()
    _close(a, hidden.T @ hidden / 7)
    # Summed over the inputs' directions, the block of the bias alone is E[g gᵀ]: its bias columns are g.
    _close(g, block.dense()[-4:, -4:])


def test_the_block_is_exact_on_a_deep_linear_network_with_gaussian_loss():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 3), nn.Linear(3, 2)).double()
    likelihood, inputs = Gaussian(), torch.randn(6, 4, dtype=torch.float64)
    blocks = _blocks(model, likelihood, inputs, torch.zeros(6, 2, dtype=torch.float64), "exact")
    for block in blocks.values():
        _close(kfac(block).value.dense(), block.dense())


@pytest.mark.parametrize(("fraction", "used"), [(0.25, 2), (0.5, 4), (0.3, 3), (0.01, 1)])
@pytest.mark.parametrize("fisher", ["sampled", "empirical", "exact"])
def test_curvature_fraction_uses_the_first_examples(fraction, used, fisher):
    model, likelihood = _network(), Bernoulli()
    inputs = torch.randn(8, 5, dtype=torch.float64)
    targets = likelihood.sample(model(inputs).detach())
    part = _blocks(model, likelihood, inputs, targets, fisher, fraction=fraction)
    alone = _blocks(model, likelihood, inputs[:used], targets[:used], fisher)
    for name in part:
        assert part[name].examples == used
        _close(part[name].dense(), alone[name].dense())


@pytest.mark.parametrize("use_pi", [True, False])
def test_the_preconditioned_gradient_solves_the_dense_damped_system(use_pi):
    torch.manual_seed(0)
    a = torch.randn(9, 4, dtype=torch.float64)
    g = torch.randn(9, 3, dtype=torch.float64)
    a, g = a.T @ a, g.T @ g
    damping = 0.3
    pi = ((a.trace() / 4) / (g.trace() / 3)).sqrt() if use_pi else 1.0
    dense = torch.kron(a + pi * damping**0.5 * torch.eye(4).double(), g + damping**0.5 / pi * torch.eye(3).double())
    gradient = torch.randn(3, 4, dtype=torch.float64)
    expected = unvec(torch.linalg.solve(dense, vec(gradient)), 3)
    inverse = KroneckerSum(((a, g),)).inverse(Damping(damping, use_pi=use_pi))
    _close(inverse.times(gradient), expected)


def test_kronecker_sum_products_equal_the_dense_matrix():
    torch.manual_seed(0)
    terms = tuple((torch.randn(4, 4).double(), torch.randn(3, 3).double()) for _ in range(2))
    terms = tuple((a + a.T, g + g.T) for a, g in terms)
    matrix = torch.randn(3, 4, dtype=torch.float64)
    total = KroneckerSum(terms)
    _close(vec(total.times(matrix)), total.dense() @ vec(matrix))


def test_running_averages_weigh_updates_by_the_thesis_rule():
    model, likelihood = _network(), Categorical()
    layers = find_layers(model)
    curvature = KroneckerCurvature(layers, kfac, damping=0.1, decay=0.6)
    expected = None
    for k in range(1, 5):
        inputs = torch.randn(6, 5, dtype=torch.float64)
        blocks = _blocks(model, likelihood, inputs, torch.zeros(6, dtype=torch.long), "sampled")
        by_layer = {layer: blocks[layer.name] for layer in layers.values()}
        curvature.accumulate(by_layer)
        rho = min(1 - 1 / k, 0.6)
        new = kfac(blocks["2"]).value.terms[0]
        expected = new if k == 1 else tuple(rho * old + (1 - rho) * now for old, now in zip(expected, new, strict=True))
    for actual, wanted in zip(curvature.factors["2"].terms[0], expected, strict=True):
        _close(actual, wanted)


@pytest.mark.parametrize("width", [3, 256, 300, 513])
@pytest.mark.parametrize("constant", [True, False])
def test_second_moments_equal_the_full_product_at_every_width(width, constant):
    torch.manual_seed(0)
    x = torch.randn(20, width, dtype=torch.float64)
    moment = homogeneous_second_moment(x, constant=constant)
    full = torch.cat([x, torch.ones(20, 1, dtype=torch.float64)], 1) if constant else x
    _close(moment, full.T @ full, 1e-12)


def test_a_layer_called_twice_adds_its_gradients():
    torch.manual_seed(0)

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(4, 4)
            self.outer = nn.Linear(4, 3)

        def forward(self, x):
            return self.outer(torch.tanh(self.inner(torch.tanh(self.inner(x)))))

    model, likelihood = Twice().double(), Categorical()
    inputs = torch.randn(6, 4, dtype=torch.float64)
    blocks = _blocks(model, likelihood, inputs, torch.zeros(6, dtype=torch.long), "sampled")
    gradients = per_example_gradients(model, likelihood, inputs, _same_samples(model, likelihood, inputs))
    _close(blocks["inner"].dense(), fisher_block(weight_gradients(gradients, "inner")))


def test_positions_of_a_linear_layer_share_its_weight():
    torch.manual_seed(0)

    class Sequence(nn.Module):
        def __init__(self):
            super().__init__()
            self.token = nn.Linear(4, 5)
            self.head = nn.Linear(5, 3)

        def forward(self, x):
            return self.head(torch.tanh(self.token(x)).mean(1))

    model, likelihood = Sequence().double(), Categorical()
    inputs = torch.randn(6, 7, 4, dtype=torch.float64)
    block = _blocks(model, likelihood, inputs, torch.zeros(6, dtype=torch.long), "sampled")["token"]
    gradients = per_example_gradients(model, likelihood, inputs, _same_samples(model, likelihood, inputs))
    _close(block.dense(), fisher_block(weight_gradients(gradients, "token")))
    a, g = kfac(block).value.terms[0]
    positions = torch.cat([inputs, torch.ones(6, 7, 1)], 2)
    _close(a, torch.einsum("bti,btj->ij", positions, positions) / 6)
    _close(g, torch.einsum("bti,btj->ij", block.derivatives, block.derivatives) / (6 * 7))
