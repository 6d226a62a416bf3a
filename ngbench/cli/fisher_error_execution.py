"""What ``fisher-error`` does once its options are parsed: plan, measure, report."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout

import torch
from rich.console import Console

from ngbench.arms import ArmSpec
from ngbench.cli.outputs import Outputs
from ngbench.cli.progress import Reporter, reporter_for
from ngbench.cli.reporting import do_each
from ngbench.curvature.blocks.linear import LinearBlock
from ngbench.data.directory import data_directory
from ngbench.errors import NgbenchError, ParameterError, PluginError, describe, one_line
from ngbench.experiments.fisher_error.request import FisherErrorRequest
from ngbench.experiments.fisher_error.run import (
    Curve,
    FisherErrorConfig,
    FisherErrorHost,
    choose_layers,
    fisher_errors,
    numbers_of,
)
from ngbench.measurement.memory import parameter_bytes
from ngbench.plugins import registry
from ngbench.records.environment import describe_environment
from ngbench.records.record import Document, RunRecord
from ngbench.report.extras import FisherError, fisher_errors_of
from ngbench.running.config import Budget
from ngbench.running.devices import explain_device, resolve_device, resolve_dtype
from ngbench.running.executors import InProcess, OwnProcess
from ngbench.running.plan import check_batch_size, first_record
from ngbench.running.problem import Problem, initial_model, load_problem
from ngbench.running.schedule import PlannedRun, execute
from ngbench.running.session import one_interrupt

__all__ = ["measure", "measure_and_report"]


class _Observer:
    """Tells of each measured step."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._told = 0

    def group(self, records: Sequence[RunRecord]) -> None:
        """The run is about to be set up."""

    def update(self, record: RunRecord) -> None:
        """The run was set up, measured something, or ended."""
        errors = fisher_errors_of(record)
        if len(errors[0].steps) > self._told:
            self._told = len(errors[0].steps)
            self._reporter.note(_describe(record, errors))

    def step(self, record: RunRecord, step: int, steps: int, loss: float) -> None:
        """Within a turn."""


def measure_and_report(request: FisherErrorRequest, outputs: Outputs, *, quiet: bool) -> int:
    """Make the run in a process of its own, print its table, write its exports.

    Returns:
        The exit code: 0, or 1 if the run did not come to its end; what was measured until then is reported.
    """
    outputs.check()
    document = measure(request, quiet=quiet)
    do_each(*outputs.steps(document))
    return 0 if document.runs[0].status == "done" else 1


def measure(request: FisherErrorRequest, *, quiet: bool, own_process: bool = True) -> Document:
    """Make the run.

    Args:
        request: what to measure.
        quiet: show no progress.
        own_process: whether it runs in a process of its own.

    Returns:
        A document with its record, which holds what was measured until it was over or interrupted.
    """
    environment = describe_environment()
    # A plugin that prints must not write into an export that goes to stdout.
    with redirect_stdout(sys.stderr):
        run, problem = _planned(request)
    environment.threads = run.config.threads
    executor = OwnProcess(FisherErrorHost) if own_process else InProcess(FisherErrorHost(problem))
    with (
        one_interrupt(),
        redirect_stdout(sys.stderr),
        reporter_for(Console(stderr=True), quiet=quiet) as reporter,
    ):
        reporter.note(explain_device(request.options.device, torch.device(run.config.device), run.config.threads))
        records, _ = execute([[run]], {run.config.label: executor}, _Observer(reporter))
    return Document(environment=environment, runs=records)


def _planned(request: FisherErrorRequest) -> tuple[PlannedRun, Problem]:
    """The run, after all was refused that a user can get wrong."""
    asked = request.options
    for arm in request.approximations:
        _try(arm)
    device = resolve_device(asked.device)
    dtype = resolve_dtype(asked.dtype, device)
    directory = data_directory(asked.data_dir)
    options = registry.task_options(request.task, request.task_options)
    problem = load_problem(request.task, options, directory)
    config = FisherErrorConfig(
        task=request.task,
        label=asked.trained_with,
        optimizer=asked.trained_with,
        seed=asked.seed,
        batch_size=check_batch_size(asked.batch_size, problem),
        budget=Budget(steps=asked.steps),
        data_dir=directory,
        task_options=options,
        hyperparameters=registry.effective_hyperparameters(registry.optimizer(asked.trained_with), problem.task, {}),
        device=str(device),
        dtype=asked.dtype,
        threads=asked.threads if asked.threads is not None else torch.get_num_threads(),
        approximations=tuple(request.approximations),
        layer=asked.layer,
        every=asked.every,
        fisher=asked.fisher,
    )
    model = initial_model(problem, 0, torch.device("cpu"), dtype)
    layers = numbers_of(model, choose_layers(model, asked.layer))
    curves = {name: {arm.label: Curve() for arm in request.approximations} for name in layers}
    record = first_record(config, problem, None, sum(p.numel() for p in model.parameters()), parameter_bytes(model))
    # Keys of this command alone, kept beside those that every run has.
    nothing = {"fisher_error": fisher_errors(layers, curves, [], asked.fisher), "step_losses": []}
    return PlannedRun(config, record.model_copy(update=nothing)), problem


def _try(arm: ArmSpec) -> None:
    """What an approximation refuses of its options, it refuses before anything runs."""
    approximation = registry.approximation(arm.optimizer, arm.hyperparameters)
    generator = torch.Generator().manual_seed(0)
    inputs, derivatives = torch.randn(4, 3, generator=generator), torch.randn(4, 3, generator=generator)
    try:
        approximation(LinearBlock(inputs, derivatives, constant=True), None)
    except KeyboardInterrupt:
        raise
    except (ValueError, NgbenchError) as error:
        raise ParameterError(f"approximation {arm.label}: {one_line(error)}") from error
    except BaseException as error:
        raise PluginError(f"approximation {arm.label!r} failed: {describe(error)}") from error


def _describe(record: RunRecord, errors: Sequence[FisherError]) -> str:
    parts = "; ".join(
        (f"{error.layer_name}: " if len(errors) > 1 else "")
        + ", ".join(f"{name} {curve.error_1[-1]:.4f}" for name, curve in error.approximations.items())
        for error in errors
    )
    step = errors[0].steps[-1]
    loss = (record.model_extra or {})["step_losses"][step - 1]
    return f"step {step}/{record.budget['steps']}, loss {loss:.5f}, Error 1: {parts}"
