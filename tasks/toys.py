"""Classifiers so small that the exact natural gradient of the whole training set is affordable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from torch import nn

from ngbench.curvature.likelihoods import Categorical
from ngbench.data.choice import Choice
from ngbench.data.cifar import cifar10
from ngbench.data.images import standardized
from ngbench.data.mnist import mnist
from ngbench.task import Data, Task

from .accuracy import accuracy
from .examples import Examples, chosen
from .hyperparameters import published_hyperparameters, thesis_grid
from .networks.initialisation import initialise
from .networks.perceptron import perceptron

__all__ = ["toy_cnn_cifar1000", "toy_mlp_mnist5000"]


def _toy(name: str, model: Callable[[], nn.Module], data: Callable[[Path], Data], batch_sizes: Sequence[int]) -> Task:
    return Task(
        model=model,
        data=data,
        likelihood=Categorical(),
        batch_size=batch_sizes[0],
        batch_sizes=batch_sizes[1:],
        epochs=100,
        hyperparameters=published_hyperparameters(name),
        grid=thesis_grid(chapter=4),
        metrics={"accuracy": accuracy},
    )


def toy_mlp_mnist5000(*, data: Choice = "auto", examples: Examples = 5000) -> Task:
    """Classifier of 5,000 digits of MNIST, 784-10-30-20-15-10 with tanh, also for batches of all of them.

    Args:
        data: ``official`` is MNIST's own files, downloaded where they are missing; ``stand-in`` is 10,000 of its
            digits from an npm package; ``auto`` prefers the official files.
        examples: how many training examples to use; the validation set shrinks in proportion.
    """
    return _toy(
        "toy-mlp-mnist5000",
        lambda: perceptron((784, 10, 30, 20, 15, 10), lambda width: nn.Tanh()),
        lambda directory: chosen(mnist(directory, data), examples).classifier(flat=True),
        batch_sizes=(256, 1024, 5000),
    )


def _toy_cnn() -> nn.Sequential:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 7),
        nn.Tanh(),
        nn.MaxPool2d(3),
        nn.Conv2d(4, 2, 5),
        nn.Tanh(),
        nn.MaxPool2d(3),
        nn.Flatten(),
        nn.Linear(2, 10),
    )
    return network.apply(initialise)


def toy_cnn_cifar1000(*, data: Choice = "auto", examples: Examples = 1000) -> Task:
    """Classifier of 1,000 images of CIFAR-10, two convolutions with tanh and a linear layer, also in one batch.

    Args:
        data: ``official`` is CIFAR-10's python batches, downloaded where they are missing; ``stand-in`` is crops of
            ten photographs; ``auto`` prefers the official files.
        examples: how many training examples to use; the validation set shrinks in proportion.
    """
    return _toy(
        "toy-cnn-cifar1000",
        _toy_cnn,
        lambda directory: standardized(chosen(cifar10(directory, data), examples)).classifier(),
        batch_sizes=(256, 512, 1000),
    )
