"""Training one model with one optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from typing import Any

import torch
from torch import Tensor

from ngbench.measurement.memory import parameter_bytes
from ngbench.measurement.recorder import StepRecorder
from ngbench.plugins.protocol import measured
from ngbench.records.record import History, LayerRecord, RunRecord
from ngbench.running.checkpoint import Checkpoint
from ngbench.running.config import RunConfig
from ngbench.running.initial import initial_model, initial_optimizer
from ngbench.running.learning_rates import LearningRates
from ngbench.running.probe import Counted, count_steps
from ngbench.running.problem import DeviceData, Problem
from ngbench.running.randomness import batches, epoch_generator, epoch_order
from ngbench.running.step import TrainingStep
from ngbench.running.step_comparison import StepComparer
from ngbench.running.training import Row, Training
from ngbench.running.validation import BatchMeans, evaluate
from ngbench.running.weight_average import weight_average

__all__ = ["SupervisedTraining"]

LARGEST = torch.finfo(torch.float32).max


class SupervisedTraining(Training[RunConfig, Problem]):
    """One model, whose mean loss over a mini-batch each step lowers."""

    _parts: Iterator[Tensor]
    _generator: torch.Generator

    def load_data(self) -> None:
        self._data = DeviceData.of(self.problem.data, self.device, self.dtype)

    def probe(self) -> Counted:
        config = self.config
        model = initial_model(self.problem, config.seed, self.device, self.dtype)

        def build(recorder: StepRecorder[Any]) -> Callable[[], object]:
            optimizer = initial_optimizer(self.problem.task, model, config.optimizer, config.hyperparameters)
            step = TrainingStep(self.problem, self._data, model.train(), optimizer, recorder)
            order = epoch_order(config.seed, 1, len(self._data.train_inputs)).to(self.device)
            whole = cycle(part for part in batches(order, config.batch_size) if len(part) == config.batch_size)
            return lambda: step(next(whole), epoch_generator(config.seed, 1, stream=1))

        return count_steps(build, config, self.device)

    def build_networks(self) -> int:
        self.model = initial_model(self.problem, self.config.seed, self.device, self.dtype)
        return parameter_bytes(self.model)

    def build_optimizers(self, recorder: StepRecorder[Any]) -> None:
        config, metrics = self.config, self.problem.task.metrics
        average = weight_average(config, config.optimizer, config.hyperparameters, self.model)
        self.averages = {} if average is None else {"": average}
        self._judged = self.model if average is None else average.module
        optimizer = initial_optimizer(self.problem.task, self.model, config.optimizer, config.hyperparameters)
        self.optimizers, self.told = {"": optimizer}, {"": measured(optimizer)}
        self.rates = [LearningRates(config, config.optimizer, config.hyperparameters, optimizer)]
        self._step = TrainingStep(
            self.problem, self._data, self.model, optimizer, recorder, average=average, keep_outputs=bool(metrics)
        )
        self._comparer: StepComparer | None = None
        if config.diagnostics_interval is not None:
            self.told[""].diagnose()
            damping, seed = config.diagnostics_damping, config.seed
            self._comparer = StepComparer(self.problem, self.model, optimizer, damping=damping, seed=seed)
        self._compared: dict[str, float] = {}

    def begin_epoch(self, epoch: int, limit: int | None) -> int:
        config, metrics = self.config, self.problem.task.metrics
        order = epoch_order(config.seed, epoch, len(self._data.train_inputs))
        if limit is not None:
            order = order[: limit * config.batch_size]
        parts = batches(order.to(self.device), config.batch_size)
        self._epoch, self._parts, self._lengths = epoch, iter(parts), [len(part) for part in parts]
        self._generator = epoch_generator(config.seed, epoch, stream=1)
        self._means = BatchMeans(list(metrics.values()), self.device) if metrics else None
        self.model.train()
        return len(parts)

    def step(self, taken: int) -> Sequence[Tensor]:
        interval, comparer = self.config.diagnostics_interval, self._comparer
        compares = interval is not None and taken % interval == 0
        if comparer is not None and compares:
            comparer.before()
        loss = self._step(next(self._parts), self._generator)
        batch, outputs = self._step.batch, self._step.outputs
        if self._means is not None and batch is not None and outputs is not None:
            self._means.add(outputs, batch[1])
        self._compared = comparer.after(*batch) if comparer is not None and compares and batch is not None else {}
        return (loss,)

    def diagnostics(self) -> dict[str, float | None]:
        return {**super().diagnostics(), **self._compared}

    def why_diverged(self, rows: Sequence[Row]) -> str | None:
        # A comparison with NaN is false.
        if all(abs(loss) <= LARGEST for (loss,) in rows):
            return None
        return f"the training loss became {rows[-1][0]} in epoch {self._epoch}"

    def layers(self) -> list[LayerRecord]:
        return self.told[""].layers()

    def end_epoch(self, history: History, rows: Sequence[Row], *, sound: bool) -> str | None:
        lengths = self._lengths[: len(rows)]
        total = sum(loss * length for (loss,), length in zip(rows, lengths, strict=True))
        history.train_loss.append(total / sum(lengths) if sound else None)
        if self._means is not None:
            for name, value in zip(self.problem.task.metrics, self._means.values(), strict=True):
                history.training_metrics.setdefault(name, []).append(_finite(value) if sound else None)
        return None

    def judge(self, record: RunRecord) -> None:
        """The loss and the metrics on the validation data."""
        validation: float | None = None
        metrics: dict[str, float | None] = dict.fromkeys(self.problem.task.metrics)
        if record.status != "diverged":
            with self.told[""].judged():
                validation, metrics = evaluate(self.problem.task, self._judged, self._data, self.config.batch_size)
        record.history.validation_loss.append(_finite(validation))
        for name, value in metrics.items():
            record.history.metrics.setdefault(name, []).append(_finite(value))
        if validation is not None and _finite(validation) is None:
            record.status = "diverged"
            record.message = f"the validation loss became {validation} after epoch {self._epoch}"

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return self.model.state_dict(), self.optimizers[""].state_dict()

    def load(self, checkpoint: Checkpoint) -> None:
        self.model.load_state_dict(checkpoint.model)
        self.optimizers[""].load_state_dict(checkpoint.optimizer)
        history = checkpoint.record.history
        for name in self.problem.task.metrics:
            # A record from before metrics were measured on training data.
            history.training_metrics.setdefault(name, [None] * len(history.epoch))


def _finite(value: float | None) -> float | None:
    return value if value is not None and abs(value) <= LARGEST else None
