"""Published values: that they fit the optimizers they are for, and how they are converted."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import numpy as np
import pytest
from ngbench_tasks.hyperparameters import published_hyperparameters, thesis_grid

from ngbench.errors import UnknownNameError
from ngbench.plugins import registry

TABLES: dict[str, dict[str, Any]] = json.loads(
    files("ngbench_tasks").joinpath("hyperparameters.json").read_text("utf-8")
)


@pytest.mark.parametrize("name", TABLES)
def test_every_value_is_allowed_by_its_optimizer(name: str) -> None:
    task = registry.task(name, {})
    published = TABLES[name]["hyperparameters"]
    assert set(task.hyperparameters) == set(published)
    # A task may add values that are not published, and changes none.
    assert all(values.items() <= task.hyperparameters[optimizer].items() for optimizer, values in published.items())
    checked = 0
    for optimizer in task.hyperparameters:
        try:
            plugin = registry.optimizer(optimizer)
        except UnknownNameError:
            continue
        effective = registry.effective_hyperparameters(plugin, task, {})
        for key, value in task.hyperparameters[optimizer].items():
            assert effective[key] == value
        checked += 1
    assert checked


@pytest.mark.parametrize("name", [name for name, table in TABLES.items() if "Figure" in table["source"]])
def test_values_were_among_those_searched(name: str) -> None:
    grid = {"curves-autoencoder": 3, "mnist-autoencoder": 3}.get(name, 4)
    searched = thesis_grid(grid)  # type: ignore[arg-type]
    for optimizer, values in published_hyperparameters(name).items():
        for key, allowed in searched.get(optimizer, {}).items():
            if key in values:
                assert (
                    values[key] in allowed
                    or np.isclose(values[key], [value for value in allowed if value is not None], rtol=1e-12).any()
                )


def test_damping_that_was_added_without_its_root_is_squared() -> None:
    published = published_hyperparameters("cuda-convnet-cifar10")
    assert {name: values.get("damping") for name, values in published.items()} == {
        "sgd": None,
        "adam": None,
        "kfac": 1e-4,
        "kpsvd": 1e-2,
        "deflation": 1e-2,
        "lanczos": 1e-4,
        "kfac-corrected": 1e-4,
        "two-level": 1e-4,
        "two-level-spectral": 1e-4,
        "two-level-krylov-nicolaides": 1e-4,
        "two-level-previous": 1e-4,
        "exact-ng": 1e-2,
        "block-diagonal-ng": 1e-2,
    }


def test_no_clipping_is_none_rather_than_zero() -> None:
    published = published_hyperparameters("toy-mlp-mnist5000")
    assert published["kfac"]["kl_clip"] is None
    assert published["block-diagonal-ng"]["kl_clip"] is None


def test_two_level_is_that_of_nicolaides_and_the_others_keep_their_names() -> None:
    published = published_hyperparameters("deep-linear-64-fashion-mnist")
    spaces = {name: values["coarse_space"] for name, values in published.items() if name.startswith("two-level")}
    assert spaces == {
        "two-level": "nicolaides",
        "two-level-spectral": "spectral",
        "two-level-krylov-nicolaides": "krylov-nicolaides",
        "two-level-previous": "previous",
    }


def test_momentum_and_weight_decay_where_nothing_else_is_published() -> None:
    for values in published_hyperparameters("resnet34-svhn").values():
        assert values["weight_decay"] == 1e-3
    assert published_hyperparameters("resnet18-cifar10")["sgd"] == {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4}


def test_grids_of_both_chapters() -> None:
    assert 0.3 in thesis_grid()["kfac"]["lr"]
    assert 9e-2 in thesis_grid()["deflation"]["damping"]
    assert list(thesis_grid(4)["exact-ng"]["damping"]) == [10.0**k for k in range(-4, 5)]
    assert thesis_grid(4)["two-level"]["damping"][0] == 1e-8
    assert "two-level" not in thesis_grid(3)
