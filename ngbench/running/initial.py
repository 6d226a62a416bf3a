"""The networks and optimizers that a run starts from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from ngbench.errors import NgbenchError, PluginError, describe
from ngbench.plugins import registry
from ngbench.running.problem import Problem
from ngbench.running.randomness import isolated, seeded_state
from ngbench.task import Task

__all__ = ["initial_model", "initial_networks", "initial_optimizer"]


def initial_model(problem: Problem, seed: int, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """The model with the initial weights that follow from ``seed``, on any device and for any optimizer.

    Raises:
        PluginError: the task cannot build its model.
    """
    (model,) = initial_networks(problem.name, {"model": problem.task.model}, seed)
    return model.to(device, dtype)


def initial_networks(name: str, make: Mapping[str, Callable[[], nn.Module]], seed: int) -> list[nn.Module]:
    """The networks of the task called ``name``, each by its own function, one after the other from one seed.

    Raises:
        PluginError: the task cannot build one of them.
    """
    cpu = torch.device("cpu")
    with isolated(cpu, seeded_state(seed, cpu)):
        return [_built(name, what, build) for what, build in make.items()]


def _built(name: str, what: str, build: Callable[[], nn.Module]) -> nn.Module:
    try:
        network = build()
    except (NgbenchError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise PluginError(f"task {name!r}: its {what} failed: {describe(error)}") from error
    if not isinstance(network, nn.Module):
        raise PluginError(f"task {name!r}: its {what} is {type(network).__name__}, not a torch.nn.Module")
    return network


def initial_optimizer(
    task: Task, model: nn.Module, name: str, hyperparameters: Mapping[str, Any]
) -> torch.optim.Optimizer:
    """The optimizer called ``name`` for the ``model`` of a task.

    Raises:
        ParameterError: it refuses the hyper-parameters.
    """
    return registry.build_optimizer(registry.optimizer(name), model, task, hyperparameters)
