"""Deep linear networks, the toys, and the convolutional auto-encoders: networks, data, a step of each."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from ngbench_tasks.conv_autoencoders import (
    conv_autoencoder_cifar10,
    conv_autoencoder_fashion_mnist,
    conv_autoencoder_mnist,
    conv_autoencoder_svhn,
)
from ngbench_tasks.deep_linear import deep_linear_14_mnist, deep_linear_64_fashion_mnist
from ngbench_tasks.hyperparameters import published_hyperparameters
from ngbench_tasks.toys import toy_cnn_cifar1000, toy_mlp_mnist5000
from torch import nn

from ngbench.curvature.likelihoods import Bernoulli, Gaussian
from ngbench.data.arrays import ArrayDataSet
from ngbench.data.crops import photograph_crops
from ngbench.plugins.parameters import parameters_of
from ngbench.task import DataSource, Task

BATCHES = {
    deep_linear_64_fashion_mnist: (512, []),
    deep_linear_14_mnist: (512, []),
    toy_mlp_mnist5000: (256, [1024, 5000]),
    toy_cnn_cifar1000: (256, [512, 1000]),
    conv_autoencoder_mnist: (128, [256, 512]),
    conv_autoencoder_fashion_mnist: (128, [256, 512]),
    conv_autoencoder_cifar10: (256, [512, 1024, 2048]),
    conv_autoencoder_svhn: (256, [512, 1024, 2048]),
}
TASKS = list(BATCHES)
GREY = [conv_autoencoder_mnist, conv_autoencoder_fashion_mnist]
COLOURED = [conv_autoencoder_cifar10, conv_autoencoder_svhn]


def digits(directory: Path, *_: object) -> ArrayDataSet:
    generator = np.random.default_rng(0)
    images = [generator.random((count, 28, 28)).astype(np.float32) for count in (6000, 20)]
    labels = [generator.integers(0, 10, count) for count in (6000, 20)]
    return ArrayDataSet(*images, DataSource("MNIST", "stand-in", "noise", "0" * 64), *labels)


def colours(directory: Path, *_: object) -> ArrayDataSet:
    return photograph_crops("CIFAR-10", 1200, 60, 10)


@pytest.fixture(autouse=True)
def _made_data(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, names in (
        ("deep_linear", ("mnist", "fashion_mnist")),
        ("toys", ("mnist",)),
        ("conv_autoencoders", ("mnist", "fashion_mnist")),
    ):
        for name in names:
            monkeypatch.setattr(f"ngbench_tasks.{module}.{name}", digits)
    for name in ("toys.cifar10", "conv_autoencoders.cifar10", "conv_autoencoders.svhn"):
        monkeypatch.setattr(f"ngbench_tasks.{name}", colours)


@pytest.mark.parametrize("build", TASKS)
def test_batch_sizes_budgets_and_options(build: Callable[[], Task]) -> None:
    task = build()
    assert (task.batch_size, list(task.batch_sizes)) == BATCHES[build]
    assert task.epochs == 100
    assert all(option.description for option in parameters_of(build))


@pytest.mark.parametrize("build", TASKS)
def test_step(build: Callable[..., Task], tmp_path: Path) -> None:
    task = build(examples=16)
    data = task.data(tmp_path)
    assert len(data.train_inputs) == 16
    model = task.model()
    task.likelihood.loss(model(data.train_inputs[:]), data.train_targets).backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("build", "layers"),
    [
        (deep_linear_64_fashion_mnist, [784] + [10] * 64),
        (deep_linear_14_mnist, [784, 1000, 900, 800, 700, 600, 500, 400, 300, 200, 100, 50, 20, 10]),
        (toy_mlp_mnist5000, [784, 10, 30, 20, 15, 10]),
    ],
)
def test_widths_and_what_lies_between_layers(build: Callable[[], Task], layers: list[int]) -> None:
    modules = list(build().model())  # type: ignore[call-overload]
    linear, between = modules[::2], modules[1::2]
    assert [linear[0].in_features, *(layer.out_features for layer in linear)] == layers
    expected = nn.Tanh if build is toy_mlp_mnist5000 else nn.BatchNorm1d
    assert {type(module) for module in between} == {expected}


def test_toys_train_on_as_many_images_as_their_names_say(tmp_path: Path) -> None:
    assert toy_mlp_mnist5000().data(tmp_path).train_inputs[:].shape == (5000, 784)
    assert toy_cnn_cifar1000().data(tmp_path).train_inputs[:].shape == (1000, 3, 32, 32)


def test_toy_cnn() -> None:
    model = toy_cnn_cifar1000().model()
    assert [type(module).__name__ for module in model] == [  # type: ignore[attr-defined]
        *("Conv2d", "Tanh", "MaxPool2d") * 2,
        *("Flatten", "Linear"),
    ]
    assert [tuple(p.shape) for p in model.parameters() if p.ndim > 1] == [(4, 3, 7, 7), (2, 4, 5, 5), (10, 2)]


@pytest.mark.parametrize("build", [*GREY, *COLOURED])
def test_auto_encoder_gives_back_the_shape_of_its_images(build: Callable[..., Task], tmp_path: Path) -> None:
    channels = 1 if build in GREY else 3
    task = build(examples=8)
    data = task.data(tmp_path)
    assert data.train_targets is data.train_inputs
    images = data.train_inputs[:]
    assert images.shape == (8, channels, *((28, 28) if channels == 1 else (32, 32)))
    assert images.min() >= 0
    assert images.max() <= 1
    model = task.model()
    assert model(images).shape == images.shape
    weights = [(type(m).__name__, tuple(m.weight.shape)) for m in model.modules() if hasattr(m, "kernel_size")]
    assert weights == [
        ("Conv2d", (6, channels, 5, 5)),
        ("Conv2d", (16, 6, 5, 5)),
        ("ConvTranspose2d", (16, 6, 5, 5)),
        ("ConvTranspose2d", (6, channels, 5, 5)),
    ]


def test_auto_encoders_differ_in_loss_activation_and_normalisation() -> None:
    def others(build: Callable[[], Task]) -> list[str]:
        modules = list(build().model())  # type: ignore[call-overload]
        return [type(module).__name__ for module in modules if not hasattr(module, "kernel_size")]

    for build in GREY:
        assert others(build) == ["LeakyReLU"] * 3
        assert build().model()[1].negative_slope == 0.2  # type: ignore[index]
    for build in COLOURED:
        assert others(build) == ["BatchNorm2d", "ReLU"] * 3
    outputs, targets = torch.full((2, 1, 3, 3), 0.5), torch.ones(2, 1, 3, 3)
    for build in GREY:
        assert isinstance(build().likelihood, Bernoulli)
        assert float(build().likelihood.loss(outputs, targets)) == pytest.approx(math.log1p(math.exp(-0.5)))
    for build in COLOURED:
        assert isinstance(build().likelihood, Gaussian)
        assert float(build().likelihood.loss(outputs, targets)) == pytest.approx(0.25)


@pytest.mark.parametrize("build", GREY)
def test_auto_encoders_of_grey_images_renew_the_curvature_often_and_keep_what_is_published(
    build: Callable[[], Task],
) -> None:
    values = build().hyperparameters["kfac"]
    published = published_hyperparameters("conv-autoencoder-mnist")["kfac"]
    assert values == {**published, "curvature_interval": 10, "inverse_interval": 10}


def test_classifiers_report_their_accuracy() -> None:
    for build in TASKS[:4]:
        assert set(build().metrics) == {"accuracy"}
