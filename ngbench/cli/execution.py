"""How a command makes runs: with progress on stderr, one Ctrl-C, and a report in the end, whatever happened."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial

from rich.console import Console

from ngbench.cli.outputs import Outputs
from ngbench.cli.reporting import end_with, raise_last
from ngbench.experiments.runs import Ran
from ngbench.report.progress.runs import Reporter, reporter_for
from ngbench.running.session import one_interrupt

__all__ = ["run_and_report"]


def run_and_report(
    subject: str,
    make: Callable[[Outputs, Reporter], Ran],
    outputs: Outputs,
    *,
    quiet: bool,
    reference: str | None = None,
    annotate: bool = False,
) -> int:
    """Make the runs that are asked for, and report on them even after an interruption.

    Args:
        subject: command and task, which a directory made for the records is called after.
        make: makes the runs, with their records where it is told, and tells the reporter of them.
        outputs: where what came of them goes.
        quiet: show no progress.
        reference: the arm that the others are compared with; the first by default.
        annotate: whether to print what a gate found as annotations of a workflow.

    Returns:
        The exit code: 0, or 1 if a run did not do what was asked.

    Raises:
        NgbenchError: the verdict of the gate, if there is one and it does not pass.
    """
    with outputs.settled(subject) as kept, one_interrupt():
        # A plugin that prints must not write into an export that goes to stdout.
        with redirect_stdout(sys.stderr), reporter_for(Console(stderr=True), quiet=quiet) as reporter:
            ran = make(kept, reporter)
        unfinished = ran.interrupted or any(run.status == "killed" for run in ran.document.runs)
        steps = kept.steps(ran.document, reference=reference, unfinished=unfinished)
        if ran.problem is not None:
            steps.append(partial(raise_last, [ran.problem]))
        gate = ran.document.gate
        if gate is not None and annotate:
            steps.append(partial(outputs.annotate, gate))
        end_with(None if gate is None else gate.error, *steps)
    return int(ran.failed)
