"""What every natural gradient tells of its layers, for each type of layer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ngbench import Gaussian
from ngbench.optimizers.natural_gradient import NaturalGradient
from ngbench.plugins import registry
from ngbench.plugins.protocol import measured
from ngbench.records.record import LayerRecord

SPACES = ("nicolaides", "spectral", "residual", "krylov-nicolaides", "krylov-residual", "taylor", "previous")
OPTIMIZERS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in ("kfac", "kpsvd", "deflation", "lanczos", "kfac-corrected")},
    **{name: (name, {}) for name in ("exact-ng", "block-diagonal-ng")},
    "exact-ng-formed": ("exact-ng", {"defer_gradients": False}),
    "block-diagonal-ng-factored": ("block-diagonal-ng", {"damping_kind": "factored"}),
    **{f"two-level-{space}": ("two-level", {"coarse_space": space}) for space in SPACES},
}
"""Names of arms, with the optimizer and hyper-parameters of each."""


class _Twice(nn.Module):
    """A convolution that is called on two grids."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Conv2d(2, 3, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.cat([self.shared(inputs).flatten(1), self.shared(inputs[..., :4]).flatten(1)], 1)


LAYERS: dict[str, tuple[nn.Module, tuple[int, ...], tuple[int, int, int]]] = {
    "linear": (nn.Linear(4, 3), (4,), (5, 3, 1)),
    "linear without a bias": (nn.Linear(4, 3, bias=False), (4,), (4, 3, 1)),
    "linear on sequences": (nn.Linear(4, 3), (7, 4), (5, 3, 7)),
    "convolution": (nn.Conv2d(2, 3, 3), (2, 6, 6), (19, 3, 16)),
    "convolution with stride": (nn.Conv2d(2, 3, 3, stride=2, padding=1), (2, 6, 6), (19, 3, 9)),
    "transposed convolution": (nn.ConvTranspose2d(2, 3, 3, stride=2), (2, 4, 4), (19, 3, 81)),
    "called twice": (_Twice(), (2, 6, 6), (19, 3, 16 + 8)),
}
"""Of each type: the layer, the shape of one example, and ``d_in``, ``d_out`` and positions."""


def test_every_natural_gradient_is_here() -> None:
    model = nn.Sequential(nn.Linear(4, 3))
    task: Any = SimpleNamespace(likelihood=Gaussian())
    natural = set()
    for row in registry.rows(registry.OPTIMIZERS):
        if row.distribution == "ngbench":
            plugin = registry.optimizer(row.name)
            optimizer = registry.build_optimizer(plugin, model, task, plugin.resolve({}))
            natural |= {row.name} if isinstance(optimizer, NaturalGradient) else set()
    assert natural == {name for name, _ in OPTIMIZERS.values()}


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("arm", OPTIMIZERS)
def test_layers_are_those_of_the_model_at_their_positions(arm: str, layer: str) -> None:
    torch.manual_seed(0)
    module, shape, (d_in, d_out, positions) = LAYERS[layer]
    model = nn.Sequential(module, nn.Flatten(), nn.LazyLinear(2))
    inputs = torch.randn(4, *shape)
    model(inputs)
    name, hyperparameters = OPTIMIZERS[arm]
    likelihood = Gaussian()
    task: Any = SimpleNamespace(likelihood=likelihood)
    plugin = registry.optimizer(name)
    optimizer = registry.build_optimizer(plugin, model, task, plugin.resolve(hyperparameters))
    told = measured(optimizer)
    assert told.layers() == [], "nothing is known before a curvature was estimated"
    likelihood.loss(model(inputs), torch.randn(4, 2)).backward()
    optimizer.step()
    first, last = told.layers()
    expected = {"d_in": d_in, "d_out": d_out, "positions": positions}
    name = "0.shared" if layer == "called twice" else "0"
    assert first == LayerRecord(name=name, predicted=first.predicted, **expected)
    assert (last.name, last.d_out, last.positions) == ("2", 2, 1)
