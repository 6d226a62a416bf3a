"""What the user sees while Fisher errors are measured: a line for each measured step."""

from __future__ import annotations

from collections.abc import Sequence

from ngbench.experiments.runs import SilentObserver
from ngbench.records.record import FisherErrorRecord, RunRecord
from ngbench.report.progress.runs import Reporter

__all__ = ["FisherErrorProgress"]


class FisherErrorProgress(SilentObserver):
    """Tells the reporter of each measured step."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._told = 0

    def note(self, line: str) -> None:
        self._reporter.note(line)

    def group(self, records: Sequence[RunRecord]) -> None:
        self._told = 0

    def update(self, record: RunRecord) -> None:
        errors = record.fisher_errors
        if len(errors[0].steps) > self._told:
            self._told = len(errors[0].steps)
            self._reporter.note(_describe(record, errors))


def _describe(record: RunRecord, errors: Sequence[FisherErrorRecord]) -> str:
    parts = "; ".join(
        (f"{error.layer_name}: " if len(errors) > 1 else "")
        + ", ".join(f"{name} {curve.error_1[-1]:.4f}" for name, curve in error.approximations.items())
        for error in errors
    )
    step = errors[0].steps[-1]
    loss = record.step_losses[step - 1]
    return f"seed {record.seed}: step {step}/{record.budget.steps}, loss {loss:.5f}, Error 1: {parts}"
