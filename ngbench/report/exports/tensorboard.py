"""Runs as event files, which TensorBoard shows: a directory for each run, tags with the names of quantities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import accumulate
from pathlib import Path

from ngbench.arms import file_slug
from ngbench.disk.files import make_directory
from ngbench.records.quantities import ArmRun, quantity_of
from ngbench.records.record import Document, RunRecord

__all__ = ["write_events"]


def write_events(sections: Sequence[tuple[str, Document]], directory: Path) -> None:
    """Write losses, metrics, step times and diagnostics of each run by step, and when they were known.

    Args:
        sections: documents and what tells them apart, which names a directory where there are several.
        directory: is made.

    Raises:
        OutputError: it cannot be written.
    """
    for title, document in sections:
        place = directory / file_slug(title) if len(sections) > 1 else directory
        for run in document.runs:
            _write(run, place / f"{file_slug(run.label)}-seed{run.seed}")


def _write(run: RunRecord, directory: Path) -> None:
    # TensorBoard takes seconds to start.
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    make_directory(directory)
    begun = datetime.fromisoformat(run.started_at).timestamp() if run.started_at else 0.0
    settings = {**run.task_options, **run.optimizer.hyperparameters}
    told = {name: value if isinstance(value, bool | int | float) else str(value) for name, value in settings.items()}
    writer = EventFileWriter(str(directory))
    try:
        writer.add_event(Event(wall_time=begun, summary=hparams_pb({"optimizer": run.optimizer.name, **told})))
        for name, step, seconds, value in _measured(run):
            if value is not None:
                summary = Summary(value=[Summary.Value(tag=name, simple_value=value)])
                writer.add_event(Event(wall_time=begun + seconds, step=step, summary=summary))
    finally:
        writer.close()


def _measured(run: RunRecord) -> Iterator[tuple[str, int, float, float | None]]:
    """Name, step, seconds since the run began and value of all that was measured along the run."""
    history = run.history
    metrics = [f"metric.{name}" for name in history.metrics]
    metrics += [f"training_metric.{name}" for name in history.training_metrics]
    for name in ("training_loss", "validation_loss", *metrics):
        for at, point in enumerate(quantity_of(name).points(ArmRun(run))):
            yield name, history.step[at], history.elapsed_seconds[at], point.value
    elapsed = [0.0, *accumulate(run.steps.seconds)]
    series = {f"diagnostic.{name}": run.diagnostic(name) for name in run.diagnostics}
    series["step_time"] = list(enumerate(run.steps.seconds, 1))
    series["training_loss"] = [(at, loss) for at, loss in enumerate(run.step_losses, 1) if loss is not None]
    for error in run.fisher_errors:
        for name, curve in error.approximations.items():
            for which in ("error_1", "error_2"):
                values = zip(error.steps, getattr(curve, which), strict=True)
                series[f"layer {error.layer}/{which}/{name}"] = list(values)
    for name, found in series.items():
        for step, value in found:
            yield name, step, elapsed[min(step, len(elapsed) - 1)], value
