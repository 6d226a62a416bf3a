"""``ngbench doctor``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ngbench.cli import options
from ngbench.running.limits import LIMITS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rich.console import Console

    from ngbench.arms import ArmSpec
    from ngbench.experiments.doctor.findings import Finding
    from ngbench.records.thresholds import Threshold
    from ngbench.running.plan import Plan

__all__ = ["doctor"]

_TASK = "curves-autoencoder"
_OPTIMIZER = "kfac"
_REFERENCES = ("sgd", "adam")
_NOISE = "A/A noise"


def doctor(
    task: Annotated[
        str | None,
        typer.Option(
            "--task",
            metavar="NAME",
            help=f"Measure the noise on this task; {_TASK} if only --optimizer is given.",
            rich_help_panel=_NOISE,
        ),
    ] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(
            "--optimizer",
            "-o",
            metavar="[LABEL@]NAME[:KEY=VALUE,...]",
            help=f"Measure the noise of this optimizer; {_OPTIMIZER} if only --task is given.",
            rich_help_panel=_NOISE,
        ),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            "--reference",
            metavar="NAME",
            help="Optimizer that ratios refer to.",
            show_default=" or ".join(_REFERENCES),
            rich_help_panel=_NOISE,
        ),
    ] = None,
    threshold: Annotated[
        str,
        typer.Option(
            "--threshold",
            metavar="PERCENT",
            help="Threshold of ngbench check to judge by.",
            rich_help_panel=_NOISE,
        ),
    ] = "5%",
    comparisons: Annotated[
        int,
        typer.Option(
            "--comparisons",
            metavar="N",
            parser=LIMITS["steps"].convert,
            help="How often to make the same comparison.",
            rich_help_panel=_NOISE,
        ),
    ] = 4,
    steps: Annotated[
        int,
        typer.Option(
            "--steps",
            metavar="N",
            parser=LIMITS["steps"].convert,
            help="Steps of each optimizer in a comparison.",
            rich_help_panel=_NOISE,
        ),
    ] = 240,
    settings: options.Settings = None,
    batch_size: options.BatchSize = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "float32",
    threads: options.Threads = None,
    data_dir: options.DataDir = None,
    export_json: options.ExportJson = None,
    quiet: options.Quiet = False,
) -> None:
    """Say what stands between this machine and measurements that can be trusted, and what to do about it.

    Looks at the clock, at load, frequency, quota and threads, at CUDA and cuDNN, at the data sets and the plugins.
    With --task or --optimizer it also makes the same comparison several times, where nothing changed, and says which
    slow-downs ngbench check would catch here and how many repeats a threshold needs.

    Example: ngbench doctor --task mnist-autoencoder --optimizer kfac --threshold 5%
    """
    import sys
    from contextlib import redirect_stdout
    from functools import partial

    from rich.console import Console

    from ngbench.cli.reporting import console_for_results, do_each
    from ngbench.data.directory import data_directory
    from ngbench.disk.files import STANDARD_OUTPUT, check_destination, write_text
    from ngbench.errors import ParameterError
    from ngbench.records.environment import describe_environment
    from ngbench.report.findings import findings_json, print_findings

    if export_json is not None:
        check_destination(export_json)
    allowed = _relative(threshold)
    messages = Console(stderr=True)
    with redirect_stdout(sys.stderr):
        plan = None
        if task is not None or optimizer is not None:
            # Planned first, so that a wrong name is said before anything is looked at.
            arms = _arms(optimizer or _OPTIMIZER, reference)
            plan = _plan(task or _TASK, arms, steps, settings, batch_size, device, dtype, threads, data_dir)
        elif reference is not None or settings or batch_size is not None:
            raise ParameterError(
                "reference, set and batch-size say how to measure noise; give --task or --optimizer too"
            )
        findings = _examine(threads, data_directory(data_dir))
        if plan is None:
            findings.append(_not_measured())
        else:
            findings += _measure(plan, comparisons, allowed, None if quiet else messages)
    ending: list[Callable[[], object]] = []
    if export_json is not None:
        destination = export_json
        ending.append(lambda: write_text(findings_json(findings, describe_environment().model_dump()), destination))
    if export_json != STANDARD_OUTPUT:
        ending.append(partial(print_findings, findings, console=console_for_results()))
    do_each(*ending)


def _relative(text: str) -> Threshold:
    from ngbench.errors import ParameterError
    from ngbench.records.thresholds import parse_threshold

    try:
        threshold = parse_threshold(f"step_time.ratio:{text}")
    except ParameterError:
        threshold = None
    if threshold is None or not threshold.relative or threshold.amount == 0:
        raise ParameterError(f"threshold={text} is not allowed, it must be a per cent above 0 such as 5%")
    return threshold


def _arms(optimizer: str, reference: str | None) -> list[ArmSpec]:
    """The reference, and the optimizer that is looked at."""
    from ngbench.arms import parse_arms
    from ngbench.errors import ParameterError

    arms = parse_arms([optimizer])
    if len(arms) != 1:
        raise ParameterError(f"optimizer={optimizer} is not allowed, it must be one optimizer")
    if reference is None:
        reference = next(name for name in _REFERENCES if name != arms[0].optimizer)
    return [*parse_arms([reference]), *arms]


def _plan(
    task: str,
    arms: list[ArmSpec],
    steps: int,
    settings: list[str] | None,
    batch_size: int | None,
    device: str,
    dtype: str,
    threads: int | None,
    data_dir: Path | None,
) -> Plan:
    from ngbench.running.plan import Request, make_plan

    return make_plan(
        Request(
            task=task,
            arms=arms,
            task_options=options.task_settings(settings),
            steps=steps,
            batch_size=batch_size,
            device=device,
            dtype=dtype,
            threads=threads,
            data_dir=str(data_dir) if data_dir is not None else None,
        )
    )


def _examine(threads: int | None, directory: Path) -> list[Finding]:
    # The machine is looked at first: what follows puts a load on it.
    from ngbench.experiments.doctor import machine, timer
    from ngbench.records.environment import usable_cores

    cores = usable_cores()
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

    return [
        *findings,
        machine.examine_threads(torch.get_num_threads() if threads is None else threads, cores),
        *examine_cuda(torch),
        *examine_data(data_sets_present(directory)),
        *examine_plugins(),
    ]


def _measure(plan: Plan, comparisons: int, threshold: Threshold, messages: Console | None) -> list[Finding]:
    from ngbench.experiments.doctor.noise import examine_noise, make_equal
    from ngbench.running.executors import OwnProcess

    def note(line: str) -> None:
        if messages is not None:
            messages.print(line, highlight=False, markup=False, soft_wrap=True)

    def executors() -> dict[str, OwnProcess]:
        return {run.config.label: OwnProcess() for run in plan.groups[0]}

    equal = make_equal(plan, executors, documents=comparisons, note=note)
    return examine_noise(equal, threshold)


def _not_measured() -> Finding:
    from ngbench.experiments.doctor.findings import Finding, State

    return Finding(
        "noise",
        State.NOTE,
        "not measured",
        f"ngbench doctor --task {_TASK} --optimizer {_OPTIMIZER}, or your own",
    )
