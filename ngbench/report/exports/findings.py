"""What a document holds beside runs, as rows: trials, claims, comparisons with a baseline, findings, checks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ngbench.records.record import Document

__all__ = ["finding_rows"]


def finding_rows(document: Document) -> list[dict[str, Any]]:
    """A row for each trial of a search, claim of a study, metric and arm of a check, finding of ``ngbench doctor``, or
    check of a plugin; none of a document of runs.

    The columns are named as in the record. A trial has ``setting.NAME`` for each hyper-parameter that was searched, a
    claim the ends of its interval as ``low`` and ``high``.
    """
    return [*_rows(document)]


def _rows(document: Document) -> Iterator[dict[str, Any]]:
    if document.search is not None:
        for label, arm in document.search.arms.items():
            for trial in arm.trials:
                row = trial.model_dump(mode="json")
                settings = {f"setting.{name}": value for name, value in row.pop("settings").items()}
                yield {"arm": label, "optimizer": arm.optimizer, "trial": row.pop("trial"), **settings, **row}
    for study in document.studies:
        for claim in study.claims:
            row = claim.model_dump(mode="json", exclude={"parts", "interval"})
            low, high = claim.interval or (None, None)
            yield {**row, "low": low, "high": high, "scale": study.scale}
    if document.gate is not None:
        yield from (found.model_dump(mode="json") for found in document.gate.comparisons)
    if document.doctor is not None:
        yield from (found.model_dump(mode="json") for found in document.doctor.findings)
    if document.conformance is not None:
        for plugin in document.conformance.plugins:
            about = {"plugin": plugin.plugin, "kind": plugin.kind, "distribution": plugin.distribution}
            yield from ({**about, **check.model_dump(mode="json")} for check in plugin.checks)
