"""What a document holds beside runs, as rows: trials, claims, changes from a baseline, findings, checks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ngbench.records.record import Document
from ngbench.records.studies import ClaimVerdict

__all__ = ["FINDINGS", "Row", "named"]

Row = dict[str, Any]


def named(kind: str, values: Mapping[str, Any]) -> Row:
    """A column ``KIND.NAME`` for each value."""
    return {f"{kind}.{name}": value for name, value in values.items()}


def _trials(document: Document, reference: str | None) -> Iterator[Row]:
    search = document.search
    for label, arm in () if search is None else search.arms.items():
        assert search is not None
        for trial in arm.trials:
            yield {
                "task": search.task,
                **named("option", search.task_options),
                "arm": label,
                "optimizer": arm.optimizer,
                "trial": trial.trial,
                **named("hyperparameter", trial.settings),
                "outcome": trial.outcome,
                "metric": search.metric,
                "value": trial.value,
                "seconds": trial.seconds,
                "steps": trial.steps,
                "message": trial.message,
            }


def _claims(document: Document, reference: str | None) -> Iterator[Row]:
    for study in document.studies:
        for claim in study.claims:
            low, high = claim.interval or (None, None)
            about = {
                "study": study.study,
                "scale": study.scale,
                "claim": claim.claim,
                "name": claim.name,
                "kind": claim.kind,
                "verdict": claim.verdict.value,
                "reason": claim.reason,
                "cells": claim.cells,
                "cells_tested": claim.cells_tested,
                "seeds_needed": claim.seeds_needed,
                "thesis_here": _word(claim.published.here),
                "thesis_at_end": _word(claim.published.end),
                "p_value": claim.p_value,
                "low": low,
                "high": high,
            }
            for part in claim.parts:
                least, most = part.interval or (None, None)
                yield {
                    **about,
                    "subject": part.subject,
                    "subject_verdict": part.verdict.value,
                    "left": part.left,
                    "right": part.right,
                    "scale": part.scale,
                    "effect": part.effect,
                    "effect.low": least,
                    "effect.high": most,
                    "effect.n": part.n,
                    "tolerance": part.tolerance,
                    "note": part.note,
                }
            if not claim.parts:
                yield about


def _word(verdict: ClaimVerdict | None) -> str | None:
    return None if verdict is None else verdict.value


def _changes(document: Document, reference: str | None) -> Iterator[Row]:
    if document.gate is not None:
        yield from (found.model_dump(mode="json") for found in document.gate.comparisons)


def _findings(document: Document, reference: str | None) -> Iterator[Row]:
    if document.doctor is not None:
        yield from (found.model_dump(mode="json") for found in document.doctor.findings)


def _checks(document: Document, reference: str | None) -> Iterator[Row]:
    if document.conformance is not None:
        for plugin in document.conformance.plugins:
            about = {"plugin": plugin.plugin, "kind": plugin.kind, "distribution": plugin.distribution}
            yield from ({**about, **check.model_dump(mode="json")} for check in plugin.checks)


FINDINGS: dict[str, Callable[[Document, str | None], Iterable[Row]]] = {
    "trials": _trials,
    "claims": _claims,
    "changes": _changes,
    "findings": _findings,
    "checks": _checks,
}
"""What makes the rows of each table, of a document; a reference arm means nothing to them."""
