"""The document as JSON, CSV and Markdown. The destination ``-`` is standard output."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ngbench.disk.files import write_text
from ngbench.escaping import markdown, markdown_code
from ngbench.records.documents import dump
from ngbench.records.endings import early_stop
from ngbench.records.quantities import ArmRun, quantity_of
from ngbench.records.record import Document, RunRecord
from ngbench.records.timing import busy_machine
from ngbench.report.advice import find_warnings
from ngbench.report.columns import (
    Column,
    format_breakdown,
    format_cost,
    format_hyperparameters,
    format_notes,
    format_progress,
)
from ngbench.report.diagnostics import format_diagnostics
from ngbench.report.heading import arm_descriptions, data_descriptions, describe_conditions
from ngbench.report.summary import recorded_target, shared_seconds, summarise
from ngbench.report.update_costs import format_update_costs

__all__ = [
    "export_csv",
    "export_json",
    "export_markdown",
    "format_csv",
    "format_markdown",
    "format_table",
]


def export_json(document: Document, destination: str | Path) -> None:
    """Write the document as JSON that follows the schema of ``ngbench schema``.

    Raises:
        OutputError: the destination cannot be written.
    """
    write_text(dump(document), destination)


def export_csv(document: Document, destination: str | Path) -> None:
    """Write one row per run and epoch; see :func:`format_csv`.

    Raises:
        OutputError: the destination cannot be written.
    """
    write_text(format_csv(document), destination)


def export_markdown(
    document: Document,
    destination: str | Path,
    *,
    reference: str | None = None,
    target_loss: float | None = None,
) -> None:
    """Write the comparison's tables as GitHub tables.

    Raises:
        OutputError: the destination cannot be written.
        NotComparableError: the runs belong to different tasks.
        UnknownNameError: no arm has the reference's label.
    """
    write_text(format_markdown(document, reference=reference, target_loss=target_loss), destination)


def format_csv(document: Document) -> str:
    """Tidy CSV: one row per run and epoch, one column per variable.

    A run that finished no epoch has one row, empty from ``epoch`` on. A number that does not exist is an
    empty field. Hyper-parameters are a JSON object; a metric's column is ``metric.NAME``, that of a task's metric
    on training data ``training_metric.NAME``. ``stopped_early`` is ``true`` in a run that early stopping ended, whose
    ``status`` is ``done``; ``busy_machine`` in one that was measured on a busy machine, where more than half of the
    steps were interrupted.
    """
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


def format_markdown(document: Document, *, reference: str | None = None, target_loss: float | None = None) -> str:
    """What ``print_comparison`` prints, as Markdown with GitHub tables."""
    target = recorded_target(document) if target_loss is None else target_loss
    arms = summarise(document, reference=reference, target_loss=target)
    if not arms:
        return "No runs.\n"
    task = document.runs[0]
    title = f"## {markdown(' '.join([task.task, format_hyperparameters(task.task_options)]))}"
    facts = [f"- Data: {markdown(described)}" for _, described in data_descriptions(document)]
    facts.append(f"- {markdown(describe_conditions(document))}")
    facts += [f"- {markdown_code(label)}: {markdown(described)}" for label, described in arm_descriptions(document)]
    parts = [title, "\n".join(facts)]
    parts += ["### Progress", format_table(format_progress(arms, target, shared_seconds(document)))]
    parts += ["### Cost", format_table(format_cost(arms))]
    for arm in arms:
        if arm.phases:
            parts += [f"### Cost per update: {markdown(arm.label)}", format_table(format_breakdown(arm))]
    if diagnostics := format_diagnostics(arms):
        parts += ["### Diagnostics", format_table(diagnostics)]
    if update_costs := format_update_costs(arms):
        parts += ["### Cost per update, measured and predicted", format_table(update_costs)]
    remarks = [f"- {markdown(note)}" for note in format_notes(arms)]
    remarks += [
        f"- **Warning:** {markdown(warning)}"
        for warning in find_warnings(document, reference=reference, target_loss=target)
    ]
    parts.append("\n".join(remarks))
    return "\n\n".join(part for part in parts if part) + "\n"


def format_table(columns: Sequence[Column]) -> str:
    """The columns as a GitHub table."""
    from tabulate import tabulate

    headers = [markdown(column.name) for column in columns]
    rows = zip(*([markdown(cell) for cell in column.cells] for column in columns), strict=True)
    align = ["left" if column.left else "right" for column in columns]
    return str(tabulate(list(rows), headers, tablefmt="github", colalign=align, disable_numparse=True))
