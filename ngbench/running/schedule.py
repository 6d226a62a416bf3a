"""The order in which runs take their turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from ngbench.records.record import RestartRecord, RunRecord
from ngbench.records.statistics import final_loss
from ngbench.running.config import RunConfig
from ngbench.running.workers import Worker

__all__ = ["Observer", "PlannedRun", "execute"]


@dataclass(frozen=True)
class PlannedRun:
    """A run to be made: its configuration, and what its record says before it begins.

    A record with a status other than ``running`` belongs to a run that is over already.

    Attributes:
        config: of the run.
        record: what is known of it.
        planned: what was known before it began, where the record tells more.
    """

    config: RunConfig
    record: RunRecord
    planned: RunRecord | None = None


_OVER = ("done", "timeout")
"""How runs end that are made again."""


class Observer(Protocol):
    """Told what happens, in this process, with the clock of all runs stopped."""

    def group(self, records: Sequence[RunRecord], seed: int, seeds: int) -> None:
        """The runs of a seed, which is the so-manieth of so many, are about to be set up."""

    def update(self, record: RunRecord) -> None:
        """A run was set up, finished an epoch, or ended."""

    def step(self, record: RunRecord, step: int, steps: int, loss: float, seconds: float) -> None:
        """Within an epoch, a few times a second: steps of how many, the loss, training time since the run began."""

    def again(self, process: int, processes: int) -> None:
        """The runs that were told of last are made again, each in another process, the so-manieth of so many."""


def execute(
    groups: Sequence[Sequence[PlannedRun]], workers: Mapping[str, Worker], observer: Observer, *, processes: int = 1
) -> tuple[list[RunRecord], bool]:
    """Make all runs: group after group, and within a group the runs take turns.

    A turn is a block of steps, as long as the configuration says. Each round of turns begins with another arm, so
    that the drift of the machine hits all alike.

    Args:
        groups: the runs of each seed, with different labels.
        workers: one for each label; with several processes each begins a run in a fresh one.
        observer: is told of everything; what it raises ends the execution.
        processes: how many make each run. What those after the first took is in its record's ``restarts``.

    Returns:
        A record for each run that began or was over already, in the order given, and whether the user
        interrupted them; runs that were not over then have the status ``interrupted``.
    """
    latest: dict[tuple[str, int], RunRecord] = {}
    try:
        for at, group in enumerate(groups, 1):
            for run in group:
                latest[(run.record.label, run.record.seed)] = run.record
            observer.group([run.record for run in group], at, len(groups))
            _execute_group(group, workers, observer, latest)
            for process in range(1, processes):
                _make_again(group, workers, observer, latest, process, processes)
    except KeyboardInterrupt:
        for key, record in latest.items():
            if record.status == "running":
                latest[key] = record.model_copy(update={"status": "interrupted"})
                observer.update(latest[key])
        return list(latest.values()), True
    finally:
        for worker in workers.values():
            worker.close()
    return list(latest.values()), False


def _execute_group(
    group: Sequence[PlannedRun],
    workers: Mapping[str, Worker],
    observer: Observer,
    latest: dict[tuple[str, int], RunRecord],
) -> None:
    def update(record: RunRecord) -> None:
        latest[(record.label, record.seed)] = record
        observer.update(record)

    _take_turns([run for run in group if run.record.status == "running"], workers, update, observer.step)


def _make_again(
    group: Sequence[PlannedRun],
    workers: Mapping[str, Worker],
    observer: Observer,
    latest: dict[tuple[str, int], RunRecord],
    process: int,
    processes: int,
) -> None:
    """Make the runs that are over once more, unless that has been done."""
    ended = {run.config.label: latest[(run.config.label, run.config.seed)] for run in group}
    again = [
        PlannedRun(replace(run.config, checkpoint=None, resume=False), run.planned or run.record)
        for run in group
        if ended[run.config.label].status in _OVER and len(ended[run.config.label].restarts) < process
    ]
    if not again:
        return
    observer.again(process + 1, processes)
    made: dict[str, RunRecord] = {}
    _take_turns(again, workers, lambda record: made.update({record.label: record}), lambda *_: None)
    for label, record in made.items():
        first = ended[label]
        if record.status in _OVER:
            restart = RestartRecord(
                steps=record.steps, phases=record.phases, train_loss=final_loss(record), started_at=record.started_at
            )
            first = first.model_copy(update={"restarts": [*first.restarts, restart]})
        else:
            message = f"in process {process + 1} of {processes}: {record.message or record.status}"
            first = first.model_copy(update={"status": record.status, "message": message})
        latest[(label, first.seed)] = first
        observer.update(first)


def _take_turns(
    runs: Sequence[PlannedRun],
    workers: Mapping[str, Worker],
    update: Callable[[RunRecord], None],
    on_step: Callable[..., None],
) -> None:
    """Make the runs, which have different labels, in turns."""
    active = {run.config.label: run.record for run in runs}

    def told(record: RunRecord | None) -> None:
        if record is not None:
            active[record.label] = record
            update(record)

    for run in runs:
        workers[run.config.label].begin(run.config, run.record)
    for run in runs:
        told(workers[run.config.label].prepared())
    turn = 0
    while labels := [label for label, record in active.items() if record.status == "running"]:
        start = turn % len(labels)
        for label in labels[start:] + labels[:start]:
            told(workers[label].turn(lambda *args, record=active[label]: on_step(record, *args)))
        turn += 1
