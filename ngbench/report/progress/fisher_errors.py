"""What the user sees while Fisher errors are measured: lines for some of the measured steps."""

from __future__ import annotations

from collections.abc import Sequence

from ngbench.experiments.runs import SilentObserver
from ngbench.records.record import RunRecord
from ngbench.report.progress.pace import Pace
from ngbench.report.progress.runs import LINES, Reporter

__all__ = ["FisherErrorProgress"]


class FisherErrorProgress(SilentObserver):
    """Tells the reporter of measured steps: of at most so many, evenly spaced, and of what else there is."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter

    def note(self, line: str) -> None:
        self._reporter.note(line)

    def stage(self, what: str) -> None:
        self._reporter.stage(what)

    def group(self, records: Sequence[RunRecord], seed: int, seeds: int) -> None:
        self._seed = f"seed {seed} of {seeds}, " if seeds > 1 else ""
        self._pace, self._lines = Pace(), 0
        self._pace.told(0.0)

    def update(self, record: RunRecord) -> None:
        part = len(record.step_losses) / (record.budget.steps or 1)
        if record.fisher_errors[0].steps and part * LINES >= self._lines:
            self._lines = int(part * LINES) + 1
            self._reporter.note(f"{self._seed}{_describe(record)}; {self._pace.told(part)}")


def _describe(record: RunRecord) -> str:
    errors = record.fisher_errors
    parts = "; ".join(
        (f"{error.layer_name}: " if len(errors) > 1 else "")
        + ", ".join(f"{name} {curve.error_1[-1]:.4f}" for name, curve in error.approximations.items())
        for error in errors
    )
    step = errors[0].steps[-1]
    return f"step {step} of {record.budget.steps}, loss {record.step_losses[step - 1]:.5f}, Error 1: {parts}"
