"""What a task plugin provides: a model, its data, the likelihood of its loss, and sensible defaults."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ngbench.errors import DataError, describe

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from ngbench.curvature.likelihoods import Likelihood

Origin = Literal["original", "generated", "stand-in"]

__all__ = ["Data", "DataSource", "Task", "TensorSource", "pairs_of"]


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
    origin: Origin
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

    @classmethod
    def from_tensors(
        cls,
        inputs: Any,
        targets: Any = None,
        *,
        validation: float | tuple[Any, Any] = 0.2,
        name: str = "own data",
        origin: Origin = "original",
        description: str | None = None,
        augment: Callable[[Tensor, torch.Generator], Tensor] | None = None,
    ) -> Data:
        """Data that lie in memory; their digest is computed.

        Args:
            inputs: ``(n, ...)``, a tensor or what ``torch.as_tensor`` makes one of.
            targets: ``(n, ...)``; the inputs themselves by default, as for an auto-encoder.
            validation: the share of the examples to validate on, drawn with a fixed seed, or the inputs and targets of
                others (``None`` for targets that are the inputs).
            name: of the data set.
            origin: whether they are the original, made by a program, or other data in the place of the original.
            description: one sentence that says what they are; by default how many examples of which shape.
            augment: see :attr:`augment`.

        Raises:
            DataError: the numbers of inputs and targets differ, or a part would be empty.
        """
        import torch

        given = _pair(inputs, targets)
        if isinstance(validation, tuple):
            train, held_out = given, _pair(*validation)
        elif isinstance(validation, bool) or not isinstance(validation, (int, float)):
            raise DataError(
                f"validation={validation!r} is not allowed, it must be a share of the examples or (inputs, targets)"
            )
        else:
            order = torch.randperm(len(given[0]), generator=torch.Generator().manual_seed(0))
            size = round(len(order) * validation) if math.isfinite(validation) else 0
            if not 0 < size < len(order):
                raise DataError(
                    f"validation={validation} of {len(order)} examples is {size}, it must leave some of both parts"
                )
            train, held_out = _rows(given, order[size:]), _rows(given, order[:size])
        if description is None:
            description = f"{len(train[0]) + len(held_out[0])} examples of shape {tuple(train[0].shape[1:])}"
        source = DataSource(name, origin, description, _digest([*train, *held_out]))
        return cls(*train, *held_out, source, augment)

    @classmethod
    def from_arrays(cls, inputs: Any, targets: Any = None, **others: Any) -> Data:
        """Data from arrays of numpy; the arguments are those of :meth:`from_tensors`."""
        return cls.from_tensors(inputs, targets, **others)

    @classmethod
    def from_dataset(cls, dataset: Any, *, validation: Any = 0.2, **others: Any) -> Data:
        """Data of a ``torch.utils.data.Dataset`` of pairs of an input and a target, all of which are loaded.

        Args:
            dataset: has a length; its items are collated as a ``DataLoader`` does; or a ``DataLoader`` of it.
            validation: a share as for :meth:`from_tensors`, or another such data set.
            others: further arguments of :meth:`from_tensors`.

        Raises:
            DataError: its items are no such pairs.
        """
        given = validation if isinstance(validation, float) else pairs_of(validation)
        return cls.from_tensors(*pairs_of(dataset), validation=given, **others)


def _pair(inputs: Any, targets: Any) -> tuple[Tensor, Tensor]:
    import torch

    try:
        first = torch.as_tensor(inputs).detach()
        second = first if targets is None or targets is inputs else torch.as_tensor(targets).detach()
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"inputs and targets cannot be tensors: {describe(error)}") from error
    if not first.ndim or not second.ndim or len(first) != len(second) or not len(first):
        raise DataError(
            f"inputs of shape {tuple(first.shape)} and targets of shape {tuple(second.shape)} are not allowed, "
            "their first dimensions must be the same number of examples"
        )
    return first, second


def _rows(pair: tuple[Tensor, Tensor], places: Tensor) -> tuple[Tensor, Tensor]:
    inputs = pair[0][places]
    return inputs, inputs if pair[1] is pair[0] else pair[1][places]


def pairs_of(examples: Any) -> tuple[Tensor, Tensor]:
    """All inputs and targets of a ``Dataset`` of such pairs, or of the one that a ``DataLoader`` takes them from.

    Raises:
        DataError: its items are no pairs, or the loader chooses its examples or batches itself.
    """
    from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler, default_collate

    collate: Any = default_collate
    dataset: Any = examples
    if isinstance(examples, DataLoader):
        collate, dataset = examples.collate_fn, examples.dataset
        sampler: Any = examples.sampler
        whole = type(sampler) in (SequentialSampler, RandomSampler) and len(sampler) == len(dataset)
        if type(examples.batch_sampler) is not BatchSampler or not whole or getattr(sampler, "replacement", False):
            raise DataError(
                "a DataLoader that chooses its examples or its batches itself is not allowed, since runs draw their "
                "own mini-batches: give a Dataset of the examples that it takes"
            )
    try:
        inputs, targets = collate([dataset[at] for at in range(len(dataset))])
        return _pair(inputs, targets)
    except Exception as error:
        # Data sets and what collates them are code of others.
        raise DataError(
            f"the data set does not consist of pairs of an input and a target: {describe(error)}"
        ) from error


def _digest(tensors: Sequence[Tensor]) -> str:
    import torch

    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


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
