from __future__ import annotations

import gc
import weakref

import pytest
import torch
from oracle import fisher_block, per_example_gradients, weight_gradients
from torch import nn
from torch.nn.utils import parametrizations

from ngbench.curvature.capture import Capture
from ngbench.curvature.curvatures.kronecker import KroneckerCurvature
from ngbench.curvature.kronecker.approximations import kfac
from ngbench.curvature.layers import find_layers
from ngbench.curvature.likelihoods import Categorical
from ngbench.optimizers.natural_gradient import NaturalGradient

LIKELIHOOD = Categorical()
KINDS = ["sampled", "empirical", "exact"]


def _close(actual, expected, tolerance=1e-10):
    assert (actual - expected).norm() <= tolerance * expected.norm()


def _vgg():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(3, 4, 3, padding=1, stride=2, bias=False),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Linear(4 * 4, 3),
    ).double()


def _positions():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Flatten(2),
        nn.Linear(64, 4),
        nn.ReLU(inplace=True),
        nn.Linear(4, 3),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Linear(2 * 3, 3),
    ).double()


def _images(examples=5):
    return torch.randn(examples, 2, 8, 8, dtype=torch.float64)


def _labels(examples=5):
    return torch.arange(examples) % 3


def _capture(model, fisher="sampled", **options):
    layers = find_layers(model)
    capture = Capture(model, layers, LIKELIHOOD, fisher=fisher, seed=3, **options)
    capture.due = True
    return capture


def _by_name(capture):
    return {layer.name: block for layer, block in capture.take().items()}


def _optimizer(model, **options):
    def curvature(layers):
        return KroneckerCurvature(layers, kfac, damping=0.1)

    return NaturalGradient(model, LIKELIHOOD, curvature, **options)


@pytest.mark.parametrize("fisher", ["sampled", "empirical"])
@pytest.mark.parametrize("make", [_vgg, _positions])
def test_activations_that_overwrite_a_layers_output_leave_its_derivatives_alone(make, fisher):
    model, inputs, targets = make(), _images(), _labels()
    capture = _capture(model, fisher)
    LIKELIHOOD.loss(model(inputs), targets).backward()
    blocks = _by_name(capture)
    capture.remove()
    if fisher == "sampled":
        targets = LIKELIHOOD.sample(model(inputs).detach(), torch.Generator().manual_seed(3))
    # vmap refuses activations in place.
    plain = make()
    for module in plain:
        if isinstance(module, nn.ReLU):
            module.inplace = False
    gradients = per_example_gradients(plain, LIKELIHOOD, inputs, targets)
    assert set(blocks) == {name for name, module in model.named_children() if hasattr(module, "weight")}
    for name, block in blocks.items():
        _close(block.dense(), fisher_block(weight_gradients(gradients, name)))


@pytest.mark.parametrize("fisher", KINDS)
def test_a_model_that_is_one_layer_is_recorded_before_it_ends(fisher):
    torch.manual_seed(0)
    model, inputs = nn.Linear(4, 3).double(), torch.randn(5, 4, dtype=torch.float64)
    capture = _capture(model, fisher)
    LIKELIHOOD.loss(model(inputs), _labels()).backward()
    (block,) = capture.take().values()
    assert torch.equal(block.inputs, inputs)
    assert block.derivatives.abs().sum() > 0


@pytest.mark.parametrize("fisher", KINDS)
def test_deleting_the_optimizer_removes_its_hooks_and_frees_what_it_recorded(fisher):
    model = _vgg()
    optimizer = _optimizer(model, fisher=fisher)
    for _ in range(2):
        optimizer.zero_grad()
        LIKELIHOOD.loss(model(_images()), _labels()).backward()
        optimizer.step()
    # A batch that was recorded and not taken.
    LIKELIHOOD.loss(model(_images()), _labels()).backward()
    inputs = weakref.ref(optimizer._capture._reached[0].visits[0].inputs)
    capture, gone = weakref.ref(optimizer._capture), weakref.ref(optimizer)
    assert all(m._forward_hooks for m in (model, model[0], model[3], model[6]))
    del optimizer
    gc.collect()
    assert gone() is None
    assert capture() is None
    assert inputs() is None
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@pytest.mark.parametrize("fisher", KINDS)
def test_a_step_leaves_nothing_of_its_graph_behind(fisher):
    model = _vgg()
    optimizer = _optimizer(model, fisher=fisher)
    LIKELIHOOD.loss(model(_images()), _labels()).backward()
    kept = [weakref.ref(visit) for visit in optimizer._capture._reached[0].visits]
    optimizer.step()
    optimizer.zero_grad()
    gc.collect()
    assert kept
    assert all(reference() is None for reference in kept)


def test_nothing_is_recorded_without_gradients_and_the_next_pass_with_them_is():
    model, inputs = _vgg(), _images()
    capture = _capture(model)
    with torch.no_grad():
        model(inputs)
    assert capture.take() == {}
    with torch.inference_mode():
        model(inputs)
    assert capture.take() == {}
    model(inputs).sum().backward()
    assert set(_by_name(capture)) == {"0", "3", "6"}


