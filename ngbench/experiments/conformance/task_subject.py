"""A task plugin under test, its data loaded once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ngbench.adversarial_task import PLAYERS, AdversarialTask
from ngbench.experiments.conformance.outcome import CheckNotApplicable
from ngbench.experiments.conformance.trial import CPU
from ngbench.plugins import registry
from ngbench.plugins.plugin import Plugin
from ngbench.running.players import player_task
from ngbench.running.problem import load_data
from ngbench.running.randomness import isolated, seeded_state
from ngbench.task import Data, Task

__all__ = ["TaskSubject", "built"]

FEW = 8
"""Examples that are enough to look at shapes and losses."""


@dataclass(frozen=True)
class TaskSubject:
    """A task plugin under test.

    Attributes:
        name: the plugin's.
        given: options that replace its defaults, texts or values.
        directory: in which data sets live.
    """

    name: str
    given: Mapping[str, Any] = field(default_factory=dict)
    directory: Path = field(default_factory=Path)

    @cached_property
    def plugin(self) -> Plugin:
        """The plugin, imported."""
        return registry.task_plugin(self.name)

    def make(self) -> Task | AdversarialTask:
        """A new task."""
        return registry.any_task(self.name, self.given)

    @cached_property
    def task(self) -> Task | AdversarialTask:
        """The task."""
        return self.make()

    @cached_property
    def data(self) -> Data:
        """Its data."""
        return load_data(self.name, self.task.data, self.directory)

    @property
    def single(self) -> Task:
        """The task, if it trains one model.

        Raises:
            CheckNotApplicable: it trains two.
        """
        if isinstance(self.task, AdversarialTask):
            raise CheckNotApplicable("two players have no outputs and targets of their own")
        return self.task

    def few(self) -> tuple[Tensor, Tensor]:
        """The first training examples and their targets, on the CPU in float32."""
        index = torch.arange(min(FEW, len(self.data.train_inputs)))
        inputs: Any = self.data.train_inputs[index]
        inputs = inputs.to(CPU, torch.float32) if inputs.is_floating_point() else inputs
        if self.data.train_targets is self.data.train_inputs:
            return inputs, inputs
        targets = self.data.train_targets[index]
        return inputs, targets.to(torch.float32) if targets.is_floating_point() else targets

    def builders(self) -> dict[str, Callable[[], nn.Module]]:
        """What builds the model, or the model of each player."""
        if isinstance(self.task, AdversarialTask):
            return {"generator": self.task.generator, "critic": self.task.critic}
        return {"model": self.task.model}

    def views(self) -> dict[str, Task]:
        """What an optimizer plugin is given: the task, or that of each player."""
        if isinstance(self.task, AdversarialTask):
            return {player: player_task(self.task, player) for player in PLAYERS}
        return {"": self.task}


def built(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """A model with the initial weights that follow from ``seed``."""
    with isolated(CPU, seeded_state(seed, CPU)):
        return build()
