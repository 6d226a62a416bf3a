from __future__ import annotations

import copy
import gc
import weakref
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from ngbench.curvature.blocks.linear import LinearBlock
from ngbench.curvature.curvatures.kronecker import KroneckerCurvature
from ngbench.curvature.inverses.gram import GramInverse
from ngbench.curvature.kronecker.approximations import kfac
from ngbench.curvature.likelihoods import Gaussian
from ngbench.optimizers import exact
from ngbench.optimizers.natural_gradient import NaturalGradient

LIKELIHOOD = Gaussian()
TASK = SimpleNamespace(likelihood=LIKELIHOOD)


class _Twice(nn.Module):
    """One layer called twice, and one that the loss does not see."""

    def __init__(self):
        super().__init__()
        self.layer, self.out, self.unseen = nn.Linear(6, 6), nn.Linear(6, 3), nn.Linear(6, 2)

    def forward(self, x):
        y = torch.tanh(self.layer(torch.tanh(self.layer(x))))
        self.unseen(y)
        return self.out(y)


class _Cut(torch.autograd.Function):
    """An operation that has no derivative."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, derivative):
        return None


class _Partly(nn.Module):
    """Layers that the loss does not depend on, for all that the graph says."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.out = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x):
        return self.out(_Cut.apply(self.second(torch.tanh(self.first(x)))))


class _TwoRoots(nn.Module):
    """A second layer that follows a parameter and not the first one."""

    def __init__(self):
        super().__init__()
        self.left, self.right, self.out = nn.Linear(6, 4), nn.Linear(5, 4), nn.Linear(4, 3)
        self.table = nn.Parameter(torch.randn(12, 5))

    def forward(self, x):
        return self.out(torch.tanh(self.left(x)) + self.right(torch.tanh(self.table[: len(x)])))


MODELS = {
    "wide": lambda: nn.Sequential(
        nn.Linear(6, 40), nn.ReLU(inplace=True), nn.Linear(40, 30), nn.Tanh(), nn.Linear(30, 3)
    ),
    "no-bias": lambda: nn.Sequential(nn.Linear(6, 20, bias=False), nn.Tanh(), nn.Linear(20, 3, bias=False)),
    "narrow": lambda: nn.Sequential(nn.Linear(6, 2), nn.Tanh(), nn.Linear(2, 3)),
    "batch-norm": lambda: nn.Sequential(nn.Linear(6, 30), nn.BatchNorm1d(30), nn.Tanh(), nn.Linear(30, 3)),
    "convolutions": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 2, 3)),
        nn.Conv2d(1, 3, 2, padding=1),
        nn.ReLU(inplace=True),
        nn.ConvTranspose2d(3, 4, 2, stride=2),
        nn.Tanh(),
        nn.Conv2d(4, 1, 3, stride=3, groups=1, bias=False),
        nn.Flatten(),
        nn.Linear(4, 3),
    ),
    "positions": lambda: nn.Sequential(
        nn.Unflatten(1, (3, 2)),
        nn.Linear(2, 5),
        nn.Tanh(),
        nn.Linear(5, 5),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Linear(15, 3),
    ),
    "twice": _Twice,
    "two-roots": _TwoRoots,
    "partly": _Partly,
}


def _model(name="wide"):
    torch.manual_seed(0)
    return MODELS[name]().double()


def _batch(seed=1, examples=12):
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(examples, size, dtype=torch.float64, generator=generator) for size in (6, 3))


def _deferring(make):
    def made(model, task, *, defer_gradients=True, **options):
        optimizer = make(model, task, **options)
        optimizer.defer_gradients = defer_gradients
        return optimizer

    return made


exact_ng, block_diagonal_ng = _deferring(exact.exact_ng), _deferring(exact.block_diagonal_ng)


def _kfac(model, task, *, defer_gradients, **options):
    curvature = partial(KroneckerCurvature, approximation=kfac, damping=0.1)
    return NaturalGradient(model, task.likelihood, curvature, defer_gradients=defer_gradients, **options)


def _plain_loop(model, optimizer, batches):
    for inputs, targets in batches:
        optimizer.zero_grad()
        LIKELIHOOD.loss(model(inputs), targets).backward()
        optimizer.step()


def _trained(make, deferred, loop=_plain_loop, name="wide", steps=3, **options):
    model = _model(name)
    options = {"lr": 0.05, "seed": 7, **options}
    optimizer = make(model, TASK, defer_gradients=deferred, **options)
    loop(model, optimizer, [_batch(seed) for seed in range(steps)])
    return model


