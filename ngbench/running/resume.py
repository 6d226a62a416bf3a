"""Going on with what an output directory holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ngbench.disk.files import exists
from ngbench.errors import RecordError
from ngbench.records.differences import differing_fields
from ngbench.records.record import RunRecord
from ngbench.records.store import IDENTITY, Store
from ngbench.running.checkpoint import load_checkpoint
from ngbench.running.schedule import PlannedRun

__all__ = ["with_output"]

_OVER = ("done", "diverged", "timeout")


def with_output(groups: Sequence[Sequence[PlannedRun]], store: Store) -> list[list[PlannedRun]]:
    """The planned runs, each told where to write its checkpoint and what it goes on from.

    The record of a run that is over according to its checkpoint is written: its process died between the two.

    Raises:
        RecordError: a record or checkpoint is corrupt, or belongs to another run.
        OutputError: a record cannot be written.
    """
    found = store.match([run.record for group in groups for run in group])
    resumed = [
        [_resumed(run, store, found.get((run.config.label, run.config.seed))) for run in group] for group in groups
    ]
    for group in resumed:
        for run in group:
            # What is wrong with any run is said before anything is changed.
            held = found.get(_key(run))
            if run.record.status in _OVER and (held is None or held.status not in _OVER):
                store.write(run.record)
    return resumed


def _key(run: PlannedRun) -> tuple[str, int]:
    return run.config.label, run.config.seed


def _resumed(run: PlannedRun, store: Store, record: RunRecord | None) -> PlannedRun:
    path = store.checkpoint_path(run.config.label, run.config.seed)
    config = replace(run.config, checkpoint=path)
    if record is not None and record.status in _OVER:
        return PlannedRun(config, record, run.record)
    if not exists(path):
        if record is not None and record.history.epoch:
            raise RecordError(f"the checkpoint {str(path)!r} is missing; delete the run's record to start it again")
        return PlannedRun(config, run.record)
    # Written before the record, so it may be one epoch ahead; it is behind where a disk kept the record alone.
    state = load_checkpoint(path)
    differences = list(differing_fields(state.record, run.record, IDENTITY))
    if state.record.label != run.config.label:
        differences.insert(0, f"label is {state.record.label!r} there and {run.config.label!r} here")
    if differences:
        raise RecordError(f"the checkpoint {str(path)!r} is that of another run: {'; '.join(differences)}")
    if not state.record.history.epoch:
        raise RecordError(f"the checkpoint {str(path)!r} is that of a run that has not finished an epoch; delete it")
    if state.record.status in _OVER:
        return PlannedRun(config, state.record, run.record)
    return PlannedRun(replace(config, resume=True), state.record.model_copy(update={"message": None}), run.record)
