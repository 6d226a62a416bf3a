"""What a run trains, and what a step of it is: all in which training one model differs from training two players."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from ngbench.measurement.recorder import StepRecorder
from ngbench.plugins.protocol import MeasuredOptimizer
from ngbench.records.record import History, LayerRecord, RunRecord, Status
from ngbench.running.checkpoint import Checkpoint
from ngbench.running.config import RunConfig
from ngbench.running.devices import resolve_dtype
from ngbench.running.learning_rates import LearningRates
from ngbench.running.probe import Counted
from ngbench.running.stopping import status_after_epoch

__all__ = ["Diverged", "Row", "Training"]

Config = TypeVar("Config", bound=RunConfig)
ProblemType = TypeVar("ProblemType")

Row = list[float]
"""The losses of one step, the one that is shown first."""


class Diverged(Exception):
    """A step met numbers that are not finite; in a sentence for the record."""


class Training(ABC, Generic[Config, ProblemType]):
    """What :class:`~ngbench.running.run.Run` runs; its methods are in the order of their calls.

    Args:
        config: what to do.
        problem: the task and its data, of the configuration.

    Attributes:
        optimizers: by the player's name, or under ``""`` if there is but one.
        told: what each of them tells.
        rates: the learning rates of each.
        averages: of the weights, by the same names, where there are any.
    """

    optimizers: dict[str, torch.optim.Optimizer]
    told: dict[str, MeasuredOptimizer]
    rates: Sequence[LearningRates]
    averages: dict[str, AveragedModel]

    def __init__(self, config: Config, problem: ProblemType) -> None:
        self.config = config
        self.problem = problem
        self.device = torch.device(config.device)
        self.dtype = resolve_dtype(config.dtype, self.device)

    @abstractmethod
    def load_data(self) -> None:
        """Bring the data to the device."""

    @abstractmethod
    def probe(self) -> Counted:
        """The operations of a step, counted on networks and optimizers that are thrown away."""

    @abstractmethod
    def build_networks(self) -> int:
        """Make the networks with the weights that follow from the seed; returns the bytes of their parameters."""

    @abstractmethod
    def build_optimizers(self, recorder: StepRecorder[Any]) -> None:
        """Make the optimizers, and the step that tells ``recorder`` of its phases."""

    @abstractmethod
    def begin_epoch(self, epoch: int, limit: int | None) -> int:
        """Make ready for the epoch, counted from 1; returns how many steps it has, at most ``limit``."""

    @abstractmethod
    def step(self, taken: int) -> Sequence[Tensor]:
        """Take the next step of the epoch, after ``taken`` steps of the run.

        Returns:
            Its losses, scalars on the device without gradient: the tensors of a :data:`Row`.

        Raises:
            Diverged: it was not completed; so ends the run.
        """

    def diagnostics(self) -> dict[str, float | None]:
        """What the optimizers say of the last step, by name."""
        numbers: dict[str, float | None] = {}
        for name, told in self.told.items():
            numbers |= told.diagnostics(f"{name}/" if name else "")
        return numbers

    @abstractmethod
    def why_diverged(self, rows: Sequence[Row]) -> str | None:
        """Why the steps of these losses have diverged, in a sentence; ``None`` where they have not."""

    def layers(self) -> list[LayerRecord]:
        """The layers with a curvature, as a record holds them."""
        return []

    @abstractmethod
    def end_epoch(self, history: History, rows: Sequence[Row], *, sound: bool) -> str | None:
        """Append the losses of the epoch to ``history``; numbers of an epoch that is not ``sound`` are ``None``.

        Returns:
            Why the epoch as a whole has diverged, if its steps have not.
        """

    def status(self, history: History) -> Status:
        """What the budget says after an epoch."""
        return status_after_epoch(self.config.budget, history, history.train_loss)

    @abstractmethod
    def judge(self, record: RunRecord) -> None:
        """Append what the networks are worth after the epoch; it may end the run by the record's status."""

    @abstractmethod
    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The states of networks and optimizers, for a checkpoint."""

    @abstractmethod
    def load(self, checkpoint: Checkpoint) -> None:
        """Take the states of a checkpoint."""