def _alike(make=exact_ng, loop=_plain_loop, **options):
    """Both modes train to the same parameters, which are not the initial ones."""
    plain, deferred = (_trained(make, mode, loop, **options) for mode in (False, True))
    before = _model(options.get("name", "wide"))
    moved = 0.0
    for start, expected, actual in zip(before.parameters(), plain.parameters(), deferred.parameters(), strict=True):
        distance = (expected - start).norm()
        assert (actual - expected).norm() <= 1e-9 * distance
        moved += distance.item()
    assert moved > 1e-3


@pytest.mark.parametrize("fisher", ["sampled", "empirical", "exact"])
@pytest.mark.parametrize("name", MODELS)
def test_the_steps_are_those_of_formed_gradients(name, fisher):
    _alike(name=name, fisher=fisher, momentum=0.9, weight_decay=0.1)


@pytest.mark.parametrize("fisher", ["sampled", "empirical"])
@pytest.mark.parametrize(
    ("make", "options"),
    [
        (exact_ng, {"curvature_fraction": 0.5}),
        (exact_ng, {"curvature_interval": 2}),
        (exact_ng, {"kl_clip": 1e-4}),
        (block_diagonal_ng, {}),
        (block_diagonal_ng, {"damping_kind": "factored"}),
        (_kfac, {}),
        (_kfac, {"inverse_interval": 2}),
        (_kfac, {"kl_clip": 1e-4, "curvature_interval": 2}),
    ],
)
def test_every_setting_and_curvature_makes_the_same_steps(make, options, fisher):
    _alike(make, fisher=fisher, **options)


def test_inverses_of_earlier_batches_precondition_deferred_gradients():
    def make(model, task, **options):
        optimizer = exact_ng(model, task, **options)
        optimizer.param_groups[0]["inverse_interval"] = 2
        return optimizer

    _alike(make)


def test_backward_leaves_the_gradients_of_layers_unformed_and_forms_all_others():
    model = _model("batch-norm")
    optimizer = exact_ng(model, TASK)
    inputs, targets = _batch()
    LIKELIHOOD.loss(model(inputs), targets).backward()
    formed = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert formed == {"1.weight", "1.bias"}
    assert all(parameter.requires_grad for parameter in model.parameters())
    optimizer.step()
    assert all(model[index].weight.grad is None for index in (0, 3))


def test_under_the_empirical_fisher_matrix_no_products_with_the_gradient_are_made(monkeypatch):
    for name in ("products_with_total", "weighted_total", "transpose_times"):
        monkeypatch.setattr(LinearBlock, name, lambda *_: pytest.fail("the gradient is the mean column of J"))
    _trained(exact_ng, True, fisher="empirical")


def test_wide_layers_never_form_their_gradients(monkeypatch):
    monkeypatch.setattr(LinearBlock, "total", property(lambda _: pytest.fail("a gradient was formed")))
    monkeypatch.setattr(GramInverse, "times", lambda *_: pytest.fail("a gradient was formed"))
    model = nn.Sequential(nn.Linear(30, 40), nn.Tanh(), nn.Linear(40, 50)).double()
    optimizer = exact_ng(model, TASK)
    LIKELIHOOD.loss(model(torch.randn(20, 30).double()), torch.randn(20, 50).double()).backward()
    optimizer.step()


def _accumulating(model, optimizer, batches):
    for inputs, targets in batches:
        optimizer.zero_grad()
        for rows in (slice(0, 6), slice(6, 12)):
            (LIKELIHOOD.loss(model(inputs[rows]), targets[rows]) / 2).backward()
        optimizer.step()


def _several_losses(model, optimizer, batches):
    for inputs, targets in batches:
        optimizer.zero_grad()
        outputs = model(inputs)
        LIKELIHOOD.loss(outputs, targets).backward(retain_graph=True)
        outputs.square().mean().backward()
        optimizer.step()


def _sum_of_losses(model, optimizer, batches):
    for inputs, targets in batches:
        optimizer.zero_grad()
        outputs = model(inputs)
        (LIKELIHOOD.loss(outputs, targets) + outputs.square().mean()).backward()
        optimizer.step()


def _looking_around(model, optimizer, batches):
    """Passes that train nothing, and one whose gradients are dropped, make no part of the loss."""
    for inputs, targets in batches:
        outputs = model(inputs.requires_grad_())
        outputs.sum().backward(retain_graph=True)
        optimizer.zero_grad()
        torch.autograd.grad(outputs.sum(), inputs, retain_graph=True)
        LIKELIHOOD.loss(outputs, targets).backward(retain_graph=True)
        torch.autograd.grad(outputs.sum(), inputs, retain_graph=True)
        outputs.sum().backward(inputs=[inputs], retain_graph=True)
        outputs.square().mean().backward()
        optimizer.step()


def _penalised(model, optimizer, batches):
    """A loss that sees weights directly too."""
    for inputs, targets in batches:
        optimizer.zero_grad()
        (LIKELIHOOD.loss(model(inputs), targets) + model[0].weight.square().sum()).backward()
        optimizer.step()


