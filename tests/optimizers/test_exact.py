from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
import torch
from dense import close
from oracle import per_example_gradients, vec, weight_gradients
from torch import nn

from ngbench.curvature.likelihoods import Categorical, Gaussian
from ngbench.errors import ParameterError
from ngbench.optimizers.exact import block_diagonal_ng, exact_ng

LIKELIHOOD = Categorical()
TASK = SimpleNamespace(likelihood=LIKELIHOOD)


def _model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()


def _batch(seed=1, examples=8):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(examples, 4, dtype=torch.float64, generator=generator)
    return inputs, torch.randint(3, (examples,), generator=generator)


def _train(model, optimizer, batches, likelihood=LIKELIHOOD):
    for inputs, targets in batches:
        optimizer.zero_grad()
        likelihood.loss(model(inputs), targets).backward()
        optimizer.step()


def _jacobian(model, inputs, targets):
    gradients = per_example_gradients(model, LIKELIHOOD, inputs, targets)
    return torch.cat([vec(weight_gradients(gradients, layer)) for layer in ("0", "2")], 1).T


def _vector(model):
    parts = [torch.cat([model[i].weight, model[i].bias.unsqueeze(1)], 1).detach() for i in (0, 2)]
    return torch.cat([vec(part) for part in parts])


def _dense_step(model, inputs, targets, fisher, damping):
    drawn = LIKELIHOOD.sample(model(inputs).detach(), torch.Generator().manual_seed(7))
    j = _jacobian(model, inputs, targets if fisher == "empirical" else drawn)
    gradient = _jacobian(model, inputs, targets).mean(1)
    return torch.linalg.solve(j @ j.T / len(inputs) + damping * torch.eye(len(j)).double(), gradient), gradient


@pytest.mark.parametrize("fisher", ["sampled", "empirical"])
def test_a_step_moves_by_the_dense_solution(fisher):
    model, (inputs, targets) = _model(), _batch()
    before = _vector(model)
    step, _ = _dense_step(model, inputs, targets, fisher, 0.02)
    _train(model, exact_ng(model, TASK, lr=0.3, damping=0.02, fisher=fisher, seed=7, momentum=0), [_batch()])
    close(before - _vector(model), 0.3 * step)


def test_the_step_is_clipped_by_its_own_length():
    model, (inputs, targets) = _model(), _batch()
    before = _vector(model)
    step, gradient = _dense_step(model, inputs, targets, "sampled", 0.02)
    parts = [slice(0, 25), slice(25, 43)]
    total = sum((step[part] @ gradient[part]).abs() for part in parts)
    _train(model, exact_ng(model, TASK, lr=1.0, damping=0.02, kl_clip=1e-4, seed=7, momentum=0), [_batch()])
    close(before - _vector(model), step * (1e-4 / total).sqrt())


def test_the_curvature_of_a_part_of_the_batch_is_used():
    model, (inputs, targets) = _model(), _batch()
    before = _vector(model)
    drawn = LIKELIHOOD.sample(model(inputs).detach()[:2], torch.Generator().manual_seed(7))
    j = _jacobian(model, inputs[:2], drawn)
    gradient = _jacobian(model, inputs, targets).mean(1)
    step = torch.linalg.solve(j @ j.T / 2 + 0.02 * torch.eye(len(j)).double(), gradient)
    options = {"lr": 1.0, "damping": 0.02, "seed": 7, "momentum": 0}
    _train(model, exact_ng(model, TASK, curvature_fraction=0.25, **options), [_batch()])
    close(before - _vector(model), step)


def test_between_estimates_the_batch_of_the_last_one_is_kept():
    model, (inputs, targets) = _model(), _batch()
    drawn = LIKELIHOOD.sample(model(inputs).detach(), torch.Generator().manual_seed(7))
    j = _jacobian(model, inputs, drawn)
    optimizer = exact_ng(model, TASK, lr=0.1, damping=0.02, curvature_interval=2, seed=7, momentum=0)
    _train(model, optimizer, [_batch()])
    before, (inputs, targets) = _vector(model), _batch(2)
    gradient = _jacobian(model, inputs, targets).mean(1)
    _train(model, optimizer, [_batch(2)])
    step = torch.linalg.solve(j @ j.T / 8 + 0.02 * torch.eye(len(j)).double(), gradient)
    close(before - _vector(model), 0.1 * step)


