"""What all runs have in common: a device, its instruments, a record, and a way back to where they were."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

from ngbench.errors import RecordError, describe
from ngbench.measurement.breakdown import Breakdown, append_turn
from ngbench.measurement.clock import Clock, clock_for
from ngbench.measurement.interruptions import interruptions_of
from ngbench.measurement.memory import MemoryMeter, memory_meter
from ngbench.measurement.recorder import StepRecorder
from ngbench.records.record import MemoryRecord, RunRecord
from ngbench.running.checkpoint import Checkpoint, load_checkpoint
from ngbench.running.config import RunConfig
from ngbench.running.devices import resolve_dtype
from ngbench.running.probe import Counted
from ngbench.running.randomness import RandomState, isolated

__all__ = ["MeasuredRun"]


Config = TypeVar("Config", bound=RunConfig)
ProblemType = TypeVar("ProblemType")


class MeasuredRun(Generic[Config, ProblemType]):
    """A run whose steps are timed and whose memory is measured.

    Args:
        config: what to do.
        problem: the task and its data, of the configuration.
        record: what is known of the run before it begins; a run that resumes takes its checkpoint's instead.
        clock: measures the steps; by default that of the device.
        meter: measures the memory; by default that of the device.
    """

    _random: RandomState

    def __init__(
        self,
        config: Config,
        problem: ProblemType,
        record: RunRecord,
        *,
        clock: Clock | None = None,
        meter: MemoryMeter | None = None,
    ) -> None:
        self._config = config
        self._problem = problem
        self._record = record.model_copy(deep=True)
        self._device = torch.device(config.device)
        self._dtype = resolve_dtype(config.dtype, self._device)
        self._clock = clock if clock is not None else clock_for(self._device)
        self._meter = meter if meter is not None else memory_meter(self._device)
        self._recorder: StepRecorder[Any] = StepRecorder(self._clock.mark, interruptions_of(self._device))
        self._breakdown = Breakdown()

    def _set_operations(self, probe: Callable[[], Counted]) -> None:
        """Take the operations of a step from ``probe``, or note why there are none."""
        try:
            counted = probe()
        except (ArithmeticError, NotImplementedError, RuntimeError) as error:
            # What cannot run while it is counted may still run: that is for the run itself to show.
            self._record.operations_error = describe(error)
        else:
            self._record.unknown_operators = counted.unknown_operators
            self._breakdown.set_operations(counted.operations)

    def _start_memory(self, parameters: int) -> None:
        """Measure what is in use before training, with ``parameters`` bytes of weights."""
        self._meter.trim()
        memory = MemoryRecord(baseline_bytes=self._meter.in_use(), parameter_bytes=parameters)
        # A plugin's own keys are kept, so what the numbers are can stand beside them.
        self._record.memory = memory.model_copy(update={"source": self._meter.source})

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

    def _note_diagnostics(self, numbers: Mapping[str, float | None]) -> None:
        """Append numbers about the last step to the record."""
        for name, value in numbers.items():
            self._record.diagnostics.setdefault(name, []).append([self._steps_taken(), value])

    def _steps_taken(self) -> int:
        return len(self._record.steps.seconds) + self._recorder.closed_steps

    @contextmanager
    def _resuming(self, path: Path) -> Iterator[Checkpoint]:
        """The checkpoint, whose states the body loads; then the record and the random numbers are those in it.

        Raises:
            RecordError: the checkpoint cannot be read or does not fit.
        """
        checkpoint = load_checkpoint(path)
        try:
            yield checkpoint
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
