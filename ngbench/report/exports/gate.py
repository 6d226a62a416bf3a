"""The comparison with a baseline for programs: JSON, and annotations of GitHub's workflow log."""

from __future__ import annotations

import json
from typing import Any

from ngbench.escaping import workflow_command
from ngbench.records.gate import Comparison, Report
from ngbench.records.verdict import Verdict
from ngbench.report.views.gate import Row, rows
from ngbench.units import DASH

__all__ = ["format_annotations", "format_report_json"]

_VERSION = 1


def format_report_json(report: Report) -> str:
    """The report as JSON text that ends in a newline.

    Keys: ``schema_version``, ``exit_code``, ``comparisons`` (each with ``metric``, ``arm``, ``verdict``, ``baseline``,
    ``current``, ``relative_change``, ``low`` and ``high`` of the difference, ``n``, ``limit`` and ``unit`` of these
    numbers, ``threshold``, ``note``), ``not_comparable`` (``subject``, ``reason``) and ``notes``. A number that does
    not exist is null.
    """
    content = {
        "schema_version": _VERSION,
        "exit_code": 0 if report.error is None else report.error.exit_code,
        "comparisons": [_comparison(found) for found in report.comparisons],
        "not_comparable": [{"subject": problem.subject, "reason": problem.reason} for problem in report.problems],
        "notes": list(report.notes),
    }
    return json.dumps(content, indent=1) + "\n"


def _comparison(found: Comparison) -> dict[str, Any]:
    change = found.change
    return {
        "metric": found.metric,
        "arm": found.arm,
        "verdict": found.verdict.value,
        "baseline": change.baseline if change else None,
        "current": change.current if change else None,
        "relative_change": change.relative if change else None,
        "low": change.low if change else None,
        "high": change.high if change else None,
        "n": change.n if change else None,
        "limit": found.limit if change else None,
        "unit": found.unit,
        "threshold": found.threshold or None,
        "note": found.note or None,
    }


def format_annotations(report: Report) -> str:
    """One workflow command a line: an error for each regression, a warning for what no one can tell.

    See "Workflow commands for GitHub Actions" in GitHub's documentation.
    """
    inconclusive = "error" if report.fail_on_inconclusive else "warning"
    levels = {Verdict.WORSE: "error", Verdict.INCONCLUSIVE: inconclusive}
    lines = [
        workflow_command(levels[row.verdict], f"ngbench: {row.metric} of {row.arm}", _message(row))
        for row in rows(report)
        if row.verdict in levels
    ]
    lines += [
        workflow_command("error", "ngbench: not comparable", f"{problem.subject}: {problem.reason}")
        for problem in report.problems
    ]
    return "".join(f"{line}\n" for line in lines)


def _message(row: Row) -> str:
    if row.allowed == DASH:
        return f"{row.verdict.value}: {row.note}"
    message = f"{row.verdict.value}: {row.baseline} before, {row.current} now, {row.change}, {row.allowed} allowed"
    return f"{message}; {row.note}" if row.note else message
