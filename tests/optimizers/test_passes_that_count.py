"""Which forward passes a curvature is estimated on, in loops that do more than train."""

from __future__ import annotations

import copy
import gc
import math
import weakref
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from ngbench.curvature.capture.passes import Pass
from ngbench.curvature.curvatures.exact import ExactCurvature
from ngbench.curvature.curvatures.kronecker import KroneckerCurvature
from ngbench.curvature.kronecker.approximations import kfac
from ngbench.curvature.likelihoods import Categorical
from ngbench.optimizers.coverage import CurvatureWarning
from ngbench.optimizers.natural_gradient import NaturalGradient

FISHERS = ["sampled", "empirical", "exact"]
LIKELIHOOD = Categorical()
CURVATURES = {
    "kfac": partial(KroneckerCurvature, approximation=kfac, damping=1e-2),
    "exact": partial(ExactCurvature, damping=1e-2),
}


def _model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Dropout(0.0), nn.Linear(9, 3)).double()


def _batch(seed=0, examples=16):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(examples, 6, dtype=torch.float64, generator=generator)
    return x, torch.randint(3, (examples,), generator=generator)


def _optimizer(model, fisher="sampled", curvature="kfac", **options):
    return NaturalGradient(
        model, LIKELIHOOD, CURVATURES[curvature], fisher=fisher, **{"seed": 1, "lr": 0.05, **options}
    )


def _train(model, optimizer, seed=0):
    x, y = _batch(seed)
    optimizer.zero_grad()
    loss = LIKELIHOOD.loss(model(x), y)
    loss.backward()
    optimizer.step()
    return loss.item()


def _same(loop, fisher, curvature="kfac", **options):
    """``loop`` ends where three plain steps end."""
    ends = []
    for train in (lambda model, optimizer: [_train(model, optimizer, seed) for seed in range(3)], loop):
        model = _model()
        train(model, _optimizer(model, fisher, curvature, **options))
        ends.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    start = torch.cat([p.detach().flatten() for p in _model().parameters()])
    assert (ends[0] - start).norm() > 1e-2
    assert (ends[1] - ends[0]).norm() <= 1e-12 * (ends[0] - start).norm()


def _evaluating(model, optimizer):
    for seed in range(3):
        model.eval()
        model(100 * _batch(seed + 7, 40)[0])
        model.train()
        _train(model, optimizer, seed)


def _evaluating_with_a_backward_pass(model, optimizer):
    for seed in range(3):
        optimizer.zero_grad()
        model.eval()
        inputs = _batch(seed + 7, 40)[0].requires_grad_()
        model(100 * inputs).square().sum().backward()
        model.train()
        _train(model, optimizer, seed)


def _dropping_outputs(model, optimizer):
    for seed in range(3):
        for _ in range(2):
            model(100 * _batch(seed + 7)[0])
        _train(model, optimizer, seed)


def _dropping_outputs_after_zero_grad(model, optimizer):
    for seed in range(3):
        optimizer.zero_grad()
        kept = model(100 * _batch(seed + 7)[0])
        x, y = _batch(seed)
        LIKELIHOOD.loss(model(x), y).backward()
        optimizer.step()
        del kept


def _looking_for_adversaries(model, optimizer):
    for seed in range(3):
        inputs = (100 * _batch(seed + 7)[0]).requires_grad_()
        torch.autograd.grad(LIKELIHOOD.loss(model(inputs), _batch(seed)[1]), inputs)
        _train(model, optimizer, seed)


def _zeroing_between(model, optimizer):
    for seed in range(3):
        x, y = _batch(seed)
        loss = LIKELIHOOD.loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def _checkpointing_the_model(model, optimizer, reentrant):
    for seed in range(3):
        x, y = _batch(seed)
        optimizer.zero_grad()
        LIKELIHOOD.loss(checkpoint(model, x.requires_grad_(), use_reentrant=reentrant), y).backward()
        optimizer.step()


@pytest.mark.parametrize("fisher", FISHERS)
@pytest.mark.parametrize("options", [{}, {"curvature": "exact"}], ids=["kfac", "exact"])
@pytest.mark.parametrize("reentrant", [False, True])
def test_a_model_that_a_checkpoint_computes_again_is_recorded_once(fisher, options, reentrant):
    _same(partial(_checkpointing_the_model, reentrant=reentrant), fisher, **options)


def _raising(model, optimizer):
    for seed in range(3):
        with pytest.raises(RuntimeError):
            model(torch.zeros(3, 5, dtype=torch.float64))
        _train(model, optimizer, seed)


