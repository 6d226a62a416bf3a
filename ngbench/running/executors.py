"""Where runs are executed: in this process, or in a process for each arm.

Both take the same two orders, ``prepare`` and ``turn``, and answer with the record so far. What goes wrong in
a run is in the record that comes back; it never ends the others.
"""

from __future__ import annotations

import multiprocessing
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Protocol

from ngbench.optimizers.coverage import CurvatureWarning
from ngbench.records.record import RunRecord
from ngbench.running.children import Child, Ended
from ngbench.running.config import RunConfig
from ngbench.running.failures import died, failed
from ngbench.running.problem import Problem, load_problem
from ngbench.running.run import OnStep, Run
from ngbench.running.supervised_training import SupervisedTraining

__all__ = ["Executor", "Host", "InProcess", "OwnProcess", "TaskHost", "Trainable"]


class Executor(ABC):
    """Executes runs one after the other: :meth:`begin` an order, then :meth:`result` waits for its answer."""

    @abstractmethod
    def begin_prepare(self, config: RunConfig, record: RunRecord) -> None:
        """Order the run of ``config`` to be set up; ``record`` is what is known of it."""

    @abstractmethod
    def begin_turn(self) -> None:
        """Order one turn of the run that was prepared last."""

    @abstractmethod
    def result(self, on_step: OnStep | None = None) -> RunRecord | None:
        """The record after the last order, whose status says whether the run goes on; ``None`` if the turn ended
        within an epoch, when there is nothing new in the record."""

    @abstractmethod
    def close(self) -> None:
        """End whatever is going on."""


class Trainable(Protocol):
    """A run, turn by turn: :class:`~ngbench.running.run.Run` or one of another kind."""

    def prepare(self) -> RunRecord:
        """Set the run up."""

    def turn(self, on_step: OnStep | None = None) -> RunRecord | None:
        """Train for one turn; ``None`` if it ended within an epoch."""


class Host(ABC):
    """Executes orders in the process where it lives; a subclass says what a run is."""

    def __init__(self) -> None:
        self._run: Trainable | None = None
        self._record: RunRecord | None = None

    @abstractmethod
    def start(self, config: RunConfig, record: RunRecord) -> Trainable:
        """The run of ``config``, whose problem is loaded if it is not yet."""

    def prepare(self, config: RunConfig, record: RunRecord) -> RunRecord | None:
        """Set a run up; what goes wrong is in the record."""

        def work() -> RunRecord:
            self._run = None
            self._run = self.start(config, record)
            return self._run.prepare()

        return self._guarded(record, work)

    def turn(self, on_step: OnStep | None) -> RunRecord | None:
        """Train for one turn; what goes wrong is in the record."""
        assert self._run is not None
        assert self._record is not None
        run = self._run
        return self._guarded(self._record, lambda: run.turn(on_step))

    def _guarded(self, before: RunRecord, work: Callable[[], RunRecord | None]) -> RunRecord | None:
        try:
            record = work()
            if record is None:
                return None
            self._record = record
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and multiprocessing.parent_process() is None:
                # Ctrl-C; in an arm's process, which it does not reach, code of others raised it.
                raise
            self._record = failed(before, error)
        if self._record.status != "running":
            self._run = None
        return self._record


class TaskHost(Host):
    """Runs of one model.

    Args:
        problem: that of all runs, if it is loaded already.
    """

    def __init__(self, problem: Problem | None = None) -> None:
        super().__init__()
        self._problem = problem

    def start(self, config: RunConfig, record: RunRecord) -> Run:
        if self._problem is None:
            self._problem = load_problem(config.task, config.task_options, config.data_dir)
        return Run(SupervisedTraining(config, self._problem), record)


class InProcess(Executor):
    """Runs in this process.

    Args:
        host: executes the orders.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._order: Callable[[OnStep | None], RunRecord | None]

    def begin_prepare(self, config: RunConfig, record: RunRecord) -> None:
        self._order = lambda on_step: self._host.prepare(config, record)

    def begin_turn(self) -> None:
        self._order = self._host.turn

    def result(self, on_step: OnStep | None = None) -> RunRecord | None:
        return self._order(on_step)

    def close(self) -> None:
        pass


class OwnProcess(Executor):
    """Runs in a process of its own, so that its memory is its own and its death is not another's.

    The process is started with the first order, and again after it has died.

    Args:
        host: makes what executes the orders there; it is sent to the process, so it must be importable by name.
    """

    def __init__(self, host: Callable[[], Host] = TaskHost) -> None:
        self._make_host = host
        self._child: Child | None = None
        self._record: RunRecord | None = None

    def begin_prepare(self, config: RunConfig, record: RunRecord) -> None:
        self._record = record
        if self._child is None:
            self._child = Child(_serve, self._make_host)
        self._child.send(("prepare", config, record))

    def begin_turn(self) -> None:
        assert self._child is not None
        self._child.send(("turn",))

    def result(self, on_step: OnStep | None = None) -> RunRecord | None:
        assert self._child is not None
        assert self._record is not None
        try:
            while True:
                kind, content = self._child.receive()
                if kind == "record":
                    if content is not None:
                        self._record = content
                    return content  # type: ignore[no-any-return]
                if on_step is not None:
                    on_step(*content)
        except Ended as end:
            self._child = None
            self._record = died(self._record, end)
        return self._record

    def close(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None


def _serve(connection: Connection[Any, Any], make_host: Callable[[], Host]) -> None:
    """Execute orders until the other side is gone."""
    # Records name these parameters, and so does every view of them.
    warnings.filterwarnings("ignore", category=CurvatureWarning)
    host = make_host()

    def on_step(step: int, steps: int, loss: float) -> None:
        connection.send(("step", (step, steps, loss)))

    while True:
        kind, *arguments = connection.recv()
        record = host.prepare(*arguments) if kind == "prepare" else host.turn(on_step)
        connection.send(("record", record))
