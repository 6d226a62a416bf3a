"""The document as CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from ngbench.records.endings import early_stop
from ngbench.records.quantities import ArmRun, quantity_of
from ngbench.records.record import Document, RunRecord
from ngbench.records.timing import busy_machine

__all__ = ["format_csv"]


def format_csv(document: Document) -> str:
    """Tidy CSV: one row per run and epoch, one column per variable.

    A run that finished no epoch has one row, empty from ``epoch`` on. A number that does not exist is an
    empty field. Hyper-parameters are a JSON object; a metric's column is ``metric.NAME``, that of a task's metric
    on training data ``training_metric.NAME``. ``stopped_early`` is ``true`` in a run that early stopping ended, whose
    ``status`` is ``done``; ``busy_machine`` in one that was measured on a busy machine, where more than half of the
    steps were interrupted. Fisher errors have one row per layer, approximation and measured step.
    """
    if document.kind == "fisher-error":
        return _fisher_errors(document)
    metrics = list(dict.fromkeys(name for run in document.runs for name in _metrics(run)))
    metrics.sort(key=lambda name: name.startswith("training_"))
    text = io.StringIO()
    writer = csv.DictWriter(text, [*_RUN_FIELDS, *_EPOCH_FIELDS, *metrics])
    writer.writeheader()
    for run in document.runs:
        described = _describe(run)
        writer.writerows({**described, **epoch} for epoch in _epochs(run) or [{}])
    return text.getvalue().replace("\r\n", "\n")


_RUN_FIELDS = (
    "label",
    "task",
    "optimizer",
    "hyperparameters",
    "seed",
    "data",
    "data_origin",
    "device",
    "dtype",
    "threads",
    "batch_size",
    "status",
    "stopped_early",
    "busy_machine",
)
_EPOCH_QUANTITIES = ("training_loss", "validation_loss", "elapsed_seconds")
_EPOCH_FIELDS = ("epoch", "step", *_EPOCH_QUANTITIES)


def _describe(run: RunRecord) -> dict[str, Any]:
    return {
        "label": run.label,
        "task": run.task,
        "optimizer": run.optimizer.name,
        "hyperparameters": json.dumps(run.optimizer.hyperparameters, default=str),
        "seed": run.seed,
        "data": run.data.name,
        "data_origin": run.data.origin,
        "device": run.device,
        "dtype": run.dtype,
        "threads": run.threads,
        "batch_size": run.batch_size,
        "status": run.status,
        "stopped_early": "true" if early_stop(run) is not None else "false",
        "busy_machine": "true" if busy_machine([run]) else "false",
    }


def _epochs(run: RunRecord) -> list[dict[str, Any]]:
    names = [*_EPOCH_QUANTITIES, *_metrics(run)]
    columns: dict[str, Sequence[Any]] = {"epoch": run.history.epoch, "step": run.history.step}
    columns |= {name: [point.value for point in quantity_of(name).points(ArmRun(run))] for name in names}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _metrics(run: RunRecord) -> list[str]:
    measured = {"metric": run.history.metrics, "training_metric": run.history.training_metrics}
    return [f"{kind}.{name}" for kind, values in measured.items() for name in values]


def _fisher_errors(document: Document) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["layer", "layer_name", "approximation", "step", "error_1", "error_2", "iterations", "seconds"])
    for error in (error for run in document.runs for error in run.fisher_errors):
        for name, curve in error.approximations.items():
            unknown = [None] * len(error.steps)
            taken = (curve.iterations or unknown, curve.seconds or unknown)
            values = zip(error.steps, curve.error_1, curve.error_2, *taken, strict=True)
            writer.writerows([error.layer, error.layer_name, name, *row] for row in values)
    return text.getvalue()
