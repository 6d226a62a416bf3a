"""Where runs are made: in this process, or in a process for each arm.

What goes wrong in a run is in the record that comes back; it never ends the others.
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
from ngbench.running.adversarial_config import AdversarialConfig
from ngbench.running.adversarial_problem import AdversarialProblem, load_adversarial_problem
from ngbench.running.adversarial_training import AdversarialTraining
from ngbench.running.children import Child, Ended
from ngbench.running.config import RunConfig
from ngbench.running.failures import died, failed
from ngbench.running.problem import Problem, load_problem
from ngbench.running.run import OnStep, Run
from ngbench.running.supervised_training import SupervisedTraining

__all__ = ["LocalWorker", "ProcessWorker", "RunStarter", "Start", "Worker", "serve_runs"]


class Started(Protocol):
    """A run, turn by turn: :class:`~ngbench.running.run.Run` or one of another kind."""

    def prepare(self) -> RunRecord:
        """Set the run up."""

    def turn(self, on_step: OnStep | None = None) -> RunRecord | None:
        """Train for one turn; ``None`` if it ended within an epoch."""


Start = Callable[[RunConfig, RunRecord], Started]
"""From a configuration, and what is known of the run before it begins, to the run."""


class RunStarter:
    """Starts runs of one model or of two players, all of one task.

    Args:
        problem: the task with its data, if it is loaded already; else it is loaded with the first run.
    """

    def __init__(self, problem: Problem | AdversarialProblem | None = None) -> None:
        self._problem: Any = problem

    def __call__(self, config: RunConfig, record: RunRecord) -> Started:
        task = config.task, config.task_options, config.data_dir
        if isinstance(config, AdversarialConfig):
            self._problem = self._problem or load_adversarial_problem(*task)
            return Run(AdversarialTraining(config, self._problem), record)
        self._problem = self._problem or load_problem(*task)
        return Run(SupervisedTraining(config, self._problem), record)


class Worker(ABC):
    """Makes runs one after the other."""

    @abstractmethod
    def begin(self, config: RunConfig, record: RunRecord) -> None:
        """Begin to set a run up, beside other workers; ``record`` is what is known of it."""

    @abstractmethod
    def prepared(self) -> RunRecord:
        """The record once the run is set up, whose status says whether it goes on."""

    @abstractmethod
    def turn(self, on_step: OnStep | None = None) -> RunRecord | None:
        """Train for one turn of the run that was set up last.

        Returns:
            The record, whose status says whether the run goes on; ``None`` if the turn ended within an epoch, when
            there is nothing new in the record.
        """

    @abstractmethod
    def close(self) -> None:
        """End whatever is going on."""


class LocalWorker(Worker):
    """Makes runs in the process where it lives.

    Args:
        start: starts a run.
    """

    def __init__(self, start: Start) -> None:
        self._start = start
        self._run: Started | None = None
        self._record: RunRecord

    def begin(self, config: RunConfig, record: RunRecord) -> None:
        self._run, self._record = None, record

        def work() -> RunRecord:
            self._run = self._start(config, record)
            return self._run.prepare()

        self._guarded(work)

    def prepared(self) -> RunRecord:
        return self._record

    def turn(self, on_step: OnStep | None = None) -> RunRecord | None:
        assert self._run is not None
        run = self._run
        return self._guarded(lambda: run.turn(on_step))

    def close(self) -> None:
        self._run = None

    def _guarded(self, work: Callable[[], RunRecord | None]) -> RunRecord | None:
        """What ``work`` returns; what goes wrong in it is in the record."""
        try:
            record = work()
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and multiprocessing.parent_process() is None:
                # Ctrl-C; in an arm's process, which it does not reach, code of others raised it.
                raise
            record = failed(self._record, error)
        if record is not None:
            self._record = record
            if record.status != "running":
                self._run = None
        return record


class ProcessWorker(Worker):
    """Makes runs in a process of its own, so that its memory is its own and its death is not another's.

    The process is started with the first run, and again after it has died.

    Args:
        starter: makes what starts runs there; it is sent to the process, so it must be importable by name.
        fresh: whether each run has a process of its own, which starts anew.
    """

    def __init__(self, starter: Callable[[], Start] = RunStarter, *, fresh: bool = False) -> None:
        self._starter = starter
        self._fresh = fresh
        self._child: Child | None = None
        self._record: RunRecord | None = None

    def begin(self, config: RunConfig, record: RunRecord) -> None:
        if self._fresh and self._record is not None:
            self.close()
        self._record = record
        if self._child is None:
            self._child = self._start_child()
        self._child.send((config, record))

    def _start_child(self) -> Child:
        return Child(serve_runs, self._starter, fresh=self._fresh)

    def prepared(self) -> RunRecord:
        self._receive(None)
        assert self._record is not None
        return self._record

    def turn(self, on_step: OnStep | None = None) -> RunRecord | None:
        assert self._child is not None
        self._child.send(None)
        return self._receive(on_step)

    def close(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None

    def _receive(self, on_step: OnStep | None) -> RunRecord | None:
        """The next record that the process tells, or that of its death."""
        assert self._child is not None
        assert self._record is not None
        try:
            while True:
                told = self._child.receive()
                if not isinstance(told, tuple):
                    break
                if on_step is not None:
                    on_step(*told)
        except Ended as end:
            self._child = None
            told = died(self._record, end)
        if told is not None:
            self._record = told
        return told  # type: ignore[no-any-return]


def serve_runs(connection: Connection[Any, Any], starter: Callable[[], Start]) -> None:
    """Set up the runs that are sent, and take a turn for each None; tell steps as tuples, and the records."""
    # Records name these parameters, and so does every view of them.
    warnings.filterwarnings("ignore", category=CurvatureWarning)
    worker = LocalWorker(starter())
    while True:
        order = connection.recv()
        if order is None:
            connection.send(worker.turn(lambda *step: connection.send(step)))
        else:
            worker.begin(*order)
            connection.send(worker.prepared())