@pytest.mark.parametrize("fisher", FISHERS)
def test_passes_for_other_derivatives_do_not_pile_up(fisher):
    model = _model()
    optimizer = _optimizer(model, fisher)
    gc.collect()
    before = sum(isinstance(one, Pass) for one in gc.get_objects())
    for seed in range(5):
        inputs = _batch(seed)[0].requires_grad_()
        torch.autograd.grad(model(inputs).sum(), inputs)
    gc.collect()
    assert sum(isinstance(one, Pass) for one in gc.get_objects()) <= before + 1
    assert optimizer.covered_layers


@pytest.mark.parametrize("fisher", FISHERS)
@pytest.mark.parametrize(
    "loop",
    [
        _evaluating,
        _evaluating_with_a_backward_pass,
        _dropping_outputs,
        _dropping_outputs_after_zero_grad,
        _looking_for_adversaries,
        _zeroing_between,
        _raising,
    ],
)
@pytest.mark.parametrize("options", [{}, {"curvature": "exact", "defer_gradients": True}], ids=["formed", "deferred"])
def test_only_the_pass_that_is_trained_on_counts(loop, fisher, options):
    _same(loop, fisher, **options)


def _nan(x):
    return x.index_fill(1, torch.tensor([0]), math.nan)


def _skips(bad, zero):
    """After every good batch comes one that is skipped, before or after its backward pass."""

    def loop(model, optimizer, backward):
        for seed in range(3):
            _train(model, optimizer, seed)
            x, y = _batch(seed + 7)
            zero(model, optimizer)
            loss = LIKELIHOOD.loss(model(bad(x)), y)
            if backward:
                loss.backward()
            zero(model, optimizer)

    return loop


ZEROS = {
    "optimizer": lambda model, optimizer: optimizer.zero_grad(),
    "optimizer, zeros": lambda model, optimizer: optimizer.zero_grad(set_to_none=False),
    "model": lambda model, optimizer: model.zero_grad(),
}


@pytest.mark.parametrize("fisher", FISHERS)
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("bad", [_nan, lambda x: 1000 * x], ids=["nan", "outlier"])
@pytest.mark.parametrize("zero", ZEROS)
def test_a_batch_that_is_skipped_leaves_no_trace(fisher, backward, bad, zero):
    loop = partial(_skips(bad, ZEROS[zero]), backward=backward)
    _same(loop, fisher)
    if zero == "optimizer":
        _same(loop, fisher, "exact", defer_gradients=True)


@pytest.mark.parametrize("fisher", FISHERS)
@pytest.mark.parametrize("bad", [_nan, lambda x: 1000 * x], ids=["nan", "outlier"])
@pytest.mark.parametrize("zero", ZEROS)
def test_a_step_may_be_left_out_where_gradients_are_zeroed_between_the_passes(fisher, bad, zero):
    def loop(model, optimizer):
        # What the model drops before the first step, before which there are no gradients, nobody sees.
        skipped = [False, True] if zero == "model" else [True, False, True]
        seeds = iter(range(3))
        for skip in [*skipped, True, False, False]:
            x, y = _batch(9) if skip else _batch(next(seeds))
            loss = LIKELIHOOD.loss(model(bad(x) if skip else x), y)
            ZEROS[zero](model, optimizer)
            loss.backward()
            if not skip:
                optimizer.step()

    _same(loop, fisher)
    if zero == "optimizer":
        _same(loop, fisher, "exact", defer_gradients=True)


@pytest.mark.parametrize("fisher", FISHERS)
def test_gradients_zeroed_between_the_passes_still_add_up_over_several_batches(fisher):
    ends = []
    for late in (False, True):
        model = _model()
        optimizer = _optimizer(model, fisher)
        for seed in range(0, 6, 2):
            for part in (0, 1):
                x, y = _batch(seed + part)
                if not late and not part:
                    optimizer.zero_grad()
                loss = LIKELIHOOD.loss(model(x), y)
                if late and not part:
                    optimizer.zero_grad()
                loss.backward()
            optimizer.step()
        ends.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    torch.testing.assert_close(*ends, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (lambda model, x: model.eval()(x), "in evaluation mode"),
        (lambda model, x: model[3](model[1](model[0](x))), "no forward pass of the model was seen"),
        (lambda model, x: model(x[:0]), "without examples"),
    ],
)
def test_an_estimate_that_is_due_and_not_made_is_said_once(call, why):
    model = _model()
    optimizer = _optimizer(model, curvature_interval=2)
    x, y = _batch()
    _train(model, optimizer)
    for step in range(1, 6):
        optimizer.zero_grad()
        outputs = call(model, x)
        LIKELIHOOD.loss(outputs, y[: len(outputs)]).backward()
        if step == 2:
            with pytest.warns(CurvatureWarning, match=f"no curvature was estimated at a step that is due.*{why}"):
                optimizer.step()
        else:
            optimizer.step()