@pytest.mark.parametrize("fisher", KINDS)
def test_the_first_of_several_forward_passes_counts(fisher):
    model, first, second = _vgg(), _images(), _images(4)
    capture = _capture(model, fisher)
    for inputs in (first, second):
        LIKELIHOOD.loss(model(inputs), _labels(len(inputs))).backward()
    blocks = _by_name(capture)
    assert torch.equal(blocks["0"].inputs[0], first)
    assert blocks["0"].examples == len(first)
    assert capture.take() == {}


@pytest.mark.parametrize("fisher", KINDS)
def test_a_forward_pass_that_fails_is_not_mixed_into_the_next(fisher):
    model, inputs = _vgg(), _images()
    capture = _capture(model, fisher)
    with pytest.raises(RuntimeError):
        model(torch.randn(5, 2, 12, 12, dtype=torch.float64))
    LIKELIHOOD.loss(model(inputs), _labels()).backward()
    blocks = _by_name(capture)
    assert len(blocks["0"].inputs) == 1
    assert torch.equal(blocks["0"].inputs[0], inputs)


class _Branches(nn.Module):
    """One of two branches is used."""

    def __init__(self):
        super().__init__()
        self.used = nn.Conv2d(2, 3, 8)
        self.unused = nn.Conv2d(2, 3, 8)
        self.detached = nn.Conv2d(2, 3, 8)

    def forward(self, x):
        return self.used(x).flatten(1) + self.detached(x).flatten(1).detach()


@pytest.mark.parametrize("fisher", KINDS)
def test_layers_without_a_part_in_the_output_have_no_block_and_do_not_move(fisher):
    torch.manual_seed(0)
    model = _Branches().double()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = _optimizer(model, fisher=fisher, lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        LIKELIHOOD.loss(model(_images()), _labels()).backward()
        optimizer.step()
    assert set(optimizer.curvature.factors) == {"used"}
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {"used.weight", "used.bias"}


def test_a_layer_with_a_frozen_weight_has_no_block_and_its_bias_takes_the_plain_gradient():
    model = _vgg()
    model[0].weight.requires_grad_(False)
    frozen, bias = model[0].weight.detach().clone(), model[0].bias.detach().clone()
    optimizer = _optimizer(model, lr=0.1, momentum=0.0)
    LIKELIHOOD.loss(model(_images()), _labels()).backward()
    gradient = model[0].bias.grad.clone()
    optimizer.step()
    assert [layer.name for layer in optimizer.covered_layers] == ["3", "6"]
    assert torch.equal(model[0].weight, frozen)
    _close(model[0].bias.detach(), bias - 0.1 * gradient)


@pytest.mark.parametrize("fisher", ["sampled", "empirical"])
def test_a_frozen_bias_is_no_column_of_the_block(fisher):
    model, inputs = _vgg(), _images()
    model[0].bias.requires_grad_(False)
    before = model[0].bias.detach().clone()
    optimizer = _optimizer(model, fisher=fisher)
    LIKELIHOOD.loss(model(inputs), _labels()).backward()
    optimizer.step()
    a, _ = optimizer.curvature.factors["0"].terms[0]
    assert a.shape == (18, 18)
    assert torch.equal(model[0].bias, before)


@pytest.mark.parametrize("normalise", [parametrizations.weight_norm, parametrizations.spectral_norm])
def test_a_parametrised_weight_takes_the_plain_gradient(normalise):
    model = _vgg()
    normalise(model[3])
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = _optimizer(model, lr=0.1, momentum=0.0)
    LIKELIHOOD.loss(model(_images()), _labels()).backward()
    optimizer.step()
    assert [layer.name for layer in optimizer.covered_layers] == ["0", "6"]
    own = {name: p for name, p in model.named_parameters() if name.startswith("3.")}
    assert own
    for name, p in own.items():
        _close(p.detach(), before[name] - 0.1 * p.grad)


@pytest.mark.parametrize("fisher", KINDS)
def test_a_layer_that_mixes_examples_into_its_first_dimension_is_refused(fisher):
    class Folded(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Conv2d(1, 2, 8)
            self.head = nn.Linear(4, 3)

        def forward(self, x):
            return self.head(self.inner(x.flatten(0, 1).unsqueeze(1)).reshape(len(x), 4))

    model = Folded().double()
    capture = _capture(model, fisher)
    with pytest.raises(ValueError, match="layer 'inner' was called on 10 rows in a batch of 5 examples"):
        model(_images())
    assert capture.take() == {}


def test_the_optimizer_trains_convolutions():
    torch.manual_seed(0)
    model, inputs, targets = _vgg(), _images(32), _labels(32)
    optimizer = _optimizer(model, lr=0.1, momentum=0.0)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = LIKELIHOOD.loss(model(inputs), targets)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
