"""One trial of a search: the runs of its seeds, as ``train`` would make them."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ngbench.errors import OutputError
from ngbench.experiments.runs import SilentObserver
from ngbench.experiments.search.ledger import Outcome, TakenTrial, trial_label
from ngbench.experiments.search.metrics import SearchMetric, trial_outcome
from ngbench.experiments.search.samplers import settings
from ngbench.experiments.search.space import Space
from ngbench.records.record import RunRecord, TrialMark
from ngbench.records.store import Store
from ngbench.running.schedule import PlannedRun, execute
from ngbench.running.workers import ProcessWorker, Worker

__all__ = ["Keeper", "KeptProcess", "TrialTemplate", "run_trial"]


@dataclass(frozen=True)
class TrialTemplate:
    """What all trials of an arm have in common.

    Attributes:
        arm: the arm's label.
        optimizer: the plugin's name or the dotted name of a class.
        space: what is searched.
        hyperparameters: all of the optimizer's; those that are searched have any value.
        runs: a run for each seed, with those hyper-parameters.
    """

    arm: str
    optimizer: str
    space: Space
    hyperparameters: Mapping[str, Any]
    runs: Sequence[PlannedRun]

    def planned(self, claim: TakenTrial) -> list[PlannedRun]:
        """The runs of a trial."""
        label = trial_label(self.arm, claim.number)
        found = {**self.hyperparameters, **settings(self.space, claim.point)}
        trial = TrialMark(arm=self.arm, trial=claim.number)
        made = []
        for run in self.runs:
            # It takes no turns with other runs.
            config = replace(run.config, label=label, hyperparameters=found, turn_steps=None)
            optimizer = run.record.optimizer.model_copy(update={"hyperparameters": found})
            record = run.record.model_copy(update={"label": label, "optimizer": optimizer, "trial": trial})
            made.append(PlannedRun(config, record))
        return made


class KeptProcess(ProcessWorker):
    """A process that stays from run to run, since starting one takes as long as many a trial."""

    def close(self) -> None:
        """Nothing: the end of a run is not the end of the process."""

    def end(self) -> None:
        """End the process and whatever is going on in it."""
        super().close()

    def kill(self) -> None:
        """End what is going on; the one who waits for its result gets to know."""
        child = self._child
        if child is not None:
            child.kill()


class Keeper(SilentObserver):
    """Keeps the records of trials on disk, as far as they can be written.

    Attributes:
        problem: why they are no longer written, if that is so.
        records: the latest record of each run.
    """

    def __init__(self, store: Store | None, stopping: threading.Event) -> None:
        self.problem: OutputError | None = None
        self.records: dict[tuple[str, int], RunRecord] = {}
        self._store = store
        self._stopping = stopping

    def update(self, record: RunRecord) -> None:
        """A run was set up, finished an epoch, or ended."""
        if self._stopping.is_set() and record.status not in ("running", "done"):
            # Its process was killed because the user said so.
            record = record.model_copy(update={"status": "interrupted", "message": None})
        self.records[(record.label, record.seed)] = record
        if self._store is None or self.problem is not None:
            return
        try:
            self._store.write(record)
        except OutputError as error:
            self.problem = error


def run_trial(
    runs: Sequence[PlannedRun], metric: SearchMetric, worker: Worker, keeper: Keeper, stopping: threading.Event
) -> Outcome:
    """Make the runs of a trial one after the other, until one has no value.

    Args:
        runs: one for each seed.
        metric: what decides.
        worker: where they are made.
        keeper: keeps their records.
        stopping: set when the user stopped the search, which ends the worker's process.
    """
    made: list[RunRecord] = []
    for run in runs:
        records, _ = execute([[run]], {run.config.label: worker}, keeper)
        made += records
        outcome = trial_outcome(made, metric)
        if stopping.is_set() and outcome.name != "done":
            return replace(outcome, name="interrupted", message=None)
        if outcome.name != "done":
            return outcome
    return trial_outcome(made, metric)
