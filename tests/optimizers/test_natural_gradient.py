from __future__ import annotations

import copy
import gc
import weakref
from functools import partial

import pytest
import torch
from oracle import per_example_gradients, unvec, vec, weight_gradients
from torch import nn

from ngbench.curvature.curvatures.kronecker import KroneckerCurvature
from ngbench.curvature.kronecker.approximations import kfac
from ngbench.curvature.likelihoods import Categorical
from ngbench.optimizers.natural_gradient import NaturalGradient

LIKELIHOOD = Categorical()
SEED = 5


def _model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.BatchNorm1d(5), nn.Linear(5, 3, bias=False)).double()


def _plain_model(*, bias: bool = True) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5, bias=bias), nn.Tanh(), nn.Linear(5, 3, bias=False)).double()


def _batch(seed: int = 1, examples: int = 8):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(examples, 4, dtype=torch.float64, generator=generator)
    return inputs, torch.randint(3, (examples,), generator=generator)


def _optimizer(model, *, damping=0.1, use_pi=False, **options) -> NaturalGradient:
    curvature = partial(KroneckerCurvature, approximation=kfac, damping=damping, use_pi=use_pi)
    return NaturalGradient(model, LIKELIHOOD, curvature, seed=SEED, **options)


def _train(model, optimizer, batches):
    for inputs, targets in batches:
        optimizer.zero_grad()
        LIKELIHOOD.loss(model(inputs), targets).backward()
        optimizer.step()


def _dense_directions(model, inputs, targets, fisher, damping):
    """F̂⁻¹∇h of every layer from per-example autograd and explicit Kronecker products."""
    if fisher == "sampled":
        generator = torch.Generator().manual_seed(SEED)
        used = LIKELIHOOD.sample(model(inputs).detach(), generator)
    else:
        used = targets
    gradients = per_example_gradients(model, LIKELIHOOD, inputs, used)
    training = per_example_gradients(model, LIKELIHOOD, inputs, targets)
    directions, products = {}, 0.0
    layer_inputs = {"0": inputs, "2": model[1](model[0](inputs)).detach()}
    for name, x in layer_inputs.items():
        bias = f"{name}.bias" in gradients
        a_rows = torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], 1) if bias else x
        a = a_rows.T @ a_rows / len(x)
        if fisher == "exact":
            g = _exact_output_factor(model, inputs, name)
        else:
            g_rows = torch.linalg.lstsq(a_rows.unsqueeze(2), weight_gradients(gradients, name).transpose(1, 2)).solution
            g_rows = g_rows.squeeze(1)
            g = g_rows.T @ g_rows / len(x)
        eye_a, eye_g = torch.eye(len(a), dtype=x.dtype), torch.eye(len(g), dtype=x.dtype)
        dense = torch.kron(a + damping**0.5 * eye_a, g + damping**0.5 * eye_g)
        gradient = weight_gradients(training, name).mean(0)
        direction = unvec(torch.linalg.solve(dense, vec(gradient)), len(g))
        directions[name] = direction
        products += torch.sum(direction * gradient).abs()
    return directions, products


def _exact_output_factor(model, inputs, name):
    """``E_x E_y [g gᵀ]`` by enumerating the classes."""
    total = 0
    for k in range(3):
        targets = torch.full((len(inputs),), k)
        gradients = weight_gradients(per_example_gradients(model, LIKELIHOOD, inputs, targets), name)
        x = inputs if name == "0" else model[1](model[0](inputs)).detach()
        rows = torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], 1) if name == "0" else x
        g = torch.linalg.lstsq(rows.unsqueeze(2), gradients.transpose(1, 2)).solution.squeeze(1)
        p = torch.softmax(model(inputs), 1)[:, k].detach()
        total = total + (g * p.unsqueeze(1)).T @ g / len(inputs)
    return total


@pytest.mark.parametrize("fisher", ["sampled", "empirical", "exact"])
@pytest.mark.parametrize("kl_clip", [None, 1e-4, 1e6])
def test_a_step_is_the_dense_preconditioned_and_clipped_gradient(fisher, kl_clip):
    model = _plain_model()
    inputs, targets = _batch()
    directions, products = _dense_directions(model, inputs, targets, fisher, damping=0.1)
    before = {name: module.weight.detach().clone() for name, module in model.named_modules() if name in directions}
    bias_before = model[0].bias.detach().clone()
    _train(model, _optimizer(model, fisher=fisher, kl_clip=kl_clip, lr=0.5, momentum=0.0), [(inputs, targets)])
    scale = 1.0 if kl_clip is None else min(1.0, float((kl_clip / products).sqrt()))
    assert (scale < 1) == (kl_clip == 1e-4)
    for name, direction in directions.items():
        weight_direction = direction[:, :-1] if name == "0" else direction
        expected = before[name] - 0.5 * scale * weight_direction
        moved = model.get_submodule(name).weight.detach() - before[name]
        assert (moved - (expected - before[name])).norm() <= 1e-10 * moved.norm()
    moved = model[0].bias.detach() - bias_before
    assert (moved + 0.5 * scale * directions["0"][:, -1]).norm() <= 1e-10 * moved.norm()


