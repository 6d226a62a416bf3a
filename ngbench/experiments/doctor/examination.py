"""The whole examination: the machine, then what is installed, then the noise of one and the same comparison."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ngbench.arms import ArmSpec, parse_arms
from ngbench.data.directory import data_directory
from ngbench.errors import ParameterError
from ngbench.experiments.doctor import machine, timer
from ngbench.experiments.doctor.findings import Finding
from ngbench.records.environment import usable_cores
from ngbench.records.experiments import FindingState
from ngbench.records.thresholds import Threshold, parse_threshold
from ngbench.running.request import Request, RunOptions

if TYPE_CHECKING:
    from ngbench.running.plan import Plan
    from ngbench.running.problem import Problem

__all__ = ["OPTIMIZER", "REFERENCES", "TASK", "DoctorRequest", "examine"]

TASK = "curves-autoencoder"
"""On which noise is measured where no task is given."""
OPTIMIZER = "kfac"
"""Likewise."""
REFERENCES = ("sgd", "adam")
"""The first that is not the optimizer itself is what ratios refer to where nothing is given."""


@dataclass(frozen=True)
class DoctorRequest:
    """What to look at.

    Attributes:
        task: measure the noise of steps on it; without a task and an optimizer noise is not measured.
        optimizer: measure its noise, against the reference.
        reference: what ratios refer to.
        threshold: of a gate, in per cent, to judge by.
        comparisons: how often to make the same comparison.
        steps: of each optimizer in a comparison.
        task_options: the task's own.
        options: of the runs.
    """

    task: str | None = None
    optimizer: str | None = None
    reference: str | None = None
    threshold: str = "5%"
    comparisons: int = 4
    steps: int = 240
    task_options: dict[str, str] = field(default_factory=dict)
    options: RunOptions = field(default_factory=RunOptions)

    @property
    def measures_noise(self) -> bool:
        """Whether comparisons are made."""
        return self.task is not None or self.optimizer is not None


def examine(request: DoctorRequest, *, note: Callable[[str], None] = lambda line: None) -> list[Finding]:
    """Look at everything that measurements depend on.

    Args:
        request: what to look at.
        note: is told what goes on.

    Raises:
        UsageError: the request names what there is not, or what it does not measure.
        NgbenchError: a run did not end as it should.
    """
    threshold = _relative(request.threshold)
    # Planned first, so that a wrong name is said before anything is looked at.
    plan = _plan(request) if request.measures_noise else None
    if plan is None and (
        request.reference is not None or request.task_options or request.options.batch_size is not None
    ):
        raise ParameterError("reference, set and batch-size say how to measure noise; give --task or --optimizer too")
    findings = _examine_machine(request)
    if plan is not None:
        return findings + _measure(plan, request.comparisons, threshold, note)
    advice = f"ngbench doctor --task {TASK} --optimizer {OPTIMIZER}, or your own"
    return [*findings, Finding("noise", FindingState.NOTE, "not measured", advice)]


def _relative(text: str) -> Threshold:
    try:
        threshold = parse_threshold(f"step_time.ratio:{text}")
    except ParameterError:
        threshold = None
    if threshold is None or not threshold.relative or threshold.amount == 0:
        raise ParameterError(f"threshold={text} is not allowed, it must be a per cent above 0 such as 5%")
    return threshold


def _plan(request: DoctorRequest) -> Plan[Problem]:
    from ngbench.running.plan import make_plan

    return make_plan(
        Request(
            task=request.task or TASK,
            arms=_arms(request.optimizer or OPTIMIZER, request.reference),
            task_options=request.task_options,
            options=replace(request.options, steps=request.steps),
        )
    )


def _arms(optimizer: str, reference: str | None) -> list[ArmSpec]:
    """The reference, and the optimizer that is looked at."""
    arms = parse_arms([optimizer])
    if len(arms) != 1:
        raise ParameterError(f"optimizer={optimizer} is not allowed, it must be one optimizer")
    if reference is None:
        reference = next(name for name in REFERENCES if name != arms[0].optimizer)
    return [*parse_arms([reference]), *arms]


def _examine_machine(request: DoctorRequest) -> list[Finding]:
    directory, cores = data_directory(request.options.data_dir), usable_cores()
    # The machine is looked at first: what follows puts a load on it.
    findings = [
        *timer.examine_timer(timer.read_clock()),
        machine.examine_load(cores),
        machine.examine_quota(cores),
        *machine.examine_frequency(),
    ]
    import torch

    from ngbench.data.presence import data_sets_present
    from ngbench.experiments.doctor.accelerator import examine_cuda
    from ngbench.experiments.doctor.installed import examine_data, examine_plugins

    threads = torch.get_num_threads() if request.options.threads is None else request.options.threads
    return [
        *findings,
        machine.examine_threads(threads, cores),
        *examine_cuda(torch),
        *examine_data(data_sets_present(directory)),
        *examine_plugins(),
    ]


def _measure(plan: Plan[Problem], comparisons: int, threshold: Threshold, note: Callable[[str], None]) -> list[Finding]:
    from ngbench.experiments.doctor.noise import examine_noise, make_equal
    from ngbench.running.workers import ProcessWorker

    def workers() -> dict[str, ProcessWorker]:
        return {run.config.label: ProcessWorker() for run in plan.groups[0]}

    return examine_noise(make_equal(plan, workers, documents=comparisons, note=note), threshold)
