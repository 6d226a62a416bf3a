"""Going on with what an output directory holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ngbench.errors import RecordError
from ngbench.results.store import Store
from ngbench.training.checkpoint import load_checkpoint
from ngbench.training.schedule import PlannedRun

__all__ = ["with_output"]

_OVER = ("done", "diverged", "timeout")


def with_output(groups: Sequence[Sequence[PlannedRun]], store: Store) -> list[list[PlannedRun]]:
    """The planned runs, each told where to write its checkpoint and what it goes on from.

    Raises:
        RecordError: a record or checkpoint is corrupt, or belongs to another run.
    """
    found = store.match([run.record for group in groups for run in group])

    def resumed(run: PlannedRun) -> PlannedRun:
        label, seed = run.config.label, run.config.seed
        path = store.checkpoint_path(label, seed)
        config = replace(run.config, checkpoint=path)
        record = found.get((label, seed))
        if record is None:
            return PlannedRun(config, run.record)
        if record.status in _OVER:
            return PlannedRun(config, record)
        if not path.exists():
            if record.history.epoch:
                raise RecordError(f"the checkpoint {str(path)!r} is missing; delete the run's record to start it again")
            return PlannedRun(config, run.record)
        # The checkpoint may be one epoch ahead of the record, never behind it.
        state = load_checkpoint(path)
        if state.record.status in _OVER:
            return PlannedRun(config, state.record)
        return PlannedRun(replace(config, resume=True), state.record.model_copy(update={"message": None}))

    return [[resumed(run) for run in group] for group in groups]