def test_parameters_outside_the_layers_take_their_plain_gradient():
    model = _model()
    optimizer = _optimizer(model, lr=0.5, momentum=0.0)
    inputs, targets = _batch()
    before = model[2].weight.detach().clone()
    _train(model, optimizer, [(inputs, targets)])
    torch.testing.assert_close(model[2].weight.detach(), before - 0.5 * model[2].weight.grad)


# The direction of a layer with a bias is a view that is not contiguous.
@pytest.mark.parametrize("bias", [True, False])
def test_momentum_sums_moves_and_weight_decay_is_added_to_them(bias):
    models = [_plain_model(bias=bias), _plain_model(bias=bias)]
    batches = [_batch(seed) for seed in range(3)]
    plain = _optimizer(models[0], lr=0.1, momentum=0.0, weight_decay=0.0)
    moving = _optimizer(models[1], lr=0.1, momentum=0.9, weight_decay=0.2)
    buffer = 0.0
    for batch in batches:
        models[0].load_state_dict(models[1].state_dict())
        before = models[0][0].weight.detach().clone()
        _train(models[0], plain, [batch])
        direction = (before - models[0][0].weight.detach()) / 0.1
        buffer = 0.9 * buffer + direction + 0.2 * before
        _train(models[1], moving, [batch])
        torch.testing.assert_close(models[1][0].weight.detach(), before - 0.1 * buffer)


@pytest.mark.parametrize("bias", [True, False])
def test_a_graph_from_before_a_step_is_stale_after_it(bias):
    model = _plain_model(bias=bias)
    optimizer = _optimizer(model)
    inputs, targets = _batch()
    _train(model, optimizer, [(inputs, targets)])
    stale = LIKELIHOOD.loss(model(inputs), targets)
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        stale.backward()


def test_intervals_decide_when_the_curvature_is_estimated_and_inverted(monkeypatch):
    events = []
    for name in ("accumulate", "refresh"):
        original = getattr(KroneckerCurvature, name)

        def record(self, *arguments, name=name, original=original):
            events[-1].append(name)
            return original(self, *arguments)

        monkeypatch.setattr(KroneckerCurvature, name, record)

    def run(curvature_interval, inverse_interval):
        events.clear()
        model = _plain_model()
        options = {"curvature_interval": curvature_interval, "inverse_interval": inverse_interval}
        optimizer = _optimizer(model, **options)
        refreshed = []
        for seed in range(5):
            events.append([])
            _train(model, optimizer, [_batch(seed)])
            refreshed.append(optimizer.refreshed)
        assert refreshed == [bool(event) for event in events]
        return [len(event) if event else 0 for event in events], [list(event) for event in events]

    assert run(2, 2)[0] == [2, 0, 2, 0, 2]
    assert run(2, 4)[1] == [["accumulate", "refresh"], [], ["accumulate"], [], ["accumulate", "refresh"]]
    assert run("once", "once")[0] == [2, 0, 0, 0, 0]
    assert run(1, 3)[1] == [["accumulate", "refresh"]] + [["accumulate"]] * 2 + [
        ["accumulate", "refresh"],
        ["accumulate"],
    ]


