"""Operation counts of a step, taken on a model and an optimizer that are thrown away."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ngbench.measurement.operations import Operations, count_operations
from ngbench.measurement.recorder import StepKind, StepRecorder
from ngbench.running.problem import DeviceData, Problem, initial_model, initial_optimizer
from ngbench.running.randomness import batches, epoch_generator, epoch_order, isolated, seeded_state
from ngbench.running.step import TrainingStep

__all__ = ["STEPS", "Counted", "probe_operations", "step_operations"]

STEPS = 3
"""The first step refreshes whatever there is to refresh and sets up the state, the last is an ordinary one."""


@dataclass(frozen=True)
class Counted:
    """The operations of a few steps.

    Attributes:
        operations: of one call of each phase, for each kind of step.
        unknown_operators: those that were called and have no formula, by name.
    """

    operations: dict[StepKind, dict[str, Operations]]
    unknown_operators: list[str]


def probe_operations(
    problem: Problem,
    data: DeviceData,
    *,
    optimizer: str,
    hyperparameters: Mapping[str, Any],
    seed: int,
    batch_size: int,
    device: torch.device,
    dtype: torch.dtype,
    steps: int = STEPS,
) -> Counted:
    """The operations of one call of each phase, for each kind of step that the first few steps show.

    ``steps`` is how many to take: a run of fewer has no other kinds. The random state of the process is as before, and
    the model that the run will train is not touched.
    """
    counts: dict[StepKind, dict[str, Operations]] = {}
    model = initial_model(problem, seed, device, dtype)
    with isolated(device, seeded_state(seed, device)), count_operations() as counter:
        recorder = StepRecorder(counter.mark)
        built = initial_optimizer(problem, model, optimizer, hyperparameters)
        step = TrainingStep(problem, data, model.train(), built, recorder)
        order = epoch_order(seed, 1, len(data.train_inputs)).to(device)
        for _, index in zip(range(steps), _endless(order, batch_size), strict=False):
            step(index, epoch_generator(seed, 1, stream=1))
            kind, phases = step_operations(recorder)
            counts[kind] = phases
    return Counted(counts, counter.unknown_names)


def _endless(order: torch.Tensor, batch_size: int) -> Any:
    while True:
        yield from (index for index in batches(order, batch_size) if len(index) == batch_size)


def step_operations(recorder: StepRecorder[Operations]) -> tuple[StepKind, dict[str, Operations]]:
    """The kind of the one step that was recorded, and the operations of one call of each of its phases."""
    flops = recorder.collect(lambda start, end: end.flops - start.flops)
    moved = recorder.collect(lambda start, end: end.bytes - start.bytes)
    unknown = recorder.collect(lambda start, end: end.unknown - start.unknown)
    recorder.clear()
    (kind,) = flops.kinds
    phases = {
        name: Operations(
            round(total.amount / max(total.calls, 1)),
            round(moved.phases[kind][name].amount / max(total.calls, 1)),
            math.ceil(unknown.phases[kind][name].amount / max(total.calls, 1)),
        )
        for name, total in flops.phases[kind].items()
    }
    return kind, phases
