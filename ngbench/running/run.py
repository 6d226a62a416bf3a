"""One training run, turn by turn: an epoch, or a block of steps of one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

from ngbench.measurement.clock import Clock
from ngbench.measurement.memory import MemoryMeter, parameter_bytes, state_bytes
from ngbench.plugins.protocol import measured
from ngbench.records.record import RunRecord
from ngbench.running.checkpoint import Checkpoint, save_checkpoint
from ngbench.running.config import RunConfig
from ngbench.running.evaluation import BatchMeans, evaluate
from ngbench.running.measured_run import MeasuredRun
from ngbench.running.probe import STEPS, probe_operations
from ngbench.running.problem import DeviceData, Problem, initial_model, initial_optimizer
from ngbench.running.randomness import batches, epoch_generator, epoch_order, isolated, seeded_state
from ngbench.running.step import TrainingStep
from ngbench.running.step_comparison import StepComparer
from ngbench.running.stopping import status_after_epoch, steps_left
from ngbench.running.turns import turn_ends

__all__ = ["OnStep", "Run"]

OnStep = Callable[[int, int, float], None]
"""Told between steps, a few times a second: steps taken in this epoch, steps in an epoch, the latest loss."""

LARGEST = torch.finfo(torch.float32).max
SYNCHRONISE_EVERY = 50
"""Steps between two looks at the losses on a device that runs ahead of the host."""
REPORT_EVERY = 0.25
_OVER = object()


@dataclass
class _Steps:
    """What the steps of one epoch gave."""

    losses: list[float] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    metrics: BatchMeans | None = None
    seconds: float = 0.0
    diverged: bool = False
    out_of_time: bool = False

    def mean_loss(self) -> float:
        weighted = sum(loss * length for loss, length in zip(self.losses, self.lengths, strict=True))
        return weighted / sum(self.lengths)


class Run(MeasuredRun[RunConfig, Problem]):
    """A run of one optimizer with one seed: :meth:`prepare` once, then :meth:`turn` or :meth:`epoch` while it is
    ``running``.

    The random numbers of the process are the same after each call as before it, so several runs can take
    turns in one process and each still draws what it would draw alone.

    The arguments are those of :class:`~ngbench.running.measured_run.MeasuredRun`.
    """

    def __init__(
        self,
        config: RunConfig,
        problem: Problem,
        record: RunRecord,
        *,
        clock: Clock | None = None,
        meter: MemoryMeter | None = None,
    ) -> None:
        super().__init__(config, problem, record, clock=clock, meter=meter)
        self._steps = _Steps()
        self._training: Iterator[None] | None = None
        self._on_step: OnStep | None = None
        self._turn_started = 0.0

    def prepare(self) -> RunRecord:
        """Build data, model and optimizer, count a step's operations, and load the checkpoint if there is one.

        Raises:
            RecordError: the checkpoint cannot be read or does not fit.
        """
        torch.set_num_threads(self._config.threads)
        self._data = DeviceData.of(self._problem.data, self._device, self._dtype)
        if self._config.count_operations and not self._config.resume:
            self._count_operations()
        self._model = initial_model(self._problem, self._config.seed, self._device, self._dtype)
        self._start_memory(parameter_bytes(self._model))
        with isolated(self._device, seeded_state(self._config.seed, self._device)) as after:
            self._optimizer = initial_optimizer(
                self._problem, self._model, self._config.optimizer, self._config.hyperparameters
            )
        self._random = after
        self._measured = measured(self._optimizer)
        self._step = TrainingStep(
            self._problem,
            self._data,
            self._model,
            self._optimizer,
            self._recorder,
            keep_outputs=bool(self._problem.task.metrics),
        )
        self._comparer = self._make_comparer()
        if self._config.resume:
            self._load()
        return self._record.model_copy(deep=True)

    def epoch(self, on_step: OnStep | None = None) -> RunRecord:
        """All turns of one epoch; returns what :meth:`turn` does at its end."""
        while (record := self.turn(on_step)) is None:
            pass
        return record

    def turn(self, on_step: OnStep | None = None) -> RunRecord | None:
        """Train for one turn; at the end of an epoch, or of what the budget leaves of one, evaluate and write the
        checkpoint.

        Returns:
            The record so far, whose status says whether there is more to do; ``None`` within an epoch.
        """
        self._on_step = on_step
        with isolated(self._device, self._random) as after:
            self._meter.reset()
            if self._training is None:
                self._steps = _Steps(metrics=self._means())
                self._training = self._train(self._steps)
            self._turn_started = time.perf_counter()
            over = next(self._training, _OVER) is _OVER
            self._steps.seconds += self._collect()
            validation: float | None = None
            metrics: dict[str, float | None] = dict.fromkeys(self._problem.task.metrics)
            if over and not self._steps.diverged:
                validation, metrics = evaluate(self._problem.task, self._model, self._data, self._config.batch_size)
        self._random = after
        if not over:
            return None
        self._training = None
        self._append(self._steps, validation, metrics)
        self._record.status = self._status(self._steps, validation)
        if self._config.checkpoint is not None:
            self._save()
        return self._record.model_copy(deep=True)

    def _means(self) -> BatchMeans | None:
        metrics = self._problem.task.metrics
        return BatchMeans(list(metrics.values()), self._device) if metrics else None

    def _make_comparer(self) -> StepComparer | None:
        if self._config.diagnostics_interval is None:
            return None
        self._measured.diagnose()
        return StepComparer(
            self._problem,
            self._model,
            self._optimizer,
            damping=self._config.diagnostics_damping,
            seed=self._config.seed,
        )

    def _count_operations(self) -> None:
        config = self._config
        self._set_operations(
            lambda: probe_operations(
                self._problem,
                self._data,
                optimizer=config.optimizer,
                hyperparameters=config.hyperparameters,
                seed=config.seed,
                batch_size=config.batch_size,
                device=self._device,
                dtype=self._dtype,
                steps=min(STEPS, config.budget.steps or STEPS),
            )
        )

    def _train(self, steps: _Steps) -> Iterator[None]:
        """Take the steps of one epoch, and pause after each turn but its last."""
        config, epoch = self._config, len(self._record.history.epoch) + 1
        order = epoch_order(config.seed, epoch, len(self._data.train_inputs))
        left = steps_left(config.budget, self._record.history)
        if left is not None:
            order = order[: left * config.batch_size]
        parts = batches(order.to(self._device), config.batch_size)
        pauses = frozenset(turn_ends(len(parts), config.turn_steps)[:-1])
        generator = epoch_generator(config.seed, epoch, stream=1)
        interval = 1 if self._device.type == "cpu" else SYNCHRONISE_EVERY
        before = self._record.history.elapsed_seconds[-1] if self._record.history.elapsed_seconds else 0.0
        limit = config.budget.time_limit
        reported = self._turn_started
        spent = 0.0
        pending: list[torch.Tensor] = []
        self._model.train()
        for count, index in enumerate(parts, 1):
            compare = self._compares_next_step()
            if compare and self._comparer is not None:
                self._comparer.before()
            pending.append(self._step(index, generator))
            steps.lengths.append(len(index))
            if steps.metrics is not None and self._step.batch is not None and self._step.outputs is not None:
                steps.metrics.add(self._step.outputs, self._step.batch[1])
            self._diagnose(compare)
            paused = count in pauses
            if count % interval == 0 or count == len(parts) or paused:
                steps.losses += _read(pending)
                pending.clear()
                # A comparison with NaN is false.
                steps.diverged = not all(abs(loss) <= LARGEST for loss in steps.losses[-interval:])
                now = time.perf_counter()
                in_turn = now - self._turn_started
                steps.out_of_time = limit is not None and before + spent + in_turn >= limit
                if self._on_step is not None and now - reported >= REPORT_EVERY:
                    reported = now
                    self._on_step(count, len(parts), steps.losses[-1])
                if steps.diverged or steps.out_of_time:
                    return
                if paused:
                    spent += in_turn
                    yield

    def _compares_next_step(self) -> bool:
        interval = self._config.diagnostics_interval
        return interval is not None and self._steps_taken() % interval == 0

    def _diagnose(self, compare: bool) -> None:
        numbers = self._measured.diagnostics()
        if compare and self._comparer is not None and self._step.batch is not None:
            numbers = {**numbers, **self._comparer.after(*self._step.batch)}
        self._note_diagnostics(numbers)

    def _append(self, steps: _Steps, validation: float | None, metrics: dict[str, float | None]) -> None:
        record, history = self._record, self._record.history
        record.phases = self._breakdown.records()
        if not record.layers:
            record.layers = self._measured.layers()
        record.memory.optimizer_state_bytes = state_bytes(self._optimizer)
        elapsed = history.elapsed_seconds[-1] if history.elapsed_seconds else 0.0
        history.epoch.append(len(history.epoch) + 1)
        history.step.append(len(self._record.steps.seconds))
        history.train_loss.append(None if steps.diverged else steps.mean_loss())
        history.validation_loss.append(_finite(validation))
        history.elapsed_seconds.append(elapsed + steps.seconds)
        for name, value in metrics.items():
            history.metrics.setdefault(name, []).append(_finite(value))
        if steps.metrics is not None:
            for name, value in zip(metrics, steps.metrics.values(), strict=True):
                history.training_metrics.setdefault(name, []).append(None if steps.diverged else _finite(value))

    def _status(self, steps: _Steps, validation: float | None) -> Any:
        epoch = len(self._record.history.epoch)
        if steps.diverged:
            self._record.message = f"the training loss became {steps.losses[-1]} in epoch {epoch}"
            return "diverged"
        if validation is not None and _finite(validation) is None:
            self._record.message = f"the validation loss became {validation} after epoch {epoch}"
            return "diverged"
        status = status_after_epoch(self._config.budget, self._record.history)
        return "timeout" if steps.out_of_time and status == "running" else status

    def _save(self) -> None:
        assert self._config.checkpoint is not None
        save_checkpoint(
            Checkpoint(self._model.state_dict(), self._optimizer.state_dict(), self._random, self._record),
            self._config.checkpoint,
        )

    def _load(self) -> None:
        assert self._config.checkpoint is not None
        with self._resuming(self._config.checkpoint) as checkpoint:
            self._model.load_state_dict(checkpoint.model)
            self._optimizer.load_state_dict(checkpoint.optimizer)
        for name in self._problem.task.metrics:
            # A record from before metrics were measured on training data.
            unknown: list[float | None] = [None] * len(self._record.history.epoch)
            self._record.history.training_metrics.setdefault(name, unknown)


def _read(losses: list[torch.Tensor]) -> list[float]:
    if len(losses) == 1:
        return [losses[0].item()]
    values: list[float] = torch.stack(losses).double().tolist()
    return values


def _finite(value: float | None) -> float | None:
    return value if value is not None and abs(value) <= LARGEST else None