@pytest.mark.parametrize("zeros", [False, True])
def test_gradients_that_the_model_zeroed_do_not_count_for_the_next_step(zeros):
    def loop(model, optimizer):
        for seed in range(3):
            model.zero_grad(set_to_none=not zeros)
            LIKELIHOOD.loss(model(1000 * _batch(seed + 7)[0]), _batch(seed)[1]).backward()
            model.zero_grad(set_to_none=not zeros)
            x, y = _batch(seed)
            LIKELIHOOD.loss(model(x), y).backward()
            optimizer.step()

    for fisher in FISHERS:
        _same(loop, fisher)


@pytest.mark.parametrize("fisher", FISHERS)
def test_of_two_passes_with_one_backward_pass_the_first_counts(fisher):
    seen = []
    model = _model()
    curvature = CURVATURES["kfac"]
    optimizer = NaturalGradient(
        model,
        LIKELIHOOD,
        partial(curvature, approximation=lambda block, start: seen.append(block.inputs) or kfac(block, start)),
        fisher=fisher,
    )
    first, second = _batch(0), _batch(1, 8)
    loss = LIKELIHOOD.loss(model(first[0]), first[1]) + LIKELIHOOD.loss(model(second[0]), second[1])
    loss.backward()
    optimizer.step()
    assert torch.equal(seen[0], first[0])


@pytest.mark.parametrize("fisher", FISHERS)
def test_deferred_gradients_of_two_passes_add_up(fisher):
    def loop(model, optimizer):
        for seed in range(3):
            optimizer.zero_grad()
            x, y = _batch(seed)
            (LIKELIHOOD.loss(model(x), y) + LIKELIHOOD.loss(model(2 * x), y)).backward()
            optimizer.step()

    ends = []
    for defer in (False, True):
        model = _model()
        loop(model, _optimizer(model, fisher, "exact", defer_gradients=defer))
        ends.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert (ends[1] - ends[0]).norm() <= 1e-9 * ends[0].norm()


@pytest.mark.parametrize("fisher", FISHERS)
def test_what_a_dropped_pass_recorded_is_freed_with_its_graph(fisher):
    model = _model()
    optimizer = _optimizer(model, fisher)
    output = model(_batch()[0])
    passes = [weakref.ref(one) for one in gc.get_objects() if isinstance(one, Pass)]
    assert passes
    assert output.grad_fn is not None
    del output
    gc.collect()
    assert all(reference() is None for reference in passes)
    assert _train(model, optimizer) > 0


@pytest.mark.parametrize("fisher", FISHERS)
@pytest.mark.parametrize("options", [{}, {"curvature": "exact", "defer_gradients": True}], ids=["formed", "deferred"])
def test_a_step_that_is_refused_leaves_the_optimizer_as_it_was(fisher, options):
    model = _model()
    optimizer = _optimizer(model, fisher, **options)
    _train(model, optimizer)
    optimizer.zero_grad()
    x, y = _batch(1)
    LIKELIHOOD.loss(model(_nan(x)), y).backward()
    before = [p.detach().clone() for p in model.parameters()]
    with pytest.raises((FloatingPointError, ArithmeticError)):
        optimizer.step()
    assert all(torch.equal(p, old) for p, old in zip(model.parameters(), before, strict=True))
    _train(model, optimizer, 2)
    other = _model()
    reference = _optimizer(other, fisher, **options)
    _train(other, reference)
    _train(other, reference, 2)
    for mine, right in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, right)


@pytest.mark.parametrize("fisher", FISHERS)
@pytest.mark.parametrize("options", [{}, {"curvature": "exact", "defer_gradients": True}], ids=["formed", "deferred"])
def test_an_input_that_is_overwritten_before_the_step_is_an_error(fisher, options):
    model = _model()
    optimizer = _optimizer(model, fisher, **options)
    x, y = _batch()
    LIKELIHOOD.loss(model(x), y).backward()
    x.fill_(100.0)
    before = [p.detach().clone() for p in model.parameters()]
    with pytest.raises(RuntimeError, match=r"the input of layer '0' was overwritten in place.* a new tensor a batch"):
        optimizer.step()
    assert all(torch.equal(p, old) for p, old in zip(model.parameters(), before, strict=True))
    _train(model, optimizer)


