"""What a task plugin provides: a model, its data, the likelihood of its loss, and sensible defaults."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from ngbench.curvature.likelihoods import Likelihood

__all__ = ["Data", "DataSource", "Task", "TensorSource"]


@dataclass(frozen=True)
class DataSource:
    """Which data a run used, so that a stand-in never passes for the original.

    Attributes:
        name: the data set, for example ``"CURVES"``.
        origin: ``"original"`` (the official files), ``"generated"`` (synthetic by nature, made here) or
            ``"stand-in"`` (other data in the place of the original).
        description: one sentence that says what was used.
        digest: hexadecimal SHA-256 of the arrays or files that were used.
    """

    name: str
    origin: Literal["original", "generated", "stand-in"]
    description: str
    digest: str


class TensorSource(Protocol):
    """Examples that are made or read when a batch asks for them, because all of them would not fit in memory.

    What training asks of examples, and what a tensor answers as well.
    """

    def __len__(self) -> int:
        """How many examples there are."""

    def __getitem__(self, index: Tensor | slice) -> Tensor:
        """The examples at these places ``(m,)``, in this order: ``(m, ...)``."""

    def to(self, device: torch.device, dtype: torch.dtype) -> TensorSource:
        """The same examples, given on ``device`` and in the floating-point type ``dtype``."""


@dataclass(frozen=True)
class Data:
    """The training and validation examples of a task, as tensors whose first dimension is the example.

    Inputs that do not fit in memory are a :class:`TensorSource` instead.

    Attributes:
        train_inputs: ``(n, ...)``.
        train_targets: ``(n, ...)``; the same tensor as the inputs for an auto-encoder.
        validation_inputs: ``(n_v, ...)``.
        validation_targets: ``(n_v, ...)``.
        source: what the data are.
        augment: applied to each training batch of inputs, with the generator that makes it reproducible.
    """

    train_inputs: Tensor | TensorSource
    train_targets: Tensor
    validation_inputs: Tensor | TensorSource
    validation_targets: Tensor
    source: DataSource
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None


@dataclass(frozen=True)
class Task:
    """A training problem.

    A task plugin is an entry point in the group ``ngbench.tasks`` that names a function returning a ``Task``;
    the function's keyword parameters are the task's own options (``--set KEY=VALUE``) and the first line of
    its docstring is the summary that ``ngbench list tasks`` shows.

    Attributes:
        model: builds the model with its initial weights, drawn from torch's global generator.
        data: loads the data; its argument is the directory in which data sets live.
        likelihood: the predictive distribution whose negative log-likelihood is the loss.
        batch_size: default batch size.
        batch_sizes: the other batch sizes that the task is studied with.
        epochs: default budget.
        hyperparameters: for each optimizer's name, published values that replace its defaults; a name that goes on
            with ``-`` or ``+`` (``two-level-spectral``) holds further published values of that optimizer.
        grid: for each optimizer's name, for each hyper-parameter, the values a search tries.
        metrics: further numbers reported for each epoch, functions of (outputs, targets) that give the mean over a
            batch: of the validation examples after the epoch, and of its mini-batches, each before its update. They
            are not timed, and draw no random numbers.
    """

    model: Callable[[], nn.Module]
    data: Callable[[Path], Data]
    likelihood: Likelihood
    batch_size: int
    epochs: int
    batch_sizes: Sequence[int] = ()
    hyperparameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    grid: Mapping[str, Mapping[str, Sequence[Any]]] = field(default_factory=dict)
    metrics: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = field(default_factory=dict)
