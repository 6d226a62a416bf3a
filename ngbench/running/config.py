"""What a run is asked to do, fully resolved: the same configuration gives the same run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ngbench.schedules import CONSTANT, NO_WARMUP

__all__ = ["Budget", "RunConfig"]


@dataclass(frozen=True)
class Budget:
    """When a run ends: at whichever of its limits comes first.

    Attributes:
        epochs: passes over the training data.
        steps: updates.
        time_limit: seconds of training time; a run that this ends has the status ``timeout``.
        early_stopping: ends the run after this many epochs without a new lowest training loss, or score of a GAN.
    """

    epochs: int | None = None
    steps: int | None = None
    time_limit: float | None = None
    early_stopping: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """The limits that are set."""
        limits = {name: value for name, value in vars(self).items() if value is not None}
        return {"time_limit_seconds" if name == "time_limit" else name: value for name, value in limits.items()}


@dataclass(frozen=True)
class RunConfig:
    """One training run: picklable, with every default filled in.

    Attributes:
        task: the task's name.
        task_options: the task's own options that were set.
        label: the arm.
        optimizer: plugin or dotted class name.
        hyperparameters: all of the optimizer's, defaults included.
        seed: of the initial weights, the data order and the random numbers of the run.
        device: as ``torch.device`` reads it, resolved (never ``auto``).
        dtype: name of a floating-point type of torch.
        batch_size: examples in a step; the last one of an epoch may be smaller.
        budget: when the run ends.
        threads: of torch's operations on the CPU.
        data_dir: where data sets live.
        conditions: further options that were set and that what the run computes depends on.
        target_loss: a training loss to reach; it does not end the run.
        turn_steps: the most steps that the run takes before another one's turn; ``None`` for whole epochs. It has no
            influence on what the run computes.
        diagnostics_interval: compare a step with the exact natural-gradient step at the first and at every so many;
            ``None`` never does.
        diagnostics_damping: λ of that exact step.
        schedule: of the learning rates, unless an optimizer's hyper-parameters say another.
        warmup: of the learning rates, likewise.
        average: decay of the average of weights, likewise; ``None`` keeps none.
        epoch_steps: steps of a whole epoch.
        count_operations: whether the operations of its steps are counted, on some steps beside the run.
        checkpoint: the file that is written after each epoch; ``None`` writes nothing.
        resume: whether to go on from that checkpoint.
    """

    task: str
    label: str
    optimizer: str
    seed: int
    batch_size: int
    budget: Budget
    data_dir: Path
    task_options: dict[str, Any] = field(default_factory=dict)
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    device: str = "cpu"
    dtype: str = "float32"
    threads: int = 1
    conditions: dict[str, Any] = field(default_factory=dict)
    target_loss: float | None = None
    turn_steps: int | None = None
    diagnostics_interval: int | None = None
    diagnostics_damping: float = 1e-3
    schedule: str = CONSTANT
    warmup: str = NO_WARMUP
    average: float | None = None
    epoch_steps: int = 1
    count_operations: bool = True
    checkpoint: Path | None = None
    resume: bool = False

    @property
    def last_step(self) -> int | None:
        """How many steps the run has, unless something ends it before; ``None`` where only something does."""
        epochs, steps = self.budget.epochs, self.budget.steps
        ends = [steps, None if epochs is None else epochs * self.epoch_steps]
        return min((end for end in ends if end is not None), default=None)