class _Affine(nn.Module):
    """``x ↦ M x + c`` with fixed M and c."""

    def __init__(self, matrix, offset):
        super().__init__()
        self.register_buffer("matrix", matrix)
        self.register_buffer("offset", offset)

    def forward(self, x):
        return x @ self.matrix.T + self.offset


def _two_parametrisations():
    """A model, and the same function whose second layer sees ``M x + c`` and gives ``N⁻¹ (z − d)``."""
    torch.manual_seed(3)
    plain = nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 2)).double()
    m = torch.tensor([[2.0, 0.5], [-1.0, 0.3]], dtype=torch.float64)
    n = torch.tensor([[0.2, 0.1], [0.4, -3.0]], dtype=torch.float64)
    c, d = torch.tensor([0.7, -1.0], dtype=torch.float64), torch.tensor([1.0, 2.0], dtype=torch.float64)
    changed = nn.Linear(2, 2).double()
    weight = torch.linalg.solve(n, plain[2].weight.detach()) @ torch.linalg.inv(m)
    changed.weight.data = weight
    changed.bias.data = torch.linalg.solve(n, plain[2].bias.detach() - d) - weight @ c
    return plain, nn.Sequential(copy.deepcopy(plain[0]), nn.Tanh(), _Affine(m, c), changed, _Affine(n, d))


def _gap_after_a_step(make):
    """How far the functions of both parametrisations are apart after a step, relative to how far it led."""
    plain, changed = _two_parametrisations()
    torch.manual_seed(4)
    inputs, targets = torch.randn(60, 3, dtype=torch.float64), torch.randn(60, 2, dtype=torch.float64)
    start = plain(inputs).detach()
    close(changed(inputs).detach(), start, 1e-12)
    for model in (plain, changed):
        _train(model, make(model), [(inputs, targets)], Gaussian())
    ends = plain(inputs).detach(), changed(inputs).detach()
    return ((ends[0] - ends[1]).norm() / (ends[0] - start).norm()).item()


@pytest.mark.parametrize("fisher", ["sampled", "exact"])
def test_the_step_commutes_with_an_affine_change_of_variables_and_that_of_sgd_does_not(fisher):
    task = SimpleNamespace(likelihood=Gaussian())
    # To first order in the learning rate, as the model is not linear in its parameters.
    options = {"lr": 1e-6, "damping": 1e-12, "momentum": 0, "fisher": fisher, "seed": 0}
    assert _gap_after_a_step(lambda model: exact_ng(model, task, **options)) < 1e-4
    assert _gap_after_a_step(lambda model: torch.optim.SGD(model.parameters(), lr=1e-6)) > 0.1


@pytest.mark.parametrize("make", [exact_ng, block_diagonal_ng])
@pytest.mark.parametrize("options", [{}, {"fisher": "empirical"}, {"curvature_interval": 3}])
def test_a_resumed_run_is_the_uninterrupted_one(make, options):
    batches = [_batch(seed) for seed in range(6)]
    straight = _model()
    _train(straight, make(straight, TASK, lr=0.1, **options), batches)
    first = _model()
    optimizer = make(first, TASK, lr=0.1, **options)
    _train(first, optimizer, batches[:2])
    second = _model()
    second.load_state_dict(first.state_dict())
    resumed = make(second, TASK, lr=0.1, **options)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    _train(second, resumed, batches[2:])
    assert torch.equal(_vector(second), _vector(straight))


def test_factored_damping_is_another_step():
    steps = []
    for options in ({}, {"damping_kind": "factored"}, {"damping_kind": "factored", "pi": True}):
        model = _model()
        _train(model, block_diagonal_ng(model, TASK, **options), [_batch()])
        steps.append(_vector(model))
    assert not torch.allclose(steps[0], steps[1])
    assert not torch.allclose(steps[1], steps[2])


def test_pi_without_factored_damping_is_refused():
    with pytest.raises(ParameterError, match="pi=true is not allowed with damping_kind=normal"):
        block_diagonal_ng(_model(), TASK, pi=True)
