"""Tables of what records say, for other programs: a row for each observation, a column for each variable.

Quantities have their names of :mod:`ngbench.records.quantities`, times are seconds and sizes bytes. ``NAME.low`` and
``NAME.high`` are the ends of an interval, ``NAME.n`` is what it rests on. What only some tasks, optimizers or runs have
is ``option.NAME``, ``hyperparameter.NAME`` or ``condition.NAME``. A number that does not exist is ``None``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ngbench.records.comparability import group_arms
from ngbench.records.endings import early_stop
from ngbench.records.quantities import ArmRun, quantity_of
from ngbench.records.record import Document, DocumentKind, RunRecord
from ngbench.records.statistics import UncertainValue
from ngbench.records.timing import busy_machine
from ngbench.report.exports.findings import FINDINGS, Row, named
from ngbench.report.summary import Arm, summarise

__all__ = ["TABLES", "TidyTable", "tidy", "tidy_sections"]

_OPEN = ("option", "hyperparameter", "condition", "metric", "training_metric", "diagnostic")
"""What columns may begin with that only some rows have."""


@dataclass(frozen=True)
class TidyTable:
    """Rows, and the names of all their columns; a row leaves out what it cannot have."""

    names: Sequence[str]
    rows: Sequence[Row]


def tidy(document: Document, name: str | None = None, *, reference: str | None = None) -> TidyTable:
    """One of :data:`TABLES` of a document.

    Args:
        document: what is told.
        name: of the table; that of what the document is about by default, which is ``epochs`` for one of runs.
        reference: label of the arm that ratios refer to; the first by default.

    Raises:
        NotComparableError: costs are asked for, and the runs belong to different tasks.
        UnknownNameError: no arm has the reference's label.
    """
    return _tabulated(TABLES[name or _default(document)](document, reference))


def tidy_sections(
    sections: Sequence[tuple[str, Document]], name: str | None = None, *, reference: str | None = None
) -> TidyTable:
    """One table of several documents; where there are several, its first column says of which a row is.

    Args:
        sections: documents, and what tells them apart.
        name: of the table; ``epochs`` by default where there are any, else as for :func:`tidy` of the first one.
        reference: label of the arm that ratios refer to in the documents that have it; the first by default.
    """
    if name is None:
        trained = any(run.kind != "fisher-error" for _, document in sections for run in document.runs)
        name = "epochs" if trained or not sections else _default(sections[0][1])
    rows: list[Row] = []
    for title, document in sections:
        known = reference if reference in {run.label for run in document.runs} else None
        section = {"section": title} if len(sections) > 1 else {}
        rows += [{**section, **row} for row in TABLES[name](document, known)]
    return _tabulated(rows)


def _default(document: Document) -> str:
    return _MAIN.get(document.kind, "epochs")


_MAIN: dict[DocumentKind, str] = {
    "fisher-error": "fisher-errors",
    "search": "trials",
    "study": "claims",
    "gate": "changes",
    "doctor": "findings",
    "conformance": "checks",
}


def _tabulated(rows: Iterable[Row]) -> TidyTable:
    """The rows as a table: each column after those that stand before it in a row, open ones beside their like."""
    found = list(rows)
    names: list[str] = []
    for keys in dict.fromkeys(map(tuple, found)):
        at = 0
        for key in keys:
            if key not in names:
                kind = key.partition(".")[0]
                alike = [place for place, name in enumerate(names) if kind in _OPEN and name.startswith(f"{kind}.")]
                names.insert(alike[-1] + 1 if alike else at, key)
            at = names.index(key) + 1
    return TidyTable(names, found)


def _settings(run: RunRecord) -> Row:
    """What all runs of an arm have in common."""
    return {
        "task": run.task,
        **named("option", run.task_options),
        "optimizer": run.optimizer.name,
        **named("hyperparameter", run.optimizer.hyperparameters),
        "data": run.data.name,
        "data_origin": run.data.origin,
        "device": run.device,
        "dtype": run.dtype,
        "threads": run.threads,
        "batch_size": run.batch_size,
        **named("condition", run.conditions),
    }


def _of_run(run: RunRecord) -> Row:
    trial = {} if run.trial is None else {"arm": run.trial.arm, "trial": run.trial.trial}
    return {
        "label": run.label,
        **trial,
        **_settings(run),
        "seed": run.seed,
        "status": run.status,
        "stopped_early": early_stop(run) is not None,
        "busy_machine": bool(busy_machine([run])),
    }


def _runs(document: Document) -> list[RunRecord]:
    """Arm by arm, as directories hold them: the runs of a command go seed by seed."""
    return [run for of_arm in group_arms(document.runs).values() for run in of_arm]


def _epochs(document: Document, reference: str | None) -> Iterator[Row]:
    for run in _runs(document):
        history, measured = run.history, ("training_loss", "validation_loss", "elapsed_seconds")
        metrics = [f"metric.{name}" for name in history.metrics]
        metrics += [f"training_metric.{name}" for name in history.training_metrics]
        columns: dict[str, Sequence[Any]] = {"epoch": history.epoch, "step": history.step}
        for name in (*measured, *metrics):
            columns[name] = [point.value for point in quantity_of(name).points(ArmRun(run))]
        # A run that finished no epoch has a row, too.
        values = list(zip(*columns.values(), strict=True)) or [(None,) * len(columns)]
        yield from ({**_of_run(run), **dict(zip(columns, row, strict=True))} for row in values)


def _steps(document: Document, reference: str | None) -> Iterator[Row]:
    for run in _runs(document):
        about, steps = _of_run(run), run.steps
        disturbed = None if steps.interrupted is None else set(steps.interrupted)
        told = {f"diagnostic.{name}": dict(run.diagnostic(name)) for name in run.diagnostics}
        last = max([len(steps.seconds), len(run.step_losses), *(step for found in told.values() for step in found)])
        for step in range(1, last + 1):
            timed = step <= len(steps.seconds)
            yield {
                **about,
                "step": step,
                "step_time": steps.seconds[step - 1] if timed else None,
                "kind": steps.kind[step - 1] if timed else None,
                "interrupted": step - 1 in disturbed if timed and disturbed is not None else None,
                "training_loss": run.step_losses[step - 1] if step <= len(run.step_losses) else None,
                **{name: found.get(step) for name, found in told.items()},
            }


def _of_arm(arm: Arm) -> Row:
    first = arm.runs[0]
    return {"label": arm.label, **_settings(first), "seeds": " ".join(str(run.seed) for run in arm.runs)}


def _interval(name: str, estimate: UncertainValue | None) -> Row:
    parts = ("low", "high", "n")
    value = None if estimate is None else estimate.value
    return {name: value, **{f"{name}.{part}": estimate and getattr(estimate, part) for part in parts}}


def _costs(document: Document, reference: str | None) -> Iterator[Row]:
    arms = summarise(document, reference=reference)
    for arm in arms:
        estimates = {
            "training_loss": arm.final,
            "best_training_loss": arm.best,
            "validation_loss": arm.validation,
            "epochs_to_target": arm.epochs_to_target,
            "seconds_to_target": arm.seconds_to_target,
            "seconds_per_epoch": arm.seconds_per_epoch,
            "step_time": arm.step,
            "step_time.plain": arm.plain,
            "step_time.refresh": arm.refresh,
            "step_time.ratio": arm.ratio,
        }
        row = {**_of_arm(arm), "reference": next(one.label for one in arms if one.is_reference)}
        row["statuses"] = " ".join(run.status for run in arm.runs)
        for name, estimate in estimates.items():
            row |= _interval(name, estimate)
        memory = {"peak_memory": arm.peak_bytes, "added_memory": arm.added_bytes}
        yield {**row, **memory, "optimizer_state": arm.optimizer_state_bytes}


def _phases(document: Document, reference: str | None) -> Iterator[Row]:
    for arm in summarise(document, reference=reference):
        for phase in arm.phases:
            yield {
                **_of_arm(arm),
                "phase": phase.name,
                "seconds": phase.seconds_per_call,
                "seconds_per_step": phase.seconds_per_step,
                "share": phase.share,
                "flops": phase.flops,
                "all_flops_known": phase.all_known,
                "bytes": phase.bytes,
                "calls": phase.calls,
            }


def _fisher_errors(document: Document, reference: str | None) -> Iterator[Row]:
    of_runs = [(_of_run(run), error) for run in _runs(document) for error in run.fisher_errors]
    for about, error in [*of_runs, *(({"task": one.task}, one) for one in document.fisher_errors)]:
        for name, curve in error.approximations.items():
            for at, step in enumerate(error.steps):
                yield {
                    **about,
                    "layer": error.layer,
                    "layer_name": error.layer_name,
                    "approximation": name,
                    "step": step,
                    "error_1": curve.error_1[at],
                    "error_2": curve.error_2[at],
                    "iterations": curve.iterations[at] if curve.iterations else None,
                    "seconds": curve.seconds[at] if curve.seconds else None,
                }


TABLES: dict[str, Callable[[Document, str | None], Iterable[Row]]] = {
    "epochs": _epochs,
    "steps": _steps,
    "costs": _costs,
    "phases": _phases,
    "fisher-errors": _fisher_errors,
    **FINDINGS,
}
"""What makes the rows of each table, of a document and the label of a reference arm."""