def test_an_input_may_be_overwritten_where_no_estimate_needs_it():
    model = _model()
    optimizer = _optimizer(model, curvature_interval=2, inverse_interval=2)
    _train(model, optimizer)
    x, y = _batch()
    optimizer.zero_grad()
    LIKELIHOOD.loss(model(x), y).backward()
    x.fill_(100.0)
    optimizer.step()


@pytest.mark.parametrize(
    ("use", "match"),
    [
        (lambda model, x: None, "no forward pass of the model was seen.* torch.compiler.reset"),
        (lambda model, x: model.eval()(x).sum().backward(), "in evaluation mode, which does not count"),
        (lambda model, x: torch.no_grad()(model)(x), "without gradients"),
        (lambda model, x: model(x[:0]), "on a batch without examples"),
        (lambda model, x: model(x), "no backward pass through a forward pass"),
        (lambda model, x: torch.jit.trace(model, x, check_trace=False), "by a tracer"),
    ],
)
def test_a_step_without_a_curvature_says_what_was_missing(use, match):
    model = _model()
    optimizer = _optimizer(model)
    use(model, _batch()[0])
    with pytest.raises(RuntimeError, match=f"no curvature yet: .*{match}"):
        optimizer.step()
    model.train()
    _train(model, optimizer)


class _Functional(nn.Sequential):
    def forward(self, x):
        return F.linear(torch.tanh(F.linear(x, self[0].weight, self[0].bias)), self[3].weight, self[3].bias)


def test_a_model_that_calls_none_of_its_layers_is_told_so():
    model = _Functional(*_model())
    optimizer = _optimizer(model)
    with pytest.raises(RuntimeError, match=r"called none of its layers \('0', '3'\) as a module.* torch.nn.functional"):
        _train(model, optimizer)


@pytest.mark.parametrize("fisher", FISHERS)
@pytest.mark.parametrize("options", [{}, {"curvature": "exact", "defer_gradients": True}], ids=["formed", "deferred"])
def test_per_example_gradients_of_torch_func_are_left_alone(fisher, options):
    from torch.func import functional_call, grad, jacrev, vmap

    x, y = _batch()

    def gradients(model):
        def loss(parameters, a, b):
            return F.cross_entropy(functional_call(model, parameters, (a[None],)), b[None])

        return vmap(grad(loss), (None, 0, 0))({k: p.detach() for k, p in model.named_parameters()}, x, y)

    def loop(model, optimizer):
        right = gradients(_model())
        for seed in range(3):
            found = gradients(model)
            if seed == 0:
                for name, value in right.items():
                    torch.testing.assert_close(found[name], value)
            vmap(model)(x)
            slopes = jacrev(model)(x[:1])
            torch.testing.assert_close(slopes[0, :, 0], jacrev(copy.deepcopy(model))(x[:1])[0, :, 0])
            _train(model, optimizer, seed)

    _same(loop, fisher, **options)


@pytest.mark.parametrize("fisher", FISHERS)
def test_examples_in_the_second_dimension_are_noticed(fisher):
    class TimeFirst(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.head = nn.Linear(6, 9).double(), nn.Linear(9, 3).double()

        def forward(self, x):
            return self.head(torch.tanh(self.embed(x)).mean(self.times))

    x = torch.randn(12, 12, 6, dtype=torch.float64)
    model = TimeFirst()
    model.times = 0
    optimizer = _optimizer(model, fisher)
    with pytest.raises(ValueError, match=r"'embed' .* second dimension of its input of shape \(12, 12, 6\)"):
        model(x)
    model.times = 1
    LIKELIHOOD.loss(model(x), torch.randint(3, (12,))).backward()
    optimizer.step()


@pytest.mark.parametrize("fisher", FISHERS)
@pytest.mark.parametrize("at", [1, 2])
def test_drawn_targets_follow_from_seed_and_estimate_alone(fisher, at):
    """A state that was saved after any step goes on with the same targets, dropped passes in between or not."""
    whole, part = _model(), _model()
    optimizer = _optimizer(whole, fisher)
    first = _optimizer(part, fisher)
    for seed in range(3):
        _train(whole, optimizer, seed)
    for seed in range(at):
        part(_batch(seed + 9)[0])
        _train(part, first, seed)
    second = _model()
    second.load_state_dict(part.state_dict())
    resumed = _optimizer(second, fisher, seed=99)
    resumed.load_state_dict(first.state_dict())
    for seed in range(at, 3):
        _train(second, resumed, seed)
    for mine, right in zip(second.parameters(), whole.parameters(), strict=True):
        assert torch.equal(mine, right)
