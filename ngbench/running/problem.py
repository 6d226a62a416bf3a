"""A task with its data loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from ngbench.adversarial_task import AdversarialTask
from ngbench.errors import DataError, NgbenchError, PluginError, describe
from ngbench.plugins import registry
from ngbench.plugins.located import SourceFile
from ngbench.task import Data, Task, TensorSource

__all__ = [
    "DeviceData",
    "LoadedTask",
    "Problem",
    "load_data",
    "load_problem",
]


class LoadedTask(Protocol):
    """A task of any kind with its data loaded."""

    @property
    def name(self) -> str:
        """The task's name."""

    @property
    def task(self) -> Task | AdversarialTask:
        """The task."""

    @property
    def data(self) -> Data:
        """Its data."""

    @property
    def file(self) -> SourceFile | None:
        """The user's own file that the task is from."""


@dataclass(frozen=True)
class Problem:
    """A task and its data, as loaded (on the CPU)."""

    name: str
    task: Task
    data: Data
    file: SourceFile | None = None

    @cached_property
    def constant_loss(self) -> float | None:
        """The training loss of the best prediction that is the same for all examples, where there is a formula."""
        return self.task.likelihood.constant_loss(self.data.train_targets)


@dataclass(frozen=True)
class DeviceData:
    """Examples and targets on the device that computes, floating-point ones in the dtype of the run."""

    train_inputs: Tensor | TensorSource
    train_targets: Tensor
    validation_inputs: Tensor | TensorSource
    validation_targets: Tensor

    @classmethod
    def of(cls, data: Data, device: torch.device, dtype: torch.dtype) -> DeviceData:
        def move(tensor: Tensor) -> Tensor:
            return tensor.to(device, dtype if tensor.is_floating_point() else None)

        def part(inputs: Tensor | TensorSource, targets: Tensor) -> tuple[Tensor | TensorSource, Tensor]:
            if not isinstance(inputs, Tensor):
                return inputs.to(device, dtype), move(targets)
            moved = move(inputs)
            # An auto-encoder's targets are its inputs: one tensor stays one.
            return moved, moved if targets is inputs else move(targets)

        train = part(data.train_inputs, data.train_targets)
        return cls(*train, *part(data.validation_inputs, data.validation_targets))


def load_problem(name: str, options: Mapping[str, Any], directory: Path) -> Problem:
    """Make the task called ``name`` and load its data from ``directory``.

    Raises:
        DataError: the data cannot be had, or there are none to train on.
        PluginError: the task's plugin fails.
    """
    task = registry.task(name, options)
    return Problem(name, task, load_data(name, task.data, directory), registry.task_plugin(name).file)


def load_data(name: str, load: Callable[[Path], Data], directory: Path) -> Data:
    """What ``load`` finds in ``directory`` for the task called ``name``; errors as for :func:`load_problem`."""
    try:
        data = load(directory)
    except (NgbenchError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise PluginError(f"task {name!r}: its data failed to load: {describe(error)}") from error
    for part in ("train", "validation"):
        inputs, targets = getattr(data, f"{part}_inputs"), getattr(data, f"{part}_targets")
        if len(inputs) != len(targets):
            raise PluginError(f"task {name!r}: {len(inputs)} {part} inputs but {len(targets)} targets")
    if not len(data.train_inputs):
        raise DataError(f"task {name!r}: {data.source.name} has no examples to train on")
    return data
