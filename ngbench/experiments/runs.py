"""Planned runs, made and kept: what every experiment does once it knows what to run. It prints nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ngbench.disk.files import check_directory
from ngbench.errors import NgbenchError, OutputError, ParameterError
from ngbench.plugins import registry
from ngbench.records.environment import describe_environment
from ngbench.records.record import Document, RunRecord
from ngbench.records.statistics import FAILED
from ngbench.records.store import Store, check_unused
from ngbench.running.plan import Plan
from ngbench.running.resume import with_output
from ngbench.running.schedule import Observer, execute
from ngbench.running.workers import LocalWorker, ProcessWorker, Worker
from ngbench.spelling import argument

__all__ = ["ExperimentObserver", "Place", "Ran", "SilentObserver", "make_runs", "refuse_unfinished"]


class ExperimentObserver(Observer, Protocol):
    """Told what happens, in this process, with the clock of all runs stopped."""

    def note(self, line: str) -> None:
        """Something is to be known of the runs as a whole."""

    def stage(self, what: str) -> None:
        """What is being done before there are runs, which may take a while."""


class SilentObserver:
    """Is told of runs or of a search, and says nothing; others override what they want to know of."""

    def group(self, records: Sequence[RunRecord], seed: int, seeds: int) -> None:
        """The runs of a seed are about to be set up."""

    def step(self, record: RunRecord, step: int, steps: int, loss: float, seconds: float) -> None:
        """Within an epoch, a few times a second."""

    def update(self, record: RunRecord) -> None:
        """A run was set up, finished an epoch, or ended."""

    def again(self, process: int, processes: int) -> None:
        """The runs are made again in another process."""

    def note(self, line: str) -> None:
        """Something is to be known of the runs, or of the search, as a whole."""

    def begun(self, plan: Any) -> None:
        """A search is about to begin."""

    def ended(self, news: Any) -> None:
        """A trial of a search ended in this process."""

    def stage(self, what: str) -> None:
        """What is being done before there are runs."""


@dataclass(frozen=True)
class Place:
    """Where records are kept.

    Attributes:
        directory: has a record and a checkpoint of each run, written as it goes; ``None`` keeps nothing.
        resume: go on with what the directory holds.
        part_of: the comparison of a study that the runs belong to, in words.
        introduction: what is to be known of the place before the runs begin, a line each.
    """

    directory: Path | None = None
    resume: bool = False
    part_of: str | None = None
    introduction: Sequence[str] = ()

    def check(self) -> None:
        """Refuse what could not be written in the end.

        Raises:
            OutputError: naming it.
            ParameterError: there is nothing to resume from.
        """
        if self.directory is not None:
            check_directory(self.directory)
            check_unused(self.directory, resume=self.resume)
        elif self.resume:
            raise ParameterError(
                f"{argument('resume')} needs {argument('output')}, the directory that holds what to go on with"
            )


@dataclass(frozen=True)
class Ran:
    """What came of an experiment.

    Attributes:
        document: the records, also of runs that the user interrupted.
        interrupted: whether the user did.
        problem: why records are no longer written, if that is so; the runs went on.
    """

    document: Document
    interrupted: bool = False
    problem: OutputError | None = None

    @property
    def failed(self) -> bool:
        """Whether a run did not do what was asked."""
        return self.interrupted or any(run.status in FAILED | {"interrupted"} for run in self.document.runs)


class _Keeper:
    """Keeps what happens: on disk first, then it is told."""

    def __init__(self, store: Store | None, observer: ExperimentObserver) -> None:
        self.problem: OutputError | None = None
        self._store = store
        self._observer = observer

    def group(self, records: Sequence[RunRecord], seed: int, seeds: int) -> None:
        for record in records:
            # The file of a run that is over stays as it is, with the environment that it was made in.
            if record.status == "running":
                self._write(record)
        self._observer.group(records, seed, seeds)

    def update(self, record: RunRecord) -> None:
        self._write(record)
        self._observer.update(record)

    def step(self, record: RunRecord, step: int, steps: int, loss: float, seconds: float) -> None:
        self._observer.step(record, step, steps, loss, seconds)

    def again(self, process: int, processes: int) -> None:
        self._observer.again(process, processes)

    def _write(self, record: RunRecord) -> None:
        if self._store is None or self.problem is not None:
            return
        try:
            self._store.write(record)
        except OutputError as error:
            self.problem = error
            self._observer.note(f"warning: {error}; the runs go on, their records are not written")


def make_runs(
    plan: Plan[Any],
    *,
    place: Place,
    observer: ExperimentObserver,
    own_processes: bool,
    workers: Mapping[str, Worker] | None = None,
    restarts: int = 1,
) -> Ran:
    """Make the runs and keep their records, also those of runs that the user interrupts.

    Args:
        plan: the runs.
        place: of the records.
        observer: is told what happens.
        own_processes: each arm in a process of its own; else all in this one.
        workers: what makes the runs of each arm, where that is not for ``own_processes`` to say.
        restarts: how many fresh processes make each run.

    Raises:
        OutputError: the place cannot be written, or another process has it.
        RecordError: the place holds other runs than those to be resumed.
    """
    if restarts > 1 and not own_processes:
        raise ParameterError(
            f"{argument('restarts', restarts)} is not allowed, it must be 1 where arms have no processes of their own"
        )
    environment = describe_environment(registry.providers())
    environment.threads = plan.threads
    store, groups = None, plan.groups
    if place.directory is not None:
        store = Store(place.directory, environment, resume=place.resume, part_of=place.part_of)
    with store.taken() if store is not None else nullcontext():
        if store is not None:
            groups = with_output(groups, store)
        for line in (*place.introduction, *plan.introduction):
            observer.note(line)
        keeper = _Keeper(store, observer)
        if workers is None:
            workers = workers_for(plan, own_processes=own_processes, fresh=restarts > 1)
        records, interrupted = execute(groups, workers, keeper, processes=restarts)
    return Ran(Document(environment=environment, runs=records), interrupted, keeper.problem)


def refuse_unfinished(runs: Sequence[RunRecord]) -> None:
    """Refuse to judge runs of which one did not end as it should.

    Raises:
        NgbenchError: saying how it ended, and why.
    """
    for run in runs:
        if run.status != "done":
            reason = f": {run.message}" if run.message else ""
            raise NgbenchError(f"the run of {run.label} ended as {run.status.replace('_', ' ')}{reason}")


def workers_for(plan: Plan[Any], *, own_processes: bool, fresh: bool) -> dict[str, Worker]:
    """What makes the runs of each arm."""
    return {
        run.config.label: ProcessWorker(plan.starter, fresh=fresh)
        if own_processes
        else LocalWorker(plan.starter(plan.problem))
        for run in plan.groups[0]
    }
