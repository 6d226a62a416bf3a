"""Classes whose constructor or step asks for more than parameters and a gradient."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from ngbench.errors import NgbenchError, ParameterError
from ngbench.plugins import registry


class OfAModel(torch.optim.SGD):
    def __init__(self, model: nn.Module, params: Any, lr: float = 0.1, most: float = float("inf")) -> None:
        super().__init__(params, lr)
        self.model, self.most = model, most


class Wrapping(torch.optim.SGD):
    def __init__(self, optimizer: torch.optim.Optimizer, base_optimizer: Any = None) -> None:
        super().__init__(optimizer.param_groups, 0.1)
        self.inner, self.base = optimizer, base_optimizer


class Grouped(torch.optim.SGD):
    def __init__(self, params: Any, lr: float = 0.1) -> None:
        super().__init__(params, lr)
        assert all("use_muon" in group for group in self.param_groups)


@pytest.fixture(autouse=True)
def found(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (OfAModel, Wrapping, Grouped):
        monkeypatch.setattr(torch.optim, kind.__name__, kind, raising=False)


def built(name: str, **given: str) -> Any:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    plugin = registry.optimizer(f"torch.optim.{name}")
    return registry.build_optimizer(plugin, model, None, plugin.resolve(given))  # type: ignore[arg-type]


def test_a_model_and_parameters_are_filled_in_and_infinity_stays_the_classs_own() -> None:
    plugin = registry.optimizer("torch.optim.OfAModel")
    assert plugin.resolve({}) == {"lr": 0.1}
    assert plugin.summary == "", "the docstring of another class"
    optimizer = built("OfAModel")
    assert [*optimizer.model.parameters()] == optimizer.param_groups[0]["params"]
    assert optimizer.most == float("inf")
    with pytest.raises(ParameterError, match="OfAModel takes the whole model"):
        built("OfAModel", others="torch.optim.Adam")


def test_a_wrapper_gets_an_optimizer_and_classes_by_name() -> None:
    optimizer = built("Wrapping", optimizer="torch.optim.Adam", optimizer_lr="0.5", base_optimizer="torch.optim.SGD")
    assert (type(optimizer.inner), optimizer.inner.param_groups[0]["lr"]) == (torch.optim.Adam, 0.5)
    assert optimizer.base is torch.optim.SGD
    with pytest.raises(ParameterError, match="optimizer has no default, it must be given"):
        built("Wrapping")
    with pytest.raises(NgbenchError, match="must be a subclass"):
        built("Wrapping", optimizer="torch.nn.Linear")


def test_groups_say_which_parameters_are_matrices_where_a_class_asks() -> None:
    groups = built("Grouped").param_groups
    assert [(group["use_muon"], {p.ndim for p in group["params"]}) for group in groups] == [(True, {2}), (False, {1})]


def test_what_a_step_needs_is_told_and_recorded_only_if_given() -> None:
    assert not {"needs_closure", "needs_graph"} & registry.optimizer("torch.optim.SGD").resolve({}).keys()
    optimizer = built("SGD", needs_closure="true", needs_graph="true")
    assert (optimizer.needs_closure, optimizer.needs_graph) == (True, True)
    for given in ({"needs_closure": "true"}, {}):
        name = "SGD" if given else "LBFGS"
        with pytest.raises(ParameterError, match="not allowed where a step evaluates the loss again"):
            built(name, others="torch.optim.Adam", **given)