@pytest.mark.parametrize("fisher", ["sampled", "empirical"])
def test_a_state_dict_in_the_middle_continues_bit_for_bit(fisher, tmp_path):
    batches = [_batch(seed) for seed in range(6)]
    options = {"fisher": fisher, "curvature_interval": 2, "inverse_interval": 2, "kl_clip": 1e-2, "lr": 0.1}
    whole = _model()
    _train(whole, _optimizer(whole, **options), batches)
    first = _model()
    optimizer = _optimizer(first, **options)
    _train(first, optimizer, batches[:3])
    torch.save({"model": first.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "state")
    state = torch.load(tmp_path / "state", weights_only=True)
    second = _model()
    resumed = _optimizer(second, **options)
    second.load_state_dict(state["model"])
    resumed.load_state_dict(state["optimizer"])
    _train(second, resumed, batches[3:])
    for expected, actual in zip(whole.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(expected, actual)


def test_a_loaded_state_shares_no_memory_with_its_source():
    model = _plain_model()
    optimizer = _optimizer(model)
    _train(model, optimizer, [_batch()])
    state = optimizer.state_dict()
    (own,) = state["state"][0]["curvature"]
    kept = copy.deepcopy(own["curvature"])
    other = _optimizer(_plain_model())
    other.load_state_dict(state)
    for terms in (factor.terms for factor in other.curvature.factors.values()):
        terms[0][0].zero_()
    assert torch.equal(own["curvature"]["factors"]["0"]["terms"][0][0], kept["factors"]["0"]["terms"][0][0])


def test_the_state_of_another_optimizer_is_refused():
    model = _plain_model()
    with pytest.raises(ValueError, match="not that of a natural-gradient optimizer"):
        _optimizer(model).load_state_dict(torch.optim.SGD(model.parameters(), lr=0.1).state_dict())


def test_schedulers_and_groups_set_the_learning_rate_of_their_parameters():
    model = _plain_model()
    groups = [{"params": model[0].parameters(), "lr": 0.0}, {"params": model[2].parameters()}]
    optimizer = _optimizer(model, params=groups, lr=0.1, momentum=0.0)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    frozen = model[0].weight.detach().clone()
    moves = []
    for _ in range(2):
        before = model[2].weight.detach().clone()
        model_before = copy.deepcopy(model.state_dict())
        _train(model, optimizer, [_batch()])
        moves.append((model[2].weight.detach() - before).norm())
        model.load_state_dict(model_before)
        scheduler.step()
        optimizer.curvature.updates.clear()
        optimizer._capture.load_state_dict({"seed": SEED, "taken": 0})
    assert torch.equal(model[0].weight.detach(), frozen)
    torch.testing.assert_close(moves[1], moves[0] / 2)


def test_only_the_layers_of_the_given_parameters_are_trained():
    model = _plain_model()
    optimizer = _optimizer(model, params=model[2].parameters())
    before = model[0].weight.detach().clone()
    _train(model, optimizer, [_batch()])
    assert [layer.name for layer in optimizer.covered_layers] == ["2"]
    assert torch.equal(model[0].weight.detach(), before)


@pytest.mark.parametrize("frozen", ["weight", "bias"])
def test_frozen_parameters_stay(frozen):
    model = _plain_model()
    getattr(model[0], frozen).requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    _train(model, _optimizer(model), [_batch(), _batch(2)])
    other = "bias" if frozen == "weight" else "weight"
    assert torch.equal(model.state_dict()[f"0.{frozen}"], before[f"0.{frozen}"])
    assert not torch.equal(model.state_dict()[f"0.{other}"], before[f"0.{other}"])


def test_a_layer_that_a_step_does_not_use_stays():
    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.left, self.right = nn.Linear(4, 3).double(), nn.Linear(4, 3).double()
            self.go_left = True

        def forward(self, x):
            return self.left(x) if self.go_left else self.right(x)

    model = Branches()
    optimizer = _optimizer(model, momentum=0.0, curvature_interval=1)
    before = model.right.weight.detach().clone()
    _train(model, optimizer, [_batch()])
    assert torch.equal(model.right.weight.detach(), before)
    model.go_left = False
    _train(model, optimizer, [_batch()])
    assert not torch.equal(model.right.weight.detach(), before)


def test_gradient_accumulation_estimates_the_curvature_on_the_first_pass():
    inputs, targets = _batch(examples=12)
    model, reference = _plain_model(), _plain_model()
    optimizer = _optimizer(model, fisher="empirical", gradient_scale=1 / 3, momentum=0.0, lr=1.0)
    optimizer.zero_grad()
    for part in range(3):
        rows = slice(4 * part, 4 * part + 4)
        (LIKELIHOOD.loss(model(inputs[rows]), targets[rows]) / 3).backward()
    optimizer.step()
    first = _optimizer(reference, fisher="empirical", momentum=0.0, lr=1.0)
    LIKELIHOOD.loss(reference(inputs[:4]), targets[:4]).backward()
    first.precondition()
    for mine, theirs in zip(optimizer.curvature.factors.values(), first.curvature.factors.values(), strict=True):
        torch.testing.assert_close(mine.dense(), theirs.dense())
    reference.zero_grad()
    LIKELIHOOD.loss(reference(inputs), targets).backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, reference.get_parameter(name).grad)


def test_evaluation_without_gradients_is_not_recorded():
    model = _plain_model()
    optimizer = _optimizer(model)
    inputs, targets = _batch()
    with torch.no_grad():
        model(_batch(9)[0])
    LIKELIHOOD.loss(model(inputs), targets).backward()
    (block,) = [b for layer, b in optimizer._capture.take().items() if layer.name == "0"]
    assert torch.equal(block.inputs, inputs)


def test_a_step_without_a_recorded_forward_pass_is_refused():
    model = _plain_model()
    optimizer = _optimizer(model)
    with pytest.raises(RuntimeError, match="call the model itself"):
        optimizer.step()


def test_a_closure_is_evaluated_with_gradients():
    model = _plain_model()
    optimizer = _optimizer(model)
    inputs, targets = _batch()

    def closure():
        optimizer.zero_grad()
        loss = LIKELIHOOD.loss(model(inputs), targets)
        loss.backward()
        return loss.item()

    losses = [optimizer.step(closure) for _ in range(10)]
    assert losses[-1] < losses[0]


def test_deleting_the_optimizer_removes_its_hooks_and_frees_it():
    model = _plain_model()
    optimizer = _optimizer(model)
    _train(model, optimizer, [_batch()])
    reference = weakref.ref(optimizer)
    del optimizer
    gc.collect()
    assert reference() is None
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


@pytest.mark.parametrize("fisher", ["sampled", "empirical", "exact"])
def test_a_nan_is_an_error_and_not_a_silent_update(fisher):
    model = _plain_model()
    optimizer = _optimizer(model, fisher=fisher)
    inputs, targets = _batch()
    inputs[0, 0] = float("nan")
    LIKELIHOOD.loss(model(inputs), targets).backward()
    with pytest.raises(FloatingPointError, match="curvature of layer '0' contains NaN or infinite"):
        optimizer.step()


def test_a_damping_below_the_precision_is_raised_and_reported():
    model = _plain_model().float()
    optimizer = _optimizer(model, damping=1e-30)
    inputs, targets = _batch(examples=1)
    LIKELIHOOD.loss(model(inputs.float()), targets).backward()
    optimizer.step()
    assert optimizer.diagnostics()["raised_damping/0"] == 1
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())
    enough = _optimizer(other := _plain_model().float(), damping=1e-2)
    _train(other, enough, [(inputs.float(), targets)])
    assert not any(name.startswith("raised") for name in enough.diagnostics())


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("lr", 0.0),
        ("lr", -1.0),
        ("momentum", 1.0),
        ("weight_decay", -1e-3),
        ("kl_clip", 0.0),
        ("fisher", "true"),
        ("curvature_interval", 0),
        ("inverse_interval", "never"),
        ("curvature_fraction", 0.0),
    ],
)
def test_an_argument_out_of_range_is_refused_by_name(option, value):
    with pytest.raises(ValueError, match=option):
        _optimizer(_plain_model(), **{option: value})


