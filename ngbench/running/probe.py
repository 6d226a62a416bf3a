"""Operation counts of a step, taken on networks and optimizers that are thrown away."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from ngbench.measurement.operations import Operations, count_operations
from ngbench.measurement.recorder import StepKind, StepRecorder
from ngbench.running.config import RunConfig
from ngbench.running.randomness import isolated, seeded_state

__all__ = ["Counted", "count_steps"]

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


def count_steps(
    build: Callable[[StepRecorder[Operations]], Callable[[], object]], config: RunConfig, device: torch.device
) -> Counted:
    """The operations of one call of each phase, for each kind of step that the first few steps show.

    The random state of the process is as before.

    Args:
        build: makes optimizers that are thrown away, and returns what takes a step and tells the recorder of it.
        config: of the run; one of fewer steps than are counted has no other kinds.
        device: where it computes.
    """
    counts: dict[StepKind, dict[str, Operations]] = {}
    with isolated(device, seeded_state(config.seed, device)), count_operations() as counter:
        recorder = StepRecorder(counter.mark)
        step = build(recorder)
        for _ in range(min(STEPS, config.budget.steps or STEPS)):
            step()
            kind, phases = _step_operations(recorder)
            counts[kind] = phases
    return Counted(counts, counter.unknown_names)


def _step_operations(recorder: StepRecorder[Operations]) -> tuple[StepKind, dict[str, Operations]]:
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
