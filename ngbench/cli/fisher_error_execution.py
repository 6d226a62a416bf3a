"""What ``fisher-error`` does once its options are parsed: plan, measure, report."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from functools import partial

import torch
from rich.console import Console
from rich.text import Text

from ngbench.arms import ArmSpec, file_slug
from ngbench.cli.outputs import Outputs
from ngbench.cli.progress import Reporter, reporter_for
from ngbench.cli.reporting import console_for_results, do_each
from ngbench.curvature.blocks.linear import LinearBlock
from ngbench.data.directory import data_directory
from ngbench.disk.files import write_text
from ngbench.errors import NgbenchError, ParameterError, PluginError, describe, one_line
from ngbench.escaping import markdown, terminal
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
from ngbench.records.documents import dump
from ngbench.records.endings import describe_ending
from ngbench.records.environment import describe_environment
from ngbench.records.record import Document, RunRecord
from ngbench.report.exports import format_table
from ngbench.report.heading import data_descriptions, describe_conditions
from ngbench.report.page.columns import format_fisher_error
from ngbench.report.page.extras import FisherError
from ngbench.report.page.fisher_figures import draw_fisher_error
from ngbench.report.tables import print_columns
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
        errors = _errors_of(record)
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
    _report(document, outputs)
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


def _errors_of(record: RunRecord) -> list[FisherError]:
    held = (record.model_extra or {})["fisher_error"]
    return [FisherError.model_validate(part) for part in (held if isinstance(held, list) else [held])]


def _title(error: FisherError) -> str:
    return f"Fisher error of layer {error.layer} ({error.layer_name})"


def _report(document: Document, outputs: Outputs) -> None:
    errors = [error for error in _errors_of(document.runs[0]) if error.steps]
    steps: list[Callable[[], object]] = []
    if (json := outputs.json) is not None:
        steps.append(lambda: write_text(dump(document), json))
    if (csv_file := outputs.csv) is not None:
        steps.append(lambda: write_text(_format_csv(errors), csv_file))
    if (markdown := outputs.markdown) is not None:
        steps.append(lambda: write_text(_format_markdown(document, errors), markdown))
    if outputs.figures is not None:
        for error in errors:
            name = file_slug(f"fisher-error-{document.runs[0].task}-layer-{error.layer}")
            title = f"{document.runs[0].task} · {_title(error)}"
            steps.append(partial(draw_fisher_error, error, title, outputs.figures / f"{name}.png"))
    do_each(*steps, partial(_print, document, errors, console_for_results(on_stderr=outputs.use_stdout)))


def _print(document: Document, errors: Sequence[FisherError], console: Console) -> None:
    for _, described in data_descriptions(document):
        console.print(Text(terminal(f"data: {described}")), soft_wrap=True)
    console.print(Text(terminal(describe_conditions(document))), soft_wrap=True)
    for error in errors:
        console.print()
        print_columns(_title(error), format_fisher_error(error), console)
    run = document.runs[0]
    if run.status != "done":
        ending = describe_ending(run) + (f": {run.message}" if run.message else "")
        console.print(Text(terminal(f"The run {ending}.")), soft_wrap=True)


def _format_csv(errors: Sequence[FisherError]) -> str:
    """Tidy CSV: one row per layer, approximation and measured step."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["layer", "layer_name", "approximation", "step", "error_1", "error_2", "iterations", "seconds"])
    for error in errors:
        for name, curve in error.approximations.items():
            values = zip(error.steps, curve.error_1, curve.error_2, curve.iterations, curve.seconds, strict=True)
            writer.writerows([error.layer, error.layer_name, name, *row] for row in values)
    return text.getvalue()


def _format_markdown(document: Document, errors: Sequence[FisherError]) -> str:
    facts = [f"- Data: {markdown(described)}" for _, described in data_descriptions(document)]
    parts = [f"## {markdown(document.runs[0].task)}"]
    parts.append("\n".join([*facts, f"- {markdown(describe_conditions(document))}"]))
    for error in errors:
        parts += [f"### {markdown(_title(error))}", format_table(format_fisher_error(error))]
    return "\n\n".join(parts) + "\n"
