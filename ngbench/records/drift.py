"""What changed little by little: a straight line through each metric of many records, over time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from scipy.special import stdtrit

from ngbench.errors import RecordError
from ngbench.records.experiments import ComparedRecord, GateRecord
from ngbench.records.gate import STATUS, check
from ngbench.records.record import Document
from ngbench.records.statistics import GATE_CONFIDENCE
from ngbench.records.thresholds import Threshold
from ngbench.records.verdict import Change, judge

__all__ = ["drift"]

_WEEK = timedelta(weeks=1)
_FEWEST = 3


def drift(current: Document, earlier: Sequence[Document], thresholds: Sequence[Threshold], **rules: Any) -> GateRecord:
    """How each metric changed in the course of the records.

    The change is that of the least-squares line from the first record to the last, and its interval Student's from
    what lies off the line, ``n - 2`` degrees of freedom: what differs between days and processes is in it.

    Args:
        current: the last one; where each of the others cannot be compared with it, that one is left out.
        earlier: in any order.
        thresholds: how much may be between the ends of the line.
        rules: as :func:`~ngbench.records.gate.check` has them.

    Raises:
        RecordError: a document does not say when its runs began.
        UnknownNameError: an arm that is in no document.
    """
    ordered = sorted(earlier, key=began)
    reports = [check(current, document, thresholds, **rules) for document in ordered]
    strict = reports[-1].fail_on_inconclusive
    points: dict[tuple[str, str, str | None], list[tuple[datetime, ComparedRecord]]] = {}
    for document, report in zip(ordered, reports, strict=True):
        for found in report.comparisons:
            if found.metric != STATUS and found.baseline is not None:
                points.setdefault((found.metric, found.arm, found.threshold), []).append((began(document), found))
    by_text = {threshold.text: threshold for threshold in thresholds}
    lines = [_line(found, began(current), by_text[text or ""]) for (_, _, text), found in points.items()]
    problems = Counter(problem for report in reports for problem in dict.fromkeys(map(str, report.not_comparable)))
    always = [problem for problem in reports[-1].not_comparable if problems[str(problem)] == len(reports)]
    notes = [
        f"Of {len(reports)} earlier records {count} left out: {problem}."
        for problem, count in problems.items()
        if count < len(reports)
    ]
    return GateRecord(
        comparisons=[*(found for found in reports[-1].comparisons if found.metric == STATUS), *lines],
        not_comparable=always,
        notes=list(dict.fromkeys([*notes, *(note for report in reports for note in report.notes)])),
        fail_on_inconclusive=strict,
        history=len(reports) + 1,
    )


def began(document: Document) -> datetime:
    """When the first of the runs did."""
    try:
        # Python 3.10 does not know the letter.
        return min(datetime.fromisoformat(str(run.started_at).replace("Z", "+00:00")) for run in document.runs)
    except (ValueError, TypeError):
        raise RecordError("a record of the history does not say when its runs began") from None


def _line(found: Sequence[tuple[datetime, ComparedRecord]], now: datetime, threshold: Threshold) -> ComparedRecord:
    """The change along the line through the values of a metric of an arm."""
    last = found[-1][1]
    times = [*(at for at, _ in found), now]
    values = [compared.baseline for _, compared in found] + [last.current]
    known = [(at, value) for at, value in zip(times, values, strict=True) if value is not None]
    if last.current is None:
        change = Change(known[0][1], None, None, None, len(known), note=last.note or "")
    else:
        change = trend([(at - known[0][0]) / _WEEK for at, _ in known], [value for _, value in known])
    # The limit has the absolute floor of times in it.
    allowed = Threshold(threshold.metric, last.limit or 0.0, False, threshold.text)
    return last.model_copy(
        update={
            "verdict": judge(change, allowed),
            "baseline": change.baseline,
            "current": change.current,
            "relative_change": change.relative,
            "low": change.low,
            "high": change.high,
            "n": change.n,
            "note": change.note or None,
        }
    )


def trend(weeks: Sequence[float], values: Sequence[float]) -> Change:
    """The change along the least-squares line from the first of the values to the last, which stand in their order."""
    n, span = len(values), weeks[-1] - weeks[0]
    if n < _FEWEST or span <= 0:
        note = f"no line: it takes {_FEWEST} records of different times, here are {n}"
        return Change(values[0], values[-1], None, None, n, note=note)
    centred, height = np.subtract(weeks, np.mean(weeks)), np.subtract(values, np.mean(values))
    squares = float(centred @ centred)
    slope = float(centred @ height) / squares
    rest = height - slope * centred
    error = span * math.sqrt(float(rest @ rest) / (n - 2) / squares)
    half = float(stdtrit(n - 2, (1 + GATE_CONFIDENCE) / 2)) * error
    first, rise = float(np.mean(values) + slope * centred[0]), slope * span
    rate = f"{100 * slope / first:+.2g} % a week" if first > 0 else f"{slope:+.2g} a week"
    return Change(first, first + rise, rise - half, rise + half, n, note=f"{rate}, {n} records of {span:.1f} weeks")
