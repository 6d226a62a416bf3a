"""The order in which runs take their turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ngbench.records.record import RunRecord
from ngbench.running.config import RunConfig
from ngbench.running.workers import Worker

__all__ = ["Observer", "PlannedRun", "execute"]


@dataclass(frozen=True)
class PlannedRun:
    """A run to be made: its configuration, and what its record says before it begins.

    A record with a status other than ``running`` belongs to a run that is over already.
    """

    config: RunConfig
    record: RunRecord


class Observer(Protocol):
    """Told what happens, in this process, with the clock of all runs stopped."""

    def group(self, records: Sequence[RunRecord], seed: int, seeds: int) -> None:
        """The runs of a seed, which is the so-manieth of so many, are about to be set up."""

    def update(self, record: RunRecord) -> None:
        """A run was set up, finished an epoch, or ended."""

    def step(self, record: RunRecord, step: int, steps: int, loss: float, seconds: float) -> None:
        """Within an epoch, a few times a second: steps of how many, the loss, training time since the run began."""


def execute(
    groups: Sequence[Sequence[PlannedRun]], workers: Mapping[str, Worker], observer: Observer
) -> tuple[list[RunRecord], bool]:
    """Make all runs: group after group, and within a group the runs take turns.

    A turn is a block of steps, as long as the configuration says. Each round of turns begins with another arm, so
    that the drift of the machine hits all alike.

    Args:
        groups: the runs of each seed, with different labels.
        workers: one for each label.
        observer: is told of everything; what it raises ends the execution.

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
    def update(record: RunRecord | None) -> None:
        if record is not None:
            latest[(record.label, record.seed)] = record
            observer.update(record)

    active = [run for run in group if run.record.status == "running"]
    for run in active:
        workers[run.config.label].begin(run.config, run.record)
    for run in active:
        update(workers[run.config.label].prepared())
    turn = 0
    while active := [r for r in active if latest[(r.config.label, r.config.seed)].status == "running"]:
        start = turn % len(active)
        for run in active[start:] + active[:start]:
            record = latest[(run.config.label, run.config.seed)]
            update(workers[run.config.label].turn(lambda *args, record=record: observer.step(record, *args)))
        turn += 1
