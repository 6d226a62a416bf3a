"""That an optimizer continues from its state as if nothing had happened."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

from ngbench.errors import RecordError, one_line
from ngbench.experiments.conformance.outcome import CheckFailed, Passed
from ngbench.experiments.conformance.trial import OptimizerSubject, Trial, differ
from ngbench.records.record import RunRecord
from ngbench.running.checkpoint import load_checkpoint
from ngbench.running.config import Budget, RunConfig
from ngbench.running.plan import first_record
from ngbench.running.run import Run
from ngbench.running.supervised_training import SupervisedTraining

__all__ = ["check_resumption", "check_state_dict"]

STEPS = 4


def check_state_dict(subject: OptimizerSubject) -> Passed:
    """``load_state_dict`` into a new optimizer, in the middle of a run, changes nothing of what follows."""
    straight = Trial(subject)
    straight.run(STEPS)
    # Its own random numbers are others: what matters must be in the state.
    resumed = Trial(subject, optimizer_seed=1)
    resumed.resume(straight)
    if changed := differ(straight.parameters(), resumed.parameters()):
        raise CheckFailed(f"load_state_dict() changed the parameter {changed[0]}: it must load the state alone")
    for step in range(1, STEPS + 1):
        straight.step()
        resumed.step()
        if changed := differ(straight.parameters(), resumed.parameters()):
            raise CheckFailed(
                f"after a round trip of state_dict() step {step} differs in {changed[0]}: keep counters, averages and "
                "generators in self.state, or extend state_dict() and load_state_dict()"
            )
    return Passed(f"{STEPS} steps, reloaded, {STEPS} more: bit for bit")


def check_resumption(subject: OptimizerSubject) -> Passed:
    """A run that goes on from a checkpoint file of this tool ends as one that was not stopped."""
    with tempfile.TemporaryDirectory() as folder:
        straight = _run(subject, Path(folder) / "straight.pt", resume=False)
        record = straight.prepare()
        record = _epoch(straight, record)
        shutil.copy(Path(folder) / "straight.pt", Path(folder) / "resumed.pt")
        record = _epoch(straight, record)
        resumed = _run(subject, Path(folder) / "resumed.pt", resume=True)
        try:
            again = resumed.prepare()
        except RecordError as error:
            raise CheckFailed(
                f"{_without_path(error)}; state_dict() must hold tensors, numbers, texts and containers of them alone, "
                "and load_state_dict() take what it gave"
            ) from error
        again = _epoch(resumed, again)
        ends = [load_checkpoint(Path(folder) / f"{name}.pt").model for name in ("straight", "resumed")]
    changed = differ(ends[0], ends[1])
    if record.history.train_loss != again.history.train_loss or changed:
        where = f" in {changed[0]}" if changed else ""
        raise CheckFailed(
            f"a run resumed from a checkpoint ends elsewhere than one that was not stopped{where}: all that a later "
            "step needs must be in state_dict()"
        )
    return Passed("an epoch, a checkpoint, one more: bit for bit")


def _run(subject: OptimizerSubject, checkpoint: Path, *, resume: bool) -> Run:
    problem = Trial(subject).problem
    config = RunConfig(
        task=problem.name,
        label=subject.name,
        optimizer=subject.name,
        seed=0,
        batch_size=problem.task.batch_size,
        budget=Budget(epochs=2),
        data_dir=checkpoint.parent,
        hyperparameters=subject.hyperparameters,
        threads=torch.get_num_threads(),
        checkpoint=checkpoint,
    )
    record = first_record(config, problem, subject.plugin, parameters=0, size=0)
    return Run(SupervisedTraining(replace(config, resume=resume), problem), record)


def _epoch(run: Run, record: RunRecord) -> RunRecord:
    if record.status not in ("running", "done"):
        raise CheckFailed(f"the run became {record.status}: {record.message}")
    return run.epoch()


def _without_path(error: RecordError) -> str:
    text = one_line(error)
    return "the checkpoint" + text[text.rindex("'") + 1 :] if text.startswith("the checkpoint '") else text