def _zeroing_late(model, optimizer, batches):
    for inputs, targets in batches:
        loss = LIKELIHOOD.loss(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def _dropping(model, optimizer, batches):
    """Another batch's gradients are dropped before the step."""
    for inputs, targets in batches:
        optimizer.zero_grad()
        LIKELIHOOD.loss(model(-inputs), targets).backward()
        optimizer.zero_grad()
        LIKELIHOOD.loss(model(inputs), targets).backward()
        optimizer.step()


def _looking_first(model, optimizer, batches):
    """A forward pass that leads to no backward pass is recorded first."""
    for inputs, targets in batches:
        optimizer.zero_grad()
        model(-inputs)
        LIKELIHOOD.loss(model(inputs), targets).backward()
        optimizer.step()


def _naming(model, optimizer, batches):
    for inputs, targets in batches:
        optimizer.zero_grad()
        LIKELIHOOD.loss(model(inputs), targets).backward(inputs=list(model.parameters()))
        optimizer.step()


def _naming_layers(model, optimizer, batches):
    for inputs, targets in batches:
        optimizer.zero_grad()
        named = [parameter for layer in optimizer.covered_layers for parameter in layer.parameters]
        LIKELIHOOD.loss(model(inputs), targets).backward(inputs=named)
        optimizer.step()


def _naming_some(model, optimizer, batches):
    for inputs, targets in batches:
        optimizer.zero_grad()
        named = optimizer.covered_layers[-1].parameters
        LIKELIHOOD.loss(model(inputs), targets).backward(inputs=named)
        optimizer.step()


def _looking_at_inputs(model, optimizer, batches):
    """The loss's derivatives with respect to the inputs are wanted before those of training."""
    for inputs, targets in batches:
        optimizer.zero_grad()
        loss = LIKELIHOOD.loss(model(inputs.requires_grad_()), targets)
        torch.autograd.grad(loss, inputs, retain_graph=True)
        loss.backward()
        optimizer.step()


@pytest.mark.parametrize("fisher", ["sampled", "empirical"])
@pytest.mark.parametrize("loop", [_naming, _naming_layers, _naming_some, _looking_at_inputs])
@pytest.mark.parametrize("name", ["wide", "batch-norm", "convolutions", "positions", "two-roots"])
def test_backward_passes_that_name_what_they_are_for_make_the_same_steps(name, loop, fisher):
    _alike(loop=loop, name=name, fisher=fisher)


def test_one_function_of_pythons_watches_a_chain_of_layers():
    model = _model("batch-norm")
    optimizer = exact_ng(model, TASK)
    found, left = set(), [model(_batch()[0]).grad_fn]
    while left:
        node = left.pop()
        if node is not None and node not in found:
            found.add(node)
            left += [following for following, _ in node.next_functions]
    assert [node.name() for node in found].count("_WatchedBackward") == 1
    del optimizer


@pytest.mark.parametrize("fisher", ["sampled", "empirical"])
@pytest.mark.parametrize("loop", [_accumulating, _several_losses, _penalised, _zeroing_late, _dropping])
def test_loops_with_more_than_one_backward_pass_or_other_losses_make_the_same_steps(loop, fisher):
    _alike(loop=loop, fisher=fisher)


@pytest.mark.parametrize("fisher", ["sampled", "empirical"])
@pytest.mark.parametrize("deferred", [False, True])
@pytest.mark.parametrize("loop", [_several_losses, _looking_around])
@pytest.mark.parametrize("make", [exact_ng, _kfac])
def test_several_passes_make_the_step_of_their_sum(make, loop, deferred, fisher):
    expected, actual = (_trained(make, deferred, loop=loop, fisher=fisher) for loop in (_sum_of_losses, loop))
    for one, other in zip(expected.parameters(), actual.parameters(), strict=True):
        assert (one - other).norm() <= 1e-9 * one.norm()


def test_gradients_of_another_kind_of_pass_have_an_empirical_fisher_matrix_too():
    """``torch.autograd.grad`` adds to no ``grad``."""

    def loop(model, optimizer, batches):
        for inputs, targets in batches:
            gradients = torch.autograd.grad(LIKELIHOOD.loss(model(inputs), targets), list(model.parameters()))
            for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                parameter.grad = gradient
            optimizer.step()

    expected, actual = (_trained(exact_ng, False, loop=loop, fisher="empirical") for loop in (_plain_loop, loop))
    for one, other in zip(expected.parameters(), actual.parameters(), strict=True):
        assert (one - other).norm() <= 1e-9 * one.norm()


def test_a_pass_without_a_backward_pass_makes_the_same_steps():
    _alike(loop=_looking_first)


def _clipping(model, optimizer, batches):
    for inputs, targets in batches:
        optimizer.zero_grad()
        LIKELIHOOD.loss(model(inputs), targets).backward()
        optimizer.form_gradients()
        nn.utils.clip_grad_norm_(model.parameters(), 1e-2)
        optimizer.step()


@pytest.mark.parametrize("name", MODELS)
def test_gradients_that_are_formed_on_request_can_be_clipped(name):
    _alike(loop=_clipping, name=name)


def test_a_formed_gradient_has_the_layout_of_its_parameter():
    model = _model()
    optimizer = exact_ng(model, TASK)
    inputs, targets = _batch()
    LIKELIHOOD.loss(model(inputs), targets).backward()
    optimizer.form_gradients()
    assert all(p.grad.shape == p.shape and p.grad.is_contiguous() for p in model.parameters())


@pytest.mark.parametrize("fisher", ["sampled", "empirical"])
@pytest.mark.parametrize("frozen", ["0", "2", "2.weight", "2.bias"])
def test_what_is_frozen_for_a_while_stays_so_in_it(frozen, fisher):
    def loop(model, optimizer, batches):
        chosen = [parameter for name, parameter in model.named_parameters() if name.startswith(frozen)]
        for trained, (inputs, targets) in zip((True, False, True), batches, strict=True):
            for parameter in chosen:
                parameter.requires_grad_(trained)
            optimizer.zero_grad()
            LIKELIHOOD.loss(model(inputs), targets).backward()
            assert all(parameter.requires_grad == trained for parameter in chosen)
            optimizer.step()

    _alike(loop=loop, fisher=fisher)


@pytest.mark.parametrize("fisher", ["sampled", "empirical"])
def test_a_loss_with_derivatives_of_the_model_is_refused(fisher):
    model = _model("no-bias")
    optimizer = exact_ng(model, TASK, fisher=fisher)
    inputs, targets = _batch()
    inputs.requires_grad_()
    loss = LIKELIHOOD.loss(model(inputs), targets)
    with pytest.raises(
        RuntimeError, match=r"derivatives of the model \(create_graph=True\).* set defer_gradients=False"
    ):
        torch.autograd.grad(loss, inputs, create_graph=True)
    del optimizer


def test_parameters_whose_gradients_are_deferred_have_no_derivative_of_their_own():
    model = _model()
    optimizer = exact_ng(model, TASK)
    inputs, targets = _batch()
    loss = LIKELIHOOD.loss(model(inputs), targets)
    with pytest.raises(RuntimeError, match="allow_unused"):
        torch.autograd.grad(loss, list(model.parameters()))
    del optimizer


def test_a_layer_that_raises_leaves_its_parameters_trainable():
    model = _model()
    optimizer = exact_ng(model, TASK)
    with pytest.raises(RuntimeError):
        model(torch.zeros(2, 5).double())
    assert optimizer.covered_layers[0].weight is model[0].weight
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_frozen_parameters_stay_frozen():
    model = _model()
    model[2].bias.requires_grad_(False)
    optimizer = exact_ng(model, TASK)
    before = model[2].bias.clone()
    _plain_loop(model, optimizer, [_batch()])
    assert not model[2].bias.requires_grad
    assert torch.equal(model[2].bias, before)


class _Mark:
    """What a graph's hook holds."""


@pytest.mark.parametrize("fisher", ["sampled", "empirical"])
def test_a_batch_is_freed_without_the_garbage_collector(fisher):
    model = _model()
    optimizer = exact_ng(model, TASK, fisher=fisher)
    gc.collect()
    gc.disable()
    try:
        inputs, targets = _batch()
        outputs = model(inputs)
        mark = _Mark()
        outputs.register_hook(lambda _, mark=mark: None)
        freed = weakref.ref(mark)
        loss = LIKELIHOOD.loss(outputs, targets)
        loss.backward()
        optimizer.step()
        del outputs, loss, mark
        assert freed() is None
    finally:
        gc.enable()


def test_gradients_accumulate_in_the_scale_of_the_loss():
    scaled = partial(_kfac, gradient_scale=0.5, fisher="empirical")

    def loop(model, optimizer, batches):
        for inputs, targets in batches:
            optimizer.zero_grad()
            (LIKELIHOOD.loss(model(inputs), targets) / 2).backward()
            optimizer.step()

    _alike(scaled, loop=loop)


def test_single_precision_under_autocast_keeps_the_precision_of_the_weights():
    model = _model().float()
    optimizer = exact_ng(model, TASK, lr=0.1)
    inputs, targets = (tensor.float() for tensor in _batch())
    before = copy.deepcopy(model.state_dict())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = LIKELIHOOD.loss(model(inputs), targets)
    loss.backward()
    optimizer.step()
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
    assert not torch.equal(model[0].weight, before["0.weight"])
