"""The GAN tasks: networks, initial weights, images, published values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from ngbench_tasks import gans
from ngbench_tasks.gans import gan_cifar10, gan_mnist
from torch import nn

from ngbench.adversarial_task import PLAYERS, AdversarialTask, PlayerPair
from ngbench.data.arrays import ArrayDataSet
from ngbench.task import DataSource

SOURCE = DataSource("IMAGES", "generated", "random levels", "00")
LAYERS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


def layers(network: nn.Module) -> list[nn.Module]:
    return [module for module in network.modules() if isinstance(module, LAYERS)]


def test_dcgan_has_the_layers_of_its_definition() -> None:
    task = gan_mnist()
    generator, critic = layers(task.generator()), layers(task.critic())
    assert [(layer.in_channels, layer.out_channels, layer.kernel_size[0]) for layer in generator] == [
        (64, 512, 4),
        (512, 256, 4),
        (256, 128, 4),
        (128, 64, 4),
        (64, 1, 1),
    ]
    assert [(layer.in_channels, layer.out_channels, layer.kernel_size[0]) for layer in critic] == [
        (1, 64, 4),
        (64, 128, 4),
        (128, 256, 4),
        (256, 1, 4),
    ]
    assert all(layer.stride == (2, 2) and layer.padding == (1, 1) for layer in critic)


def test_resnet_gan_has_eleven_layers_in_either_player() -> None:
    task = gan_cifar10()
    assert len(layers(task.generator())) == 11
    assert len(layers(task.critic())) == 11
    assert task.noise == 100


@pytest.mark.parametrize(("build", "shape"), [(gan_mnist, (1, 28, 28)), (gan_cifar10, (3, 32, 32))])
def test_images_and_scores_have_their_shapes(
    build: Callable[..., AdversarialTask], shape: tuple[int, int, int]
) -> None:
    task = build(width=4)
    images = task.generator()(torch.randn(5, task.noise))
    assert images.shape == (5, *shape)
    assert images.abs().max() <= 1
    assert task.critic()(images).shape == (5, 1)


@pytest.mark.parametrize("build", [gan_mnist, gan_cifar10])
def test_initial_weights_are_normal_with_deviation_0_02(build: Callable[..., AdversarialTask]) -> None:
    task = build(width=16)
    for network in (task.generator(), task.critic()):
        weights = torch.cat([layer.weight.detach().flatten() for layer in layers(network)])  # type: ignore[operator]
        assert float(weights.std()) == pytest.approx(0.02, rel=0.05)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                assert abs(float(module.weight.detach().mean()) - 1) < 0.05
            if isinstance(module, (*LAYERS, nn.BatchNorm2d)) and module.bias is not None:
                assert not module.bias.any()


def test_published_values_are_those_of_the_batch_size() -> None:
    task = gan_mnist()
    assert (task.critic_steps, task.penalty, task.batch_size) == (5, 10.0, 128)
    values = {"lr": 1e-2, "damping": 1e-5, "kl_clip": 1e-3}
    assert task.settings_for(128)["kfac3"] == PlayerPair("adam", "kfac", {}, values)
    assert task.settings_for(128)["kfac1"] == PlayerPair(
        "kfac", "adam", {"lr": 1e-3, "damping": 1e-3, "kl_clip": 1e-2}, {}
    )
    assert task.settings_for(512)["kfac2"].critic_hyperparameters["lr"] == 0.1
    assert task.settings_for(256)["sgda"].generator_hyperparameters == {"lr": 1e-4}
    # A size that was not studied takes the values of the default one.
    assert task.settings_for(32) == task.settings_for(128)
    for player in PLAYERS:
        adam = task.hyperparameters[player]["adam"]
        assert (adam["lr"], adam["beta1"], adam["beta2"]) == (2e-4, 0.5, 0.999)
        assert task.hyperparameters[player]["kfac"]["fisher"] == "empirical"


def test_digits_become_images_between_minus_one_and_one_with_their_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grey = np.linspace(0, 1, 4 * 28 * 28, dtype=np.float32).reshape(4, 28, 28)
    labels = np.arange(4)
    asked = []

    def mnist(directory: Path, choice: str, validation: str) -> ArrayDataSet:
        asked.append((directory, choice, validation))
        return ArrayDataSet(grey, grey[:2], SOURCE, labels, labels[:2])

    monkeypatch.setattr(gans, "mnist", mnist)
    data = gan_mnist(data="stand-in").data(tmp_path)
    assert asked == [(tmp_path, "stand-in", "test")]
    assert data.train_inputs.shape == (4, 1, 28, 28)
    assert isinstance(data.train_inputs, torch.Tensor)
    assert (float(data.train_inputs.min()), float(data.train_inputs.max())) == (-1.0, 1.0)
    assert data.train_targets.tolist() == [0, 1, 2, 3]
    assert len(gan_mnist(examples=2).data(tmp_path).train_inputs) == 2


def test_coloured_levels_become_images_between_minus_one_and_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    levels = np.array([0, 255], np.uint8).repeat(3 * 32 * 32).reshape(2, 3, 32, 32)
    labels = np.arange(2)
    monkeypatch.setattr(gans, "cifar10", lambda directory, choice: ArrayDataSet(levels, levels, SOURCE, labels, labels))
    images = gan_cifar10().data(tmp_path).train_inputs
    assert isinstance(images, torch.Tensor)
    assert images[0].unique().tolist() == [-1.0]
    assert images[1].unique().tolist() == [1.0]
