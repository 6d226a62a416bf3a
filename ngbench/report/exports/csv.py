"""The document as CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

from ngbench.records.endings import early_stop
from ngbench.records.quantities import ArmRun, quantity_of
from ngbench.records.record import Document, RunRecord
from ngbench.records.timing import busy_machine

__all__ = ["format_csv", "rows_of"]


def format_csv(document: Document) -> str:
    """Tidy CSV: one row per run and epoch, one column per variable.

    A run that finished no epoch has one row, empty from ``epoch`` on. A number that does not exist is an
    empty field. Hyper-parameters are a JSON object; a metric's column is ``metric.NAME``, that of a task's metric
    on training data ``training_metric.NAME``. ``stopped_early`` is ``true`` in a run that early stopping ended, whose
    ``status`` is ``done``; ``busy_machine`` in one that was measured on a busy machine, where more than half of the
    steps were interrupted. Fisher errors have one row per layer, approximation and measured step.
    """
    if document.kind == "fisher-error":
        names: Sequence[str] = _FISHER_FIELDS
    else:
        metrics = list(dict.fromkeys(name for run in document.runs for name in _metrics(run)))
        names = [*_RUN_FIELDS, *_EPOCH_FIELDS, *sorted(metrics, key=lambda name: name.startswith("training_"))]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for row in rows_of(document):
        writer.writerow({name: str(value).lower() if isinstance(value, bool) else value for name, value in row.items()})
    return text.getvalue()


def rows_of(document: Document) -> list[dict[str, Any]]:
    """The rows of :func:`format_csv` as mappings from columns to values; a column that a row lacks is left out."""
    if document.kind == "fisher-error":
        return list(_fisher_errors(document))
    return [{**_describe(run), **epoch} for run in document.runs for epoch in _epochs(run) or [{}]]


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
        "stopped_early": early_stop(run) is not None,
        "busy_machine": bool(busy_machine([run])),
    }


def _epochs(run: RunRecord) -> list[dict[str, Any]]:
    names = [*_EPOCH_QUANTITIES, *_metrics(run)]
    columns: dict[str, Sequence[Any]] = {"epoch": run.history.epoch, "step": run.history.step}
    columns |= {name: [point.value for point in quantity_of(name).points(ArmRun(run))] for name in names}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _metrics(run: RunRecord) -> list[str]:
    measured = {"metric": run.history.metrics, "training_metric": run.history.training_metrics}
    return [f"{kind}.{name}" for kind, values in measured.items() for name in values]


_FISHER_FIELDS = ("seed", "layer", "layer_name", "approximation", "step", "error_1", "error_2", "iterations", "seconds")


def _fisher_errors(document: Document) -> Iterator[dict[str, Any]]:
    for seed, error in ((run.seed, error) for run in document.runs for error in run.fisher_errors):
        for name, curve in error.approximations.items():
            unknown = [None] * len(error.steps)
            taken = (curve.iterations or unknown, curve.seconds or unknown)
            for row in zip(error.steps, curve.error_1, curve.error_2, *taken, strict=True):
                yield dict(zip(_FISHER_FIELDS, [seed, error.layer, error.layer_name, name, *row], strict=True))
