"""A comparison with a baseline: what got better, worse or stayed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ngbench.records.experiments import ComparedRecord, GateRecord, Verdict
from ngbench.records.quantities import ANY
from ngbench.records.record import Document
from ngbench.report.blocks import (
    Bars,
    Block,
    ChangeRow,
    Changes,
    Chart,
    Column,
    Conclusion,
    Facts,
    Heading,
    Notes,
    Table,
    Warnings,
    tone_of,
)
from ngbench.report.views import comparison
from ngbench.units import DASH, format_bytes, format_count, format_number, format_seconds

__all__ = ["Row", "headline", "rows", "view"]


@dataclass(frozen=True)
class Row:
    """A line of the table; ``verdict`` decides how it is shown."""

    metric: str
    arm: str
    baseline: str
    current: str
    change: str
    allowed: str
    verdict: Verdict
    note: str


def rows(report: GateRecord) -> list[Row]:
    """One row for each comparison; those of a threshold for all phases that found nothing are one row an arm."""
    same: dict[tuple[str | None, str], int] = {}
    for found in report.comparisons:
        if _is_folded(found):
            key = (found.threshold, found.arm)
            same[key] = same.get(key, 0) + 1
    shown: list[Row] = []
    for found in report.comparisons:
        if not _is_folded(found):
            shown.append(_row(found))
        elif count := same.pop((found.threshold, found.arm), 0):
            metric = f"{(found.threshold or '').rpartition(':')[0]} ({count})"
            shown.append(Row(metric, found.arm, DASH, DASH, DASH, _allowed(found), Verdict.SAME, ""))
    return shown


def view(document: Document, *, reference: str | None = None, target_loss: float | None = None) -> list[Block]:
    """What got better, worse or stayed, what could not be compared, and the outcome in one line; before that, what ran
    and its charts, if the document holds the runs."""
    report = document.gate
    assert report is not None
    blocks: list[Block] = []
    if document.runs:
        shown = comparison.view(document, reference=reference, target_loss=target_loss)
        blocks += [*(block for block in shown if isinstance(block, Facts | Chart | Bars)), Heading("Verdict")]
    if report.comparisons:
        blocks.append(Table("", check_table(report), parted_by="arm"))
    if changes := [*_changes(report)]:
        caption = "Change of each metric from the baseline, with its interval and what is allowed."
        blocks.append(Changes("changes", caption, changes, "change from the baseline (%)", about=[outcome(report)]))
    blocks.append(Notes(remarks(report)))
    problems = [str(problem) for problem in report.not_comparable]
    blocks.append(Warnings(problems, word="Not comparable", tone="bad"))
    return [*blocks, Conclusion(outcome(report), "good" if report.error is None else "bad")]


def _changes(report: GateRecord) -> Iterator[ChangeRow]:
    """The changes in per cent, of all that have a baseline other than 0."""
    for found in report.comparisons:
        if found.relative_change is None or not found.baseline:
            continue
        percent = 100 / abs(found.baseline)
        ends = None if found.low is None or found.high is None else (percent * found.low, percent * found.high)
        limit = None if found.limit is None else percent * found.limit
        tone = tone_of(found.verdict.value) or "none"
        yield ChangeRow(f"{found.metric}, {found.arm}", 100 * found.relative_change, ends, limit, tone)


def check_table(report: GateRecord) -> list[Column]:
    """One row for each comparison; an interval stands below its change where there is no room beside it."""
    found = rows(report)
    return [
        Column("metric", [row.metric for row in found], left=True),
        Column("arm", [row.arm for row in found], left=True),
        Column("baseline", [row.baseline for row in found]),
        Column("now", [row.current for row in found]),
        Column("change", [row.change.replace(" (", "\n(") for row in found]),
        Column("allowed", [row.allowed for row in found]),
        Column("verdict", [row.verdict.value for row in found], left=True, toned=True),
    ]


def remarks(report: GateRecord) -> list[str]:
    """What there is to say of single comparisons, then of all: one sentence each."""
    said: dict[tuple[str, str], list[str]] = {}
    for row in rows(report):
        if row.note:
            said.setdefault((row.arm, row.note.rstrip(".")), []).append(row.metric)
    return [*(f"{arm}, {', '.join(metrics)}: {note}." for (arm, note), metrics in said.items()), *report.notes]


def outcome(report: GateRecord) -> str:
    """The outcome in one line: ``Worse than the baseline: 1 worse, 8 the same, 2 inconclusive.``

    Where what is inconclusive fails, it is named.
    """
    if not report.comparisons and not report.not_comparable:
        return "Nothing was compared."
    than = "than the baseline" if report.history is None else f"in the course of {report.history} records"
    counts = {verdict: sum(found.verdict is verdict for found in report.comparisons) for verdict in Verdict}
    parts = [f"{count} {_WORDS[verdict]}" for verdict, count in counts.items() if count]
    if report.not_comparable:
        parts.append(f"{len(report.not_comparable)} not comparable")
    doubtful = ", ".join(str(found) for found in report.regressions if found.verdict is Verdict.INCONCLUSIVE)
    if counts[Verdict.WORSE]:
        head = f"Worse {than}"
    elif doubtful:
        head = "Inconclusive, which fails here"
    elif report.not_comparable:
        head = "Not comparable" if report.history else "Not comparable with the baseline"
    else:
        head = "No regression"
    told = f"{head}: {', '.join(parts)}."
    return f"{told} Noise hides {doubtful}." if doubtful else told


_WORDS = {
    Verdict.WORSE: "worse",
    Verdict.BETTER: "better",
    Verdict.SAME: "the same",
    Verdict.INCONCLUSIVE: "inconclusive",
}


def format_value(value: float | None, unit: str) -> str:
    """A number of a metric.

    >>> format_value(0.00125, "seconds"), format_value(None, "number"), format_value(12.0, "number")
    ('1.25 ms', '—', '12')
    """
    if value is None:
        return DASH
    return _FORMATS[unit](value)


def _format_plain(value: float) -> str:
    if value == round(value):
        return format_count(value) if abs(value) >= 1e6 else f"{value:.0f}"
    return format_number(value, 4)


_FORMATS: dict[str, Callable[[float], str]] = {
    "seconds": format_seconds,
    "bytes": format_bytes,
    "ratio": lambda value: format_number(value, 4),
    "number": _format_plain,
}


def _describe_change(found: ComparedRecord) -> str:
    """The change relative to the baseline and its interval: ``+9.7 % (+8.1 to +11.3)``."""
    if found.baseline is None or found.current is None:
        return DASH
    if found.relative_change is None:
        difference = found.current - found.baseline
        return f"{'+' if difference >= 0 else '−'}{format_value(abs(difference), found.unit)}"
    shown = f"{_percent(found.relative_change)} %"
    if found.low is None or found.high is None or found.low == found.high:
        return shown
    ends = (_percent(end / abs(found.baseline)) for end in (found.low, found.high))
    return f"{shown} ({' to '.join(ends)})"


def _percent(part: float) -> str:
    percent = 100 * part
    # A tenth of a per cent is below what is measured, but a count that changed at all must not look unchanged.
    shown = f"{percent:+.1f}" if abs(percent) >= 0.05 or percent == 0 else f"{percent:+.1g}"
    return f"−{shown[1:]}" if shown.startswith("-") else shown


def _row(found: ComparedRecord) -> Row:
    return Row(
        metric=found.metric,
        arm=found.arm,
        baseline=format_value(found.baseline, found.unit),
        current=format_value(found.current, found.unit),
        change=_describe_change(found),
        allowed=_allowed(found),
        verdict=found.verdict,
        note=found.note or "",
    )


def _allowed(found: ComparedRecord) -> str:
    return DASH if found.threshold is None else f"+{found.threshold.rpartition(':')[2].strip()}"


def _is_folded(found: ComparedRecord) -> bool:
    return found.threshold is not None and ANY in found.threshold and found.verdict is Verdict.SAME and not found.note


def headline(document: Document) -> str:
    """The outcome in one line, and what it is that fails."""
    assert document.gate is not None
    error = document.gate.error
    return outcome(document.gate) + (f" {str(error)[0].upper()}{str(error)[1:]}." if error is not None else "")
