"""The comparison with a baseline as annotations of GitHub's workflow log."""

from __future__ import annotations

from ngbench.escaping import workflow_command
from ngbench.records.experiments import GateRecord, Verdict
from ngbench.report.views.gate import Row, rows
from ngbench.units import DASH

__all__ = ["format_annotations"]


def format_annotations(report: GateRecord) -> str:
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
        for problem in report.not_comparable
    ]
    return "".join(f"{line}\n" for line in lines)


def _message(row: Row) -> str:
    if row.allowed == DASH:
        return f"{row.verdict.value}: {row.note}"
    message = f"{row.verdict.value}: {row.baseline} before, {row.current} now, {row.change}, {row.allowed} allowed"
    return f"{message}; {row.note}" if row.note else message