def test_a_model_without_layers_is_refused():
    with pytest.raises(ValueError, match="no trained layer"):
        _optimizer(nn.BatchNorm1d(4))


def test_autocast_keeps_the_statistics_in_the_precision_of_the_weights():
    model = _plain_model().float()
    optimizer = _optimizer(model, lr=0.1)
    inputs, targets = _batch()
    before = model[0].weight.detach().clone()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = LIKELIHOOD.loss(model(inputs.float()), targets)
    loss.backward()
    optimizer.step()
    assert all(f.dtype == torch.float32 for s in optimizer.curvature.factors.values() for t in s.terms for f in t)
    assert torch.isfinite(model[0].weight).all()
    assert not torch.equal(model[0].weight.detach(), before)


@pytest.mark.parametrize(("source", "target"), [(torch.float32, torch.float64), (torch.float64, torch.float32)])
def test_a_state_goes_on_in_another_precision(source, target):
    first, second = _model().to(source), _model().to(target)
    start = _optimizer(first, curvature_interval=2)
    _train(first, start, [(_batch(k)[0].to(source), _batch(k)[1]) for k in range(3)])
    second.load_state_dict(first.state_dict())
    moved = _optimizer(second, curvature_interval=2)
    moved.load_state_dict(copy.deepcopy(start.state_dict()))
    for model, optimizer, dtype in ((first, start, source), (second, moved, target)):
        _train(model, optimizer, [(_batch(k)[0].to(dtype), _batch(k)[1]) for k in range(3, 5)])
    assert {factor.dtype for value in moved.curvature.factors.values() for factor in value.terms[0]} == {target}
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(a.double(), b.double(), rtol=1e-3, atol=1e-4)


def test_a_bias_that_is_frozen_later_stays():
    model = _model()
    optimizer = _optimizer(model)
    _train(model, optimizer, [_batch(0)])
    model[0].bias.requires_grad_(False)
    bias, weight = model[0].bias.clone(), model[0].weight.clone()
    _train(model, optimizer, [_batch(1)])
    assert torch.equal(bias, model[0].bias)
    assert not torch.equal(weight, model[0].weight)
