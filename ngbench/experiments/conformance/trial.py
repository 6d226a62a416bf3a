"""A model that an optimizer trains for a few steps, apart from the random numbers of the process."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from ngbench.experiments.conformance.specimens import classification
from ngbench.plugins import registry
from ngbench.plugins.plugin import Plugin
from ngbench.plugins.protocol import measured
from ngbench.running.initial import initial_model
from ngbench.running.problem import Problem
from ngbench.running.randomness import isolated, seeded_state

__all__ = ["CPU", "OptimizerSubject", "Trial", "differ", "distance"]

CPU = torch.device("cpu")


@dataclass(frozen=True)
class OptimizerSubject:
    """An optimizer plugin under test.

    Attributes:
        name: the plugin's, or the dotted name of a class.
        given: hyper-parameters that replace its defaults, texts or values.
    """

    name: str
    given: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def plugin(self) -> Plugin:
        """The plugin, imported."""
        return registry.optimizer(self.name)

    @cached_property
    def hyperparameters(self) -> dict[str, Any]:
        """All of them, defaults included."""
        return self.plugin.resolve(self.given)

    def build(
        self, problem: Problem, model: nn.Module, changes: Mapping[str, Any] | None = None
    ) -> torch.optim.Optimizer:
        """The optimizer on the model, with some hyper-parameters changed."""
        values = {**self.hyperparameters, **(changes or {})}
        optimizer = registry.build_optimizer(self.plugin, model, problem.task, values)
        told = measured(optimizer)
        if told.needs_closure or told.needs_graph:
            raise TypeError("step() evaluates or differentiates the loss again, which these checks do not let it")
        return optimizer


class Trial:
    """A model and its optimizer.

    Args:
        subject: the optimizer.
        problem: what it trains.
        seed: of the initial weights.
        optimizer_seed: of the random numbers that the optimizer draws; that of the weights by default.
        device: where.
        dtype: of the weights and the data.
        alter: changes the model before the optimizer is built.
        changes: of hyper-parameters.
    """

    def __init__(
        self,
        subject: OptimizerSubject,
        problem: Problem | None = None,
        *,
        seed: int = 0,
        optimizer_seed: int | None = None,
        device: torch.device = CPU,
        dtype: torch.dtype = torch.float32,
        alter: Callable[[nn.Module], None] = lambda model: None,
        changes: Mapping[str, Any] | None = None,
    ) -> None:
        self.problem = problem if problem is not None else classification()
        self.device, self.dtype = device, dtype
        self.model = initial_model(self.problem, seed, device, dtype).train()
        alter(self.model)
        seed = seed if optimizer_seed is None else optimizer_seed
        with isolated(device, seeded_state(seed, device)) as after:
            self.optimizer = subject.build(self.problem, self.model, changes)
        self.random = after
        self.taken = 0

    def batch(self, index: int) -> tuple[Tensor, Tensor]:
        """The mini-batch number ``index``, counted round and round: copies, whatever a plugin does to them."""
        data, size = self.problem.data, self.problem.task.batch_size
        start = index * size % len(data.train_inputs)
        rows = slice(start, start + size)
        inputs: Any = data.train_inputs[rows]
        inputs = inputs.to(self.device, self.dtype, copy=True)
        if data.train_targets is data.train_inputs:
            return inputs, inputs
        targets = data.train_targets[rows]
        return inputs, targets.to(self.device, self.dtype if targets.is_floating_point() else None, copy=True)

    def backward(self, index: int, scale: float = 1.0) -> float:
        """Add the gradient of a mini-batch, and return its loss."""
        return self.backward_on(*self.batch(index), scale)

    def backward_on(self, inputs: Tensor, targets: Tensor, scale: float = 1.0) -> float:
        """Add the gradient of these examples, and return their loss."""
        with isolated(self.device, self.random) as after:
            likelihood = self.problem.task.likelihood
            with likelihood.given(targets):
                outputs = self.model(inputs)
            loss = likelihood.loss(outputs, targets)
            (loss * scale).backward()  # type: ignore[no-untyped-call]
        self.random = after
        return float(loss.detach())

    def apply(self) -> None:
        """``step()`` of the optimizer."""
        with isolated(self.device, self.random) as after:
            self.optimizer.step()
        self.random = after
        self.taken += 1

    def step(self) -> float:
        """One step of the plain loop, on the next mini-batch; its loss."""
        self.optimizer.zero_grad()
        loss = self.backward(self.taken)
        self.apply()
        return loss

    def run(self, steps: int) -> list[float]:
        """So many steps; their losses."""
        return [self.step() for _ in range(steps)]

    def parameters(self) -> dict[str, Tensor]:
        """A copy of the model's parameters, by name."""
        return {name: parameter.detach().clone() for name, parameter in self.model.named_parameters()}

    def resume(self, other: Trial) -> None:
        """Continue where ``other`` is, from copies of the state of its model and its optimizer."""
        self.model.load_state_dict(other.model.state_dict())
        self.optimizer.load_state_dict(copy.deepcopy(other.optimizer.state_dict()))
        self.random, self.taken = other.random, other.taken


def differ(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> list[str]:
    """The names of the tensors that are not the same bit for bit."""
    return [name for name, tensor in before.items() if not torch.equal(tensor, after[name])]


def distance(first: Mapping[str, Tensor], second: Mapping[str, Tensor], start: Mapping[str, Tensor]) -> float:
    """How far two ends are apart, relative to how far the first is from ``start``."""
    apart = sum(float((first[name] - second[name]).double().square().sum()) for name in first)
    moved = sum(float((first[name] - start[name]).double().square().sum()) for name in first)
    return float((apart / moved) ** 0.5) if moved else float(apart > 0)
