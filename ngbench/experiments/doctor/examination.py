"""The whole examination: the machine, then what is installed, then the noise of one and the same comparison."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ngbench.arms import ArmSpec, parse_arms
from ngbench.data.directory import data_directory
from ngbench.errors import ParameterError
from ngbench.experiments.doctor import machine, timer
from ngbench.experiments.doctor.findings import finding
from ngbench.records.environment import usable_cores
from ngbench.records.experiments import FindingRecord, FindingState
from ngbench.records.thresholds import Threshold, parse_threshold
from ngbench.running.limits import Count
from ngbench.running.option_fields import converted, option
from ngbench.running.request import Request, RunOptions
from ngbench.spelling import argument

if TYPE_CHECKING:
    from ngbench.running.plan import Plan
    from ngbench.running.problem import Problem

__all__ = ["DoctorRequest", "NoiseOptions", "examine"]

TASK = "curves-autoencoder"
"""On which noise is measured where no task is given."""
OPTIMIZER = "kfac"
"""Likewise."""
REFERENCES = ("sgd", "adam")
"""The first that is not the optimizer itself is what ratios refer to where nothing is given."""


_NOISE = "A/A noise"


@dataclass(frozen=True)
class NoiseOptions:
    """Which noise is measured, and how; without a task and an optimizer none is.

    Raises:
        ParameterError: a value is not allowed.
    """

    task: str | None = option(
        None,
        f"Measure the noise on this task; {TASK} if only --optimizer is given.",
        metavar="NAME",
        panel=_NOISE,
    )
    optimizer: str | None = option(
        None,
        f"Measure the noise of this optimizer; {OPTIMIZER} if only --task is given.",
        metavar="[LABEL@]NAME[:KEY=VALUE,...]",
        panel=_NOISE,
        flags=("--optimizer", "-o"),
    )
    reference: str | None = option(
        None,
        "Optimizer that ratios refer to.",
        metavar="NAME",
        panel=_NOISE,
        shown_default=" or ".join(REFERENCES),
    )
    threshold: str = option("5%", "Threshold of ngbench check to judge by.", metavar="PERCENT", panel=_NOISE)
    comparisons: Count = option(4, "How often to make the same comparison.", metavar="N", panel=_NOISE)
    steps: Count = option(240, "Steps of each optimizer in a comparison.", metavar="N", panel=_NOISE)

    def __post_init__(self) -> None:
        for name, value in converted(self).items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True)
class DoctorRequest:
    """What to look at.

    Attributes:
        noise: which is measured, and how.
        task_options: the task's own.
        options: of the runs.
    """

    noise: NoiseOptions = field(default_factory=NoiseOptions)
    task_options: dict[str, str] = field(default_factory=dict)
    options: RunOptions = field(default_factory=RunOptions)


def examine(request: DoctorRequest, *, note: Callable[[str], None] = lambda line: None) -> list[FindingRecord]:
    """Look at everything that measurements depend on.

    Args:
        request: what to look at.
        note: is told what goes on.

    Raises:
        UsageError: the request names what there is not, or what it does not measure.
        NgbenchError: a run did not end as it should.
    """
    noise = request.noise
    threshold = _relative(noise.threshold)
    # Planned first, so that a wrong name is said before anything is looked at.
    plan = None if noise.task is None and noise.optimizer is None else _plan(request)
    if plan is None and (noise.reference is not None or request.task_options or request.options.batch_size is not None):
        raise ParameterError(
            f"reference, set and batch-size say how to measure noise; give {argument('task')} or "
            f"{argument('optimizer')} too"
        )
    findings = _examine_machine(request)
    if plan is not None:
        return findings + _measure(plan, noise.comparisons, threshold, note)
    advice = f"ngbench doctor --task {TASK} --optimizer {OPTIMIZER}, or your own"
    return [*findings, finding("noise", FindingState.NOTE, "not measured", advice)]


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

    noise = request.noise
    return make_plan(
        Request(
            task=noise.task or TASK,
            arms=_arms(noise.optimizer or OPTIMIZER, noise.reference),
            task_options=request.task_options,
            options=replace(request.options, steps=noise.steps),
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


def _examine_machine(request: DoctorRequest) -> list[FindingRecord]:
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
        examine_data(data_sets_present(directory)),
        *examine_plugins(),
    ]


def _measure(
    plan: Plan[Problem], comparisons: int, threshold: Threshold, note: Callable[[str], None]
) -> list[FindingRecord]:
    from ngbench.experiments.doctor.noise import examine_noise, make_equal
    from ngbench.running.workers import ProcessWorker

    def workers() -> dict[str, ProcessWorker]:
        return {run.config.label: ProcessWorker() for run in plan.groups[0]}

    return examine_noise(make_equal(plan, workers, documents=comparisons, note=note), threshold)
