"""The generative adversarial networks of section 5.3.2 of the thesis, Wasserstein GANs with gradient penalty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from ngbench.adversarial_task import AdversarialTask, Player, PlayerPair, standard_settings
from ngbench.data.arrays import ArrayDataSet
from ngbench.data.choice import Choice
from ngbench.data.cifar import cifar10
from ngbench.data.images import unit_interval
from ngbench.data.mnist import mnist
from ngbench.plugins.parameters import Range
from ngbench.task import Data

from .examples import Examples, chosen
from .networks import dcgan, resnet_gan

__all__ = ["gan_cifar10", "gan_mnist"]

Width = Annotated[int, Range(minimum=1)]

BATCH_SIZES = (128, 256, 512, 1024)
# The published runs took 100; on the 8,000 digits of the stand-in, narrow networks draw digits within 8.
EPOCHS = 8

# Players change each other's curvature, so that estimates age faster than in the training of one model.
_COMMON: Mapping[str, Mapping[str, Any]] = {
    "sgd": {"lr": 1e-3, "momentum": 0.9, "weight_decay": 1e-3},
    "adam": {"lr": 2e-4, "beta1": 0.5, "beta2": 0.999, "weight_decay": 1e-3},
    "kfac": {
        "lr": 0.01,
        "momentum": 0.9,
        "weight_decay": 1e-3,
        "damping": 1e-3,
        "kl_clip": 1e-3,
        "fisher": "empirical",
        "curvature_interval": 20,
        "inverse_interval": 20,
        "curvature_fraction": 0.25,
    },
}
_HYPERPARAMETERS: Mapping[Player, Mapping[str, Mapping[str, Any]]] = {"generator": _COMMON, "critic": _COMMON}

_SGDA_RATES = {128: 1e-3, 256: 1e-4, 512: 1e-4, 1024: 1e-4}
_KFAC_VALUES = {
    128: {"kfac1": (1e-3, 1e-3, 1e-2), "kfac2": (1e-2, 1e-3, 1e-3), "kfac3": (1e-2, 1e-5, 1e-3)},
    256: {"kfac1": (1e-3, 1e-6, 1.0), "kfac2": (1e-2, 1e-5, 1e-3), "kfac3": (1e-2, 1e-5, 1e-3)},
    512: {"kfac1": (1e-3, 1e-6, 1.0), "kfac2": (1e-1, 1e-4, 1e-3), "kfac3": (1e-2, 1e-5, 1e-3)},
    1024: {"kfac1": (1e-1, 1e-6, 1.0), "kfac2": (1e-2, 1e-5, 1e-3), "kfac3": (1e-1, 1e-2, 1e-3)},
}
"""Learning rate, damping and KL clipping of Figure 5.10, by batch size and setting; those of 128 serve all others."""


def _published(batch_size: int) -> dict[str, PlayerPair]:
    """The pairs of Figure 5.10; Adam's values are the same everywhere."""
    settings = standard_settings()
    rate = {"lr": _SGDA_RATES[batch_size]}
    settings["sgda"] = PlayerPair("sgd", "sgd", rate, rate)
    for name, (lr, damping, clip) in _KFAC_VALUES[batch_size].items():
        values = {"lr": lr, "damping": damping, "kl_clip": clip}
        pair = settings[name]
        settings[name] = replace(
            pair,
            generator_hyperparameters=values if pair.generator == "kfac" else {},
            critic_hyperparameters=values if pair.critic == "kfac" else {},
        )
    return settings


def gan_mnist(*, width: Width = 64, data: Choice = "auto", examples: Examples = "all") -> AdversarialTask:
    """DCGAN on handwritten digits, 28 × 28, Wasserstein loss with gradient penalty.

    Args:
        width: channels before the generator's last layer and after the critic's first; 16 is quick on a CPU.
        data: ``official`` is MNIST's own files, downloaded where they are missing; ``stand-in`` is 10,000 of its
            digits from an npm package; ``auto`` prefers the official files.
        examples: how many training examples to use; the validation set shrinks in proportion.
    """
    noise = 64

    def load(directory: Path) -> Data:
        return _images(chosen(mnist(directory, data, validation="test"), examples))

    return AdversarialTask(
        generator=lambda: dcgan.DcganGenerator(noise, width),
        critic=lambda: dcgan.DcganCritic(width),
        data=load,
        noise=noise,
        batch_size=BATCH_SIZES[0],
        batch_sizes=BATCH_SIZES[1:],
        epochs=EPOCHS,
        hyperparameters=_HYPERPARAMETERS,
        settings=_published(BATCH_SIZES[0]),
        published={size: _published(size) for size in BATCH_SIZES},
    )


def gan_cifar10(*, width: Width = 128, data: Choice = "auto", examples: Examples = "all") -> AdversarialTask:
    """Residual GAN on CIFAR-10, 32 × 32 in colour, Wasserstein loss with gradient penalty.

    Args:
        width: channels of all hidden layers.
        data: ``official`` is CIFAR-10's own files, downloaded where they are missing; ``stand-in`` is crops of
            photographs, one class a photograph; ``auto`` prefers the official files.
        examples: how many training examples to use; the validation set shrinks in proportion.
    """
    noise = 100

    def load(directory: Path) -> Data:
        return _images(unit_interval(chosen(cifar10(directory, data), examples)))

    return AdversarialTask(
        generator=lambda: resnet_gan.ResnetGenerator(noise, width),
        critic=lambda: resnet_gan.ResnetCritic(width),
        data=load,
        noise=noise,
        batch_size=BATCH_SIZES[0],
        batch_sizes=BATCH_SIZES[1:],
        epochs=EPOCHS,
        hyperparameters=_HYPERPARAMETERS,
    )


def _images(arrays: ArrayDataSet) -> Data:
    """Images ``(n, c, h, w)`` in [-1, 1] from grey levels or colours in [0, 1]."""
    data = arrays.classifier()

    def scaled(images: Any) -> Any:
        shaped = images.unsqueeze(1) if images.ndim == 3 else images
        return shaped * 2 - 1

    return replace(data, train_inputs=scaled(data.train_inputs), validation_inputs=scaled(data.validation_inputs))
