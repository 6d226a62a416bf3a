from __future__ import annotations

import pytest
import torch
from torch import nn

from ngbench.errors import ParameterError, PluginError
from ngbench.plugins import registry
from ngbench.plugins.combined import CombinedOptimizer


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))


def pair(model: nn.Module) -> CombinedOptimizer:
    matrices = [p for p in model.parameters() if p.ndim == 2]
    biases = [p for p in model.parameters() if p.ndim == 1]
    return CombinedOptimizer([torch.optim.SGD(matrices, lr=0.1, momentum=0.9), torch.optim.Adam(biases, lr=0.01)])


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> list[torch.Tensor]:
    inputs = torch.linspace(-1, 1, 32).view(8, 4)
    for _ in range(steps):
        optimizer.zero_grad()
        model(inputs).square().sum().backward()
        optimizer.step()
    return [p.detach().clone() for p in model.parameters()]


def test_each_part_moves_its_own_parameters_as_it_would_alone():
    model, alone = network(), network()
    both = train(model, pair(model), 3)
    parts = pair(alone).parts
    inputs = torch.linspace(-1, 1, 32).view(8, 4)
    for _ in range(3):
        alone.zero_grad()
        alone(inputs).square().sum().backward()
        for part in parts:
            part.step()
    assert all(torch.equal(a, b) for a, b in zip(both, alone.parameters(), strict=True))


def test_a_scheduler_reaches_every_part_before_and_after_a_load():
    model = network()
    optimizer = pair(model)
    optimizer.load_state_dict(optimizer.state_dict())
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.5)
    assert [part.param_groups[0]["lr"] for part in optimizer.parts] == [0.05, 0.005]
    assert scheduler.get_last_lr() == [0.05, 0.005]


def test_it_continues_from_its_state():
    model, straight = network(), network()
    expected = train(straight, pair(straight), 5)
    optimizer = pair(model)
    train(model, optimizer, 2)
    resumed = pair(model)
    resumed.load_state_dict(optimizer.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(train(model, resumed, 3), expected, strict=True))
    with pytest.raises(ValueError, match="the state is not that of an optimizer, or of an older version"):
        resumed.load_state_dict({"parts": [{}]})


def test_a_later_group_is_the_first_parts():
    model = network()
    optimizer = pair(model)
    optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(2, 2))], "lr": 1.0})
    assert [len(part.param_groups) for part in optimizer.parts] == [2, 1]
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 1.0, 0.01]


def test_a_parameter_has_one_owner():
    model = network()
    with pytest.raises(ValueError, match="more than one parameter group"):
        CombinedOptimizer([torch.optim.SGD(model.parameters(), lr=1), torch.optim.SGD(model.parameters(), lr=1)])


def test_muon_leaves_biases_to_adamw_and_says_so():
    plugin = registry.optimizer("torch.optim.Muon")
    values = plugin.resolve({"lr": "0.02", "others_lr": "0.5"})
    assert values["others"] == "torch.optim.AdamW"
    optimizer = registry.build_optimizer(plugin, network(), None, values)
    assert [type(part) for part in optimizer.parts] == [torch.optim.Muon, torch.optim.AdamW]
    assert [[p.ndim for p in group["params"]] for group in optimizer.param_groups] == [[2, 2], [1, 1]]
    assert [group["lr"] for group in optimizer.param_groups] == [0.02, 0.5]


def test_any_class_leaves_to_another_what_is_no_matrix_if_told():
    plugin = registry.optimizer("torch.optim.Adam")
    assert "others" not in plugin.resolve({})
    assert type(registry.build_optimizer(plugin, network(), None, {})) is torch.optim.Adam
    built = registry.build_optimizer(plugin, network(), None, {"others": "torch.optim.SGD"})
    assert [type(part) for part in built.parts] == [torch.optim.Adam, torch.optim.SGD]
    matrices = nn.Linear(3, 2, bias=False)
    assert type(registry.build_optimizer(plugin, matrices, None, {"others": "torch.optim.SGD"})) is torch.optim.Adam


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"others_lr": "0.1"}, ParameterError, "others_lr=0.1 is not allowed without others="),
        ({"others": "torch.optim.Nothing"}, ParameterError.__base__, "'Nothing'"),
        ({"others": "sgd"}, PluginError, "'sgd' is not allowed, it must be PACKAGE.MODULE.CLASS"),
    ],
)
def test_others_that_cannot_be_is_one_sentence(values, error, message):
    with pytest.raises(error, match=message):
        registry.build_optimizer(registry.optimizer("torch.optim.Adam"), network(), None, values)


def test_a_model_without_matrices_is_refused():
    plugin = registry.optimizer("torch.optim.Muon")
    with pytest.raises(ParameterError, match="no parameter that is a matrix"):
        registry.build_optimizer(plugin, nn.BatchNorm1d(3), None, {})
