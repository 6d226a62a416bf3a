from __future__ import annotations

from types import SimpleNamespace
from typing import Annotated, Any

import pytest
import torch
from dense import convolutions
from torch import nn

from ngbench.curvature.likelihoods import Categorical
from ngbench.errors import ParameterError
from ngbench.optimizers import kronecker
from ngbench.plugins import registry
from ngbench.plugins.parameters import Range, parameters_of
from ngbench.signatures import shares_parameters

PLUGINS = {name: getattr(kronecker, name) for name in ("kfac", "kpsvd", "deflation", "lanczos", "kfac_corrected")}
TASK = SimpleNamespace(likelihood=Categorical())


def _build(plugin, model, **options):
    defaults = {parameter.name: parameter.default for parameter in parameters_of(plugin, skip=2)}
    return plugin(model, TASK, **defaults | options)


def _losses(optimizer, model, steps):
    inputs = torch.randn(20, 2, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(20) % 3
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = TASK.likelihood.loss(model(inputs), targets)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


@pytest.mark.parametrize("options", [{}, {"damping_kind": "normal"}, {"pi": True}], ids=["factored", "normal", "pi"])
@pytest.mark.parametrize("plugin", PLUGINS.values(), ids=PLUGINS)
def test_every_plugin_trains_convolutions_and_linear_layers(plugin, options):
    model = convolutions()
    given = {"lr": 0.1, "damping": 0.1, "kl_clip": None, "curvature_interval": 3, "inverse_interval": 3, **options}
    losses = _losses(_build(plugin, model, **given), model, 10)
    assert losses[-1] < losses[0] - 0.1


@pytest.mark.parametrize("options", [{"positions": 0}, {"precision": 0.5, "max_iterations": 1}])
def test_options_of_the_search_change_the_estimate(options):
    factors = []
    for given in ({}, options):
        model = convolutions()
        optimizer = _build(kronecker.kpsvd, model, **given)
        _losses(optimizer, model, 1)
        factors.append(optimizer.curvature.factors["0"].terms[0][0])
    assert (factors[0] - factors[1]).norm() > 1e-3 * factors[0].norm()


def test_each_layer_takes_the_size_of_its_own_filter_for_its_radius():
    def factors(positions):
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(2, 3, 3, padding=1), nn.Tanh(), nn.Conv2d(3, 2, 1), nn.Tanh(), nn.Flatten(), nn.Linear(72, 3)
        ).double()
        optimizer = _build(kronecker.kpsvd, model, positions=positions, seed=0)
        _losses(optimizer, model, 1)
        return {name: factor.terms[0][0] for name, factor in optimizer.curvature.factors.items()}

    found, three, one = factors("filter"), factors(3), factors(1)
    for name, right, wrong in (("0", three, one), ("2", one, three)):
        torch.testing.assert_close(found[name], right[name])
        assert (found[name] - wrong[name]).norm() > 1e-3 * wrong[name].norm()
    torch.testing.assert_close(found["5"], one["5"])


def test_the_rank_is_the_number_of_products():
    for plugin in (kronecker.deflation, kronecker.lanczos):
        model = convolutions()
        optimizer = _build(plugin, model, rank=3)
        _losses(optimizer, model, 1)
        assert len(optimizer.curvature.factors["0"].terms) == 3


@pytest.mark.parametrize(
    ("plugin", "options", "message"),
    [
        ("deflation", {"second_term": "absolute", "rank": 3}, "second_term=absolute is not allowed with rank=3"),
        (
            "kfac_corrected",
            {"second_term": "absolute", "damping_kind": "normal"},
            "second_term=absolute is not allowed with damping_kind=normal: only clamp is",
        ),
        (
            "lanczos",
            {"krylov_dimension": 4, "rank": 4},
            "krylov_dimension=4 is not allowed with rank=4: an integer >= 5",
        ),
        ("kfac", {"pi": True, "damping_kind": "normal"}, "pi=true is not allowed with damping_kind=normal"),
    ],
)
def test_options_that_exclude_each_other_are_refused(plugin, options, message):
    with pytest.raises(ParameterError, match=message):
        _build(PLUGINS[plugin], convolutions(), **options)


@pytest.mark.parametrize("name", ["kfac", "kpsvd", "deflation", "lanczos", "kfac-corrected"])
def test_every_hyperparameter_of_a_plugin_has_its_default_and_description(name):
    found = {parameter.name: parameter for parameter in registry.optimizer(name).parameters}
    assert {"lr", "damping", "damping_kind", "kl_clip", "curvature_interval", "seed"} <= set(found)
    assert ("precision" in found) == (name != "kfac")
    assert ("floor" in found) == (name not in ("kfac", "kpsvd"))
    assert ("rank" in found) == (name in ("deflation", "lanczos"))
    assert ("krylov_dimension" in found) == (name == "lanczos")
    assert not [parameter.name for parameter in found.values() if parameter.required or not parameter.description]
    assert "shared" not in found


def test_a_plugin_that_shares_parameters_shows_and_documents_all_of_them():
    def base(
        model: Any, *, lr: Annotated[float, Range(above=0)] = 0.1, other: int = 3, fixed: int = 1
    ) -> dict[str, Any]:
        """The base.

        Args:
            lr: the rate,
                in words.
            other: the other.
            fixed: the base's.
        """
        return {"lr": lr, "other": other, "fixed": fixed}

    @shares_parameters(base)
    def plugin(model: Any, *, fixed: int = 2, **shared: Any) -> dict[str, Any]:
        """The plugin.

        Args:
            fixed: its own.
        """
        return base(model, fixed=fixed + 1, **shared)

    found = {p.name: (p.default, p.describe()) for p in parameters_of(plugin, skip=1)}
    assert found == {"lr": (0.1, "a number > 0"), "other": (3, "an integer"), "fixed": (2, "an integer")}
    assert plugin(None, other=5) == {"lr": 0.1, "other": 5, "fixed": 3}
    described = {p.name: p.description for p in parameters_of(plugin, skip=1)}
    assert described == {"lr": "the rate, in words.", "other": "the other.", "fixed": "its own."}
    assert plugin.__doc__.startswith("The plugin.\n")
