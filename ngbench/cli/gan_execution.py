"""What ``gan`` does once its options are parsed: plan, execute, report."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial
from pathlib import Path

from ngbench.cli.execution import Prepared, execute_and_report
from ngbench.cli.outputs import Outputs
from ngbench.cli.reporting import do_each
from ngbench.errors import UnknownNameError
from ngbench.records.environment import describe_environment
from ngbench.records.record import Document, EnvironmentRecord, RunRecord
from ngbench.running.adversarial_host import AdversarialHost
from ngbench.running.adversarial_plan import make_adversarial_plan
from ngbench.running.executors import Executor, InProcess, OwnProcess
from ngbench.running.request import AdversarialRequest
from ngbench.running.samples import DIRECTORY
from ngbench.running.session import introduce

__all__ = ["prepare_gan", "run_gan"]


def run_gan(request: AdversarialRequest, outputs: Outputs, *, quiet: bool, reference: str | None) -> int:
    """Make the runs that are asked for and report on them; each arm has a process of its own.

    Returns:
        The exit code: 0, or 1 if a run did not do what was asked.
    """
    outputs.check()
    origin = _origin(outputs)
    prepared = prepare_gan(replace(request, samples=None if origin is None else origin / DIRECTORY), own_processes=True)
    labels = list(prepared.executors)
    if reference is not None and reference not in labels:
        raise UnknownNameError("arm", reference, labels)
    environment = prepared.environment
    report = partial(_report, environment=environment, outputs=outputs, origin=origin, reference=reference)
    return execute_and_report(prepared, outputs, report, quiet=quiet)


def prepare_gan(request: AdversarialRequest, *, own_processes: bool) -> Prepared:
    """Plan the runs that are asked for; everything that a user can get wrong is refused here.

    Args:
        request: what to run.
        own_processes: each arm in a process of its own.
    """
    environment = describe_environment()
    # A plugin that prints must not write into an export that goes to stdout.
    with redirect_stdout(sys.stderr):
        plan = make_adversarial_plan(request)
    environment.threads = plan.threads
    executors: dict[str, Executor] = {
        run.config.label: OwnProcess(AdversarialHost) if own_processes else InProcess(AdversarialHost(plan.problem))
        for run in plan.groups[0]
    }
    introduction = introduce(request.options.device, plan.device, plan.threads, plan.problem.data)
    introduction.append(f"scored by {plan.network.description}")
    return Prepared(plan.groups, executors, environment, introduction)


def _origin(outputs: Outputs) -> Path | None:
    """The images lie beside the records, so that a resumed run finds them, or beside the figures."""
    beside = outputs.directory if outputs.directory is not None else outputs.figures
    return None if beside is None else beside.absolute()


def _report(
    records: Sequence[RunRecord],
    environment: EnvironmentRecord,
    outputs: Outputs,
    origin: Path | None,
    reference: str | None,
) -> None:
    document = Document(environment=environment, runs=list(records))
    do_each(*outputs.steps(document, reference=reference, origin=origin))
