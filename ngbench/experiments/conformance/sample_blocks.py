"""Small Fisher blocks on which approximations are tried."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from ngbench.curvature.blocks.block import FisherBlock
from ngbench.curvature.curvatures.kronecker import KroneckerCurvature
from ngbench.curvature.kronecker.estimate import ApproximateBlock, Approximation, Estimate
from ngbench.curvature.layers import Call, Layer, find_layers
from ngbench.experiments.conformance.trial import CPU, OptimizerSubject
from ngbench.optimizers.natural_gradient import NaturalGradient
from ngbench.plugins import registry
from ngbench.plugins.plugin import Plugin
from ngbench.running.problem import Problem

__all__ = ["KINDS", "ApproximationSubject", "is_finite", "make_block", "relative_error"]

KINDS: Mapping[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(6, 4), (6,)),
    "linear without bias": (lambda: nn.Linear(5, 5, bias=False), (5,)),
    "convolution": (lambda: nn.Conv2d(2, 3, 3), (2, 5, 5)),
}
"""Layers, and the shape of one input of each."""


@dataclass(frozen=True)
class ApproximationSubject:
    """An approximation plugin under test.

    Attributes:
        name: the plugin's.
        given: options that replace its defaults, texts or values.
    """

    name: str
    given: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def plugin(self) -> Plugin:
        """The plugin, imported."""
        return registry.approximation_plugin(self.name)

    @cached_property
    def approximate(self) -> Approximation:
        """The function, with its options."""
        return registry.approximation(self.name, self.given)

    def __call__(self, block: FisherBlock, previous: ApproximateBlock | None = None) -> Estimate:
        """The estimate of a block."""
        return self.approximate(block, previous)

    @cached_property
    def optimizer(self) -> OptimizerSubject:
        """Natural gradient with this approximation."""
        return _WithApproximation(self.name, {}, self.approximate)


@dataclass(frozen=True)
class _WithApproximation(OptimizerSubject):
    """The optimizer ``kfac`` with another approximation, its curvature estimated often enough for a few steps."""

    approximate: Approximation | None = None

    @cached_property
    def plugin(self) -> Plugin:
        return registry.optimizer("kfac")

    @cached_property
    def hyperparameters(self) -> dict[str, Any]:
        return self.plugin.resolve({})

    def build(
        self, problem: Problem, model: nn.Module, changes: Mapping[str, Any] | None = None
    ) -> torch.optim.Optimizer:
        assert self.approximate is not None
        values = {**self.hyperparameters, **(changes or {})}
        approximate = self.approximate

        def curvature(layers: Mapping[nn.Module, Layer]) -> KroneckerCurvature:
            return KroneckerCurvature(layers, approximate, damping=1e-2)

        return NaturalGradient(
            model,
            problem.task.likelihood,
            curvature,
            lr=values["lr"],
            kl_clip=values["kl_clip"],
            curvature_interval=5,
            inverse_interval=5,
        )


def make_block(
    kind: str,
    *,
    seed: int = 0,
    examples: int = 24,
    dtype: torch.dtype = torch.float64,
    device: torch.device = CPU,
    change: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] = lambda inputs, derivatives: (inputs, derivatives),
) -> FisherBlock:
    """The block of a layer on a batch whose inputs and derivatives depend on each other.

    Args:
        kind: one of :data:`KINDS`.
        seed: of the batch.
        examples: m.
        dtype: of the statistics.
        device: where.
        change: is given inputs and derivatives, and returns those to be used.
    """
    make, shape = KINDS[kind]
    generator = torch.Generator().manual_seed(seed)
    module = make()
    (layer,) = find_layers(module).values()
    inputs = torch.randn(examples, *shape, generator=generator).clamp(min=-0.3)
    noise = torch.randn(module(inputs).shape, generator=generator)
    derivatives = noise * (0.2 + inputs.flatten(1).mean(1).abs()).view(-1, *[1] * (noise.ndim - 1))
    inputs, derivatives = change(inputs, derivatives)
    return layer.block([Call(inputs.to(device, dtype), derivatives.to(device, dtype))])


def relative_error(block: FisherBlock, value: ApproximateBlock) -> float:
    """``‖F − F̂‖_F / ‖F‖_F``, from the matrices themselves."""
    dense = block.dense()
    return float((dense - value.dense()).norm() / dense.norm())


def is_finite(value: ApproximateBlock) -> bool:
    """Whether all numbers of an approximation are finite."""
    return all(bool(tensor.isfinite().all()) for tensor in value.tensors())
