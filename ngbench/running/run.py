"""One run, turn by turn: an epoch, or a block of steps of one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ngbench.curvature.linalg.parallel import torch_threads
from ngbench.errors import RecordError, describe
from ngbench.measurement.breakdown import Breakdown, append_turn
from ngbench.measurement.clock import Clock, clock_for
from ngbench.measurement.interruptions import interruptions_of
from ngbench.measurement.memory import MemoryMeter, memory_meter, parameter_bytes, state_bytes
from ngbench.measurement.recorder import StepRecorder
from ngbench.records.record import MemoryRecord, RunRecord
from ngbench.running.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from ngbench.running.randomness import RandomState, isolated, seeded_state
from ngbench.running.stopping import steps_left
from ngbench.running.training import Diverged, Row, Training
from ngbench.running.turns import turn_ends

__all__ = ["OnStep", "Run"]

OnStep = Callable[[int, int, float, float], None]
"""Told between steps, a few times a second: steps taken in this epoch, steps in an epoch, the latest loss, and the
seconds of training since the run began."""

SYNCHRONISE_EVERY = 50
"""Steps between two looks at the losses on a device that runs ahead of the host."""
REPORT_EVERY = 0.25


@dataclass
class _Epoch:
    """An epoch that has begun.

    Attributes:
        steps: how many it has.
        turn_ends: after how many steps each of its turns ends.
        taken: steps.
        rows: the losses of each step.
        seconds: of the steps, by the clock.
        waited: of its turns, with all that is done between steps.
        reported: when a step was reported last.
        why: it ended as diverged.
        out_of_time: it was ended by the time limit.
    """

    steps: int
    turn_ends: Sequence[int]
    reported: float
    taken: int = 0
    rows: list[Row] = field(default_factory=list)
    seconds: float = 0.0
    waited: float = 0.0
    why: str | None = None
    out_of_time: bool = False

    @property
    def over(self) -> bool:
        """Whether it takes no further step."""
        return self.taken == self.steps or self.why is not None or self.out_of_time


class Run:
    """A run with one seed: :meth:`prepare` once, then :meth:`turn` or :meth:`epoch` while it is ``running``.

    The random numbers and the threads of the process are the same after each call as before it, so several runs can
    take turns in one process and each still draws what it would draw alone.

    Args:
        training: what is trained, and how.
        record: what is known of the run before it begins; a run that resumes takes its checkpoint's instead.
        clock: measures the steps; by default that of the device.
        meter: measures the memory; by default that of the device.
    """

    _random: RandomState

    def __init__(
        self,
        training: Training[Any, Any],
        record: RunRecord,
        *,
        clock: Clock | None = None,
        meter: MemoryMeter | None = None,
    ) -> None:
        self._training = training
        self._config = training.config
        self._device = device = training.device
        self._record = record.model_copy(deep=True)
        self._clock = clock if clock is not None else clock_for(device)
        self._meter = meter if meter is not None else memory_meter(device)
        self._recorder: StepRecorder[Any] = StepRecorder(self._clock.mark, interruptions_of(device))
        self._breakdown = Breakdown()
        self._epoch: _Epoch | None = None
        self._look_every = 1 if device.type == "cpu" else SYNCHRONISE_EVERY

    def prepare(self) -> RunRecord:
        """Build data, networks and optimizers, count a step's operations, and load the checkpoint if there is one.

        Raises:
            RecordError: the checkpoint cannot be read or does not fit.
        """
        config, training = self._config, self._training
        with torch_threads(config.threads):
            training.load_data()
            if config.count_operations and not config.resume:
                self._count_operations()
            self._start_memory(training.build_networks())
            with isolated(self._device, seeded_state(config.seed, self._device)) as after:
                training.build_optimizers(self._recorder)
            self._random = after
            if config.resume:
                assert config.checkpoint is not None
                self._load(config.checkpoint)
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
        with torch_threads(self._config.threads), isolated(self._device, self._random) as after:
            self._meter.reset()
            if self._epoch is None:
                self._epoch = self._begin_epoch()
            epoch = self._epoch
            self._take_steps(epoch, on_step)
            epoch.seconds += self._collect()
            if epoch.over:
                self._end_epoch(epoch)
        self._random = after
        if not epoch.over:
            return None
        self._epoch = None
        if self._config.checkpoint is not None:
            self._save(self._config.checkpoint)
        return self._record.model_copy(deep=True)

    def _count_operations(self) -> None:
        """Count the operations of a step, or note why there are none."""
        try:
            counted = self._training.probe()
        except (ArithmeticError, NotImplementedError, RuntimeError) as error:
            # What cannot run while it is counted may still run: that is for the run itself to show.
            self._record.operations_error = describe(error)
        else:
            self._record.unknown_operators = counted.unknown_operators
            self._breakdown.set_operations(counted.operations)

    def _start_memory(self, parameters: int) -> None:
        """Measure what is in use before training, with ``parameters`` bytes of weights."""
        self._meter.trim()
        self._record.memory = MemoryRecord(
            baseline_bytes=self._meter.in_use(), parameter_bytes=parameters, source=self._meter.source
        )

    def _begin_epoch(self) -> _Epoch:
        history = self._record.history
        limit = steps_left(self._config.budget, history)
        steps = self._training.begin_epoch(len(history.epoch) + 1, limit)
        return _Epoch(steps, turn_ends(steps, self._config.turn_steps), time.perf_counter())

    def _take_steps(self, epoch: _Epoch, on_step: OnStep | None) -> None:
        """Take the steps of one turn."""
        limit = self._config.budget.time_limit
        end = next(at for at in epoch.turn_ends if at > epoch.taken)
        before, started = self._elapsed() + epoch.waited, time.perf_counter()
        pending: list[Sequence[Tensor]] = []
        while epoch.taken < end and not epoch.over:
            taken = self._steps_taken()
            for rates in self._training.rates:
                rates.set(taken)
            try:
                pending.append(self._training.step(taken))
            except Diverged as error:
                epoch.why = str(error)
                break
            epoch.taken += 1
            for name, value in self._training.diagnostics().items():
                self._record.diagnostics.setdefault(name, []).append((self._steps_taken(), value))
            if epoch.taken % self._look_every == 0 or epoch.taken == end:
                rows = _read(pending)
                pending.clear()
                epoch.rows += rows
                epoch.why = self._training.why_diverged(rows)
                now = time.perf_counter()
                epoch.out_of_time = limit is not None and before + now - started >= limit
                if on_step is not None and now - epoch.reported >= REPORT_EVERY:
                    epoch.reported = now
                    on_step(epoch.taken, epoch.steps, rows[-1][0], before + now - started)
        epoch.waited += time.perf_counter() - started

    def _collect(self) -> float:
        """Turn the marks since the last call into the record's steps and memory; returns the seconds of the steps."""
        self._clock.synchronise()
        collected = self._recorder.collect(self._clock.seconds)
        self._recorder.clear()
        self._clock.release()
        self._breakdown.add(collected)
        record = self._record
        append_turn(record.steps, collected)
        record.memory.peak_bytes = max(self._meter.peak(), record.memory.peak_bytes or 0)
        return sum(collected.amounts)

    def _end_epoch(self, epoch: _Epoch) -> None:
        record, history, training = self._record, self._record.history, self._training
        record.phases = self._breakdown.records()
        if not record.layers:
            record.layers = training.layers()
        kept = sum(map(parameter_bytes, training.averages.values()))
        record.memory.optimizer_state_bytes = sum(map(state_bytes, training.optimizers.values())) + kept
        history.elapsed_seconds.append(self._elapsed() + epoch.seconds)
        history.epoch.append(len(history.epoch) + 1)
        history.step.append(len(record.steps.seconds))
        whole = training.end_epoch(history, epoch.rows, sound=epoch.why is None)
        if why := epoch.why or whole:
            record.status, record.message = "diverged", why
        else:
            status = training.status(history)
            record.status = "timeout" if epoch.out_of_time and status == "running" else status
        training.judge(record)

    def _elapsed(self) -> float:
        """Seconds of the steps of all epochs that have ended."""
        return self._record.history.elapsed_seconds[-1] if self._record.history.elapsed_seconds else 0.0

    def _steps_taken(self) -> int:
        return len(self._record.steps.seconds) + self._recorder.closed_steps

    def _save(self, path: Path) -> None:
        networks, optimizers = self._training.state()
        averages = {name: average.state_dict() for name, average in self._training.averages.items()}
        save_checkpoint(Checkpoint(networks, optimizers, self._random, self._record, averages), path)

    def _load(self, path: Path) -> None:
        """Take the states, the record and the random numbers of the checkpoint.

        Raises:
            RecordError: it cannot be read or does not fit.
        """
        checkpoint = load_checkpoint(path)
        try:
            self._training.load(checkpoint)
            for name, average in self._training.averages.items():
                average.load_state_dict(checkpoint.averages[name])
            # Random numbers that no generator takes are met here, not in the middle of the run.
            with isolated(self._device, checkpoint.random):
                pass
        except Exception as error:
            raise RecordError(f"the checkpoint {str(path)!r} does not fit the run: {describe(error)}") from error
        self._random = checkpoint.random
        self._record = checkpoint.record
        self._breakdown = Breakdown.from_records(checkpoint.record.phases)
        if not self._record.steps.turns:
            # A record from before turns were written down, when each was an epoch.
            self._record.steps.turns = list(self._record.history.step)
        if self._record.status not in ("done", "diverged", "timeout"):
            self._record.status = "running"
            self._record.message = None


def _read(pending: Sequence[Sequence[Tensor]]) -> list[Row]:
    """The losses of some steps; waits once for the device."""
    if len(pending) == 1 and len(pending[0]) == 1:
        return [[pending[0][0].item()]]
    rows: list[Row] = torch.stack([torch.stack(list(losses)) for losses in pending]).double().tolist()
    return rows
