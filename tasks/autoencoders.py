"""Deep auto-encoders of Hinton and Salakhutdinov (2006), standard problems of second-order optimization."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

from torch import nn

from ngbench.curvature.likelihoods import Bernoulli, Likelihood
from ngbench.data.arrays import ArrayDataSet
from ngbench.data.curves import curves
from ngbench.parameters import Range
from ngbench.task import Data, Task

from .published import published_hyperparameters, thesis_grid

__all__ = ["curves_autoencoder"]

Choice = Literal["auto", "official", "stand-in"]
Examples = Annotated[int, Range(minimum=1)] | Literal["all"]

BIAS = 0.01


def perceptron(widths: Sequence[int]) -> nn.Sequential:
    """Linear layers of these widths with ReLU between them, Xavier-uniform weights and biases of 0.01."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        linear = nn.Linear(inputs, outputs)
        nn.init.xavier_uniform_(linear.weight)
        nn.init.constant_(linear.bias, BIAS)
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _autoencoder(
    name: str,
    encoder: Sequence[int],
    load: Callable[[Path], ArrayDataSet],
    examples: int | Literal["all"],
    likelihood: Likelihood,
    batch_sizes: Sequence[int],
    epochs: int,
) -> Task:
    """The task whose decoder mirrors ``encoder``; the first batch size is the default."""

    def data(directory: Path) -> Data:
        arrays = load(directory)
        return (arrays if examples == "all" else arrays.first(examples)).autoencoder()

    widths = [*encoder, *reversed(encoder[:-1])]
    return Task(
        model=lambda: perceptron(widths),
        data=data,
        likelihood=likelihood,
        batch_size=batch_sizes[0],
        batch_sizes=batch_sizes[1:],
        epochs=epochs,
        hyperparameters=published_hyperparameters(name),
        grid=thesis_grid(),
    )


def curves_autoencoder(*, data: Choice = "auto", examples: Examples = "all") -> Task:
    """Auto-encoder of 28 × 28 images of curves, 784-400-200-100-50-25-6 and back, binary cross-entropy.

    Args:
        data: ``official`` is the published file, downloaded where it is missing; ``stand-in`` generates the
            curves; ``auto`` is the published file where it is present, else generated curves.
        examples: how many training examples to use; the validation set shrinks in proportion.
    """
    return _autoencoder(
        "curves-autoencoder",
        (784, 400, 200, 100, 50, 25, 6),
        lambda directory: curves(directory, data),
        examples,
        Bernoulli(reduction="mean"),
        batch_sizes=(256, 64, 128, 1024),
        epochs=20,
    )
