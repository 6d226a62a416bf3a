"""What ``train`` and ``compare`` do once their options are parsed: plan, execute, report."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass
from functools import partial
from typing import Any

from rich.console import Console

from ngbench.cli.outputs import Outputs
from ngbench.cli.progress import Reporter, reporter_for
from ngbench.cli.reporting import do_each, raise_last
from ngbench.errors import OutputError
from ngbench.records.environment import describe_environment
from ngbench.records.record import Document, EnvironmentRecord, RunRecord
from ngbench.records.statistics import FAILED
from ngbench.records.store import Store
from ngbench.running.executors import Executor, InProcess, OwnProcess, TaskHost
from ngbench.running.plan import make_plan
from ngbench.running.request import Request
from ngbench.running.resume import with_output
from ngbench.running.schedule import PlannedRun, execute
from ngbench.running.session import introduce, one_interrupt

__all__ = ["Prepared", "execute_and_report", "prepare", "run_and_report"]

_UNSUCCESSFUL = FAILED | {"interrupted"}


class _Observer:
    """Keeps what happens: on disk first, then on the screen.

    Attributes:
        problem: why records are no longer written, if that is so; the runs go on, for the report in the end.
    """

    def __init__(self, store: Store | None, reporter: Reporter) -> None:
        self.problem: OutputError | None = None
        self._store = store
        self._reporter = reporter

    def group(self, records: Sequence[RunRecord]) -> None:
        for record in records:
            # The file of a run that is over stays as it is, with the environment that it was made in.
            if record.status == "running":
                self._write(record)
        self._reporter.group(records)

    def update(self, record: RunRecord) -> None:
        self._write(record)
        self._reporter.update(record)

    def _write(self, record: RunRecord) -> None:
        if self._store is None or self.problem is not None:
            return
        try:
            self._store.write(record)
        except OutputError as error:
            self.problem = error
            self._reporter.note(f"warning: {error}; the runs go on, their records are not written")

    def step(self, record: RunRecord, step: int, steps: int, loss: float) -> None:
        self._reporter.step(record, step, steps, loss)


def run_and_report(
    request: Request,
    outputs: Outputs,
    *,
    quiet: bool,
    reference: str | None = None,
) -> int:
    """Make the runs that are asked for, each arm in a process of its own, and report on them.

    Args:
        request: what to run.
        outputs: where results go.
        quiet: show results only.
        reference: the arm that the tables compare the others with; the first by default.

    Returns:
        The exit code: 0, or 1 if a run did not do what was asked.
    """
    outputs.check()
    prepared = prepare(request, own_processes=True)

    def report(records: Sequence[RunRecord]) -> None:
        _report(records, prepared.environment, outputs, reference=reference)

    return execute_and_report(prepared, outputs, report, quiet=quiet)


@dataclass(frozen=True)
class Prepared:
    """Runs that are planned, and what is needed to make them.

    Attributes:
        groups: the runs of each seed.
        executors: one for each label.
        environment: goes into each record's file.
        introduction: lines that are shown first.
    """

    groups: Sequence[Sequence[PlannedRun]]
    executors: Mapping[str, Executor]
    environment: EnvironmentRecord
    introduction: Sequence[str]


def prepare(request: Request, *, own_processes: bool) -> Prepared:
    """Plan the runs that are asked for; everything that a user can get wrong is refused here.

    Args:
        request: what to run.
        own_processes: each arm in a process of its own.
    """
    environment = describe_environment()
    # A plugin that prints must not write into an export that goes to stdout.
    with redirect_stdout(sys.stderr):
        plan = make_plan(request)
    environment.threads = plan.threads
    executors: dict[str, Executor] = {
        arm.label: OwnProcess() if own_processes else InProcess(TaskHost(plan.problem)) for arm in request.arms
    }
    introduction = [*introduce(request.options.device, plan.device, plan.threads, plan.problem.data), *plan.notes]
    return Prepared(plan.groups, executors, environment, introduction)


def execute_and_report(
    prepared: Prepared,
    outputs: Outputs,
    report: Callable[[Sequence[RunRecord]], None],
    *,
    quiet: bool,
    marks: Mapping[str, Any] | None = None,
) -> int:
    """Make runs that are planned, keep their records, and report on them even after an interruption.

    Args:
        prepared: the runs.
        outputs: where records are kept.
        report: is given the records in the end.
        quiet: show no progress.
        marks: further keys of each record's file.

    Returns:
        The exit code: 0, or 1 if a run did not do what was asked.
    """
    store, groups = None, prepared.groups
    if outputs.directory is not None:
        store = Store(outputs.directory, prepared.environment, resume=outputs.resume, marks=marks)
    with store.taken() if store is not None else nullcontext(), one_interrupt():
        if store is not None:
            groups = with_output(groups, store)
        with redirect_stdout(sys.stderr), reporter_for(Console(stderr=True), quiet=quiet) as reporter:
            for line in prepared.introduction:
                reporter.note(line)
            observer = _Observer(store, reporter)
            records, interrupted = execute(groups, prepared.executors, observer)
        steps = [partial(report, records)]
        if observer.problem is not None:
            steps.append(partial(raise_last, [observer.problem]))
        do_each(*steps)
    return 1 if interrupted or any(record.status in _UNSUCCESSFUL for record in records) else 0


def _report(
    records: Sequence[RunRecord],
    environment: EnvironmentRecord,
    outputs: Outputs,
    *,
    reference: str | None,
) -> None:
    document = Document(environment=environment, runs=list(records))
    do_each(*outputs.steps(document, reference=reference))
