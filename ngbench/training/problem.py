"""A task with its data loaded, and the model and optimizer that a run starts from."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ngbench import plugins
from ngbench.errors import DataError, NgbenchError, ParameterError, PluginError
from ngbench.task import Data, Task
from ngbench.training.randomness import isolated, seeded_state

__all__ = ["DeviceData", "Problem", "initial_model", "initial_optimizer", "load_problem"]


@dataclass(frozen=True)
class Problem:
    """A task and its data, as loaded (on the CPU)."""

    name: str
    task: Task
    data: Data


@dataclass(frozen=True)
class DeviceData:
    """Examples and targets on the device that computes, floating-point ones in the dtype of the run."""

    train_inputs: Tensor
    train_targets: Tensor
    validation_inputs: Tensor
    validation_targets: Tensor

    @classmethod
    def of(cls, data: Data, device: torch.device, dtype: torch.dtype) -> DeviceData:
        moved: dict[int, Tensor] = {}

        def move(tensor: Tensor) -> Tensor:
            # An auto-encoder's targets are its inputs: one tensor stays one.
            if id(tensor) not in moved:
                moved[id(tensor)] = tensor.to(device, dtype if tensor.is_floating_point() else None)
            return moved[id(tensor)]

        tensors = (data.train_inputs, data.train_targets, data.validation_inputs, data.validation_targets)
        return cls(*map(move, tensors))


def load_problem(name: str, options: Mapping[str, Any], directory: Path) -> Problem:
    """Make the task called ``name`` and load its data from ``directory``.

    Raises:
        DataError: the data cannot be had, or there are none to train on.
        PluginError: the task's plugin fails.
    """
    task = plugins.task(name, options)
    try:
        data = task.data(directory)
    except NgbenchError:
        raise
    except Exception as error:
        raise PluginError(f"task {name!r}: its data failed to load: {_describe(error)}") from error
    for part in ("train", "validation"):
        inputs, targets = getattr(data, f"{part}_inputs"), getattr(data, f"{part}_targets")
        if len(inputs) != len(targets):
            raise PluginError(f"task {name!r}: {len(inputs)} {part} inputs but {len(targets)} targets")
    if not len(data.train_inputs):
        raise DataError(f"task {name!r}: {data.source.name} has no examples to train on")
    return Problem(name, task, data)


def initial_model(problem: Problem, seed: int, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """The model with the initial weights that follow from ``seed``, on any device and for any optimizer.

    Raises:
        PluginError: the task cannot build its model.
    """
    cpu = torch.device("cpu")
    with isolated(cpu, seeded_state(seed, cpu)):
        try:
            model = problem.task.model()
        except NgbenchError:
            raise
        except Exception as error:
            raise PluginError(f"task {problem.name!r}: its model failed: {_describe(error)}") from error
    if not isinstance(model, nn.Module):
        raise PluginError(f"task {problem.name!r}: its model is {type(model).__name__}, not a torch.nn.Module")
    return model.to(device, dtype)


def initial_optimizer(
    problem: Problem, model: nn.Module, name: str, hyperparameters: Mapping[str, Any]
) -> torch.optim.Optimizer:
    """The optimizer called ``name`` for ``model``.

    Raises:
        ParameterError: it refuses the hyper-parameters, or needs a closure at each step.
    """
    plugin = plugins.optimizer(name)
    optimizer = plugins.build_optimizer(plugin, model, problem.task, hyperparameters)
    if needs_closure(optimizer):
        raise ParameterError(f"optimizer {name} needs a closure at each step, which the training loop has not")
    return optimizer


def needs_closure(optimizer: torch.optim.Optimizer) -> bool:
    """Whether ``step`` cannot be called without arguments."""
    parameters = inspect.signature(type(optimizer).step).parameters.values()
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    required = [p for p in parameters if p.default is p.empty and p.kind not in kinds]
    return len(required) > 1


def _describe(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
