"""What ``fisher-error`` does once its options are parsed: plan, measure, report."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
from rich.console import Console
from rich.text import Text

from ngbench import plugins
from ngbench.arms import ArmSpec, file_slug
from ngbench.cli.execution import Outputs
from ngbench.cli.progress import reporter_for
from ngbench.cli.reporting import console_for_results, do_each
from ngbench.curvature.approximations import Approximation
from ngbench.curvature.linear import LinearBlock
from ngbench.data.directory import data_directory
from ngbench.errors import ParameterError
from ngbench.escaping import markdown, terminal
from ngbench.files import write_text
from ngbench.measurement.memory import parameter_bytes
from ngbench.parameters import Parameter, Range
from ngbench.report.exports import format_table
from ngbench.report.heading import data_descriptions, describe_conditions
from ngbench.report.page.columns import format_fisher_error
from ngbench.report.page.extras import FisherCurve, FisherError
from ngbench.report.page.fisher_figures import draw_fisher_error
from ngbench.report.tables import print_columns
from ngbench.results.documents import dump
from ngbench.results.environment import describe_environment
from ngbench.results.record import Document, Status
from ngbench.training.config import Budget, RunConfig
from ngbench.training.devices import explain_device, resolve_device, resolve_dtype
from ngbench.training.fisher_error import FisherErrorRun, Measurement
from ngbench.training.plan import check_batch_size, first_record
from ngbench.training.problem import Problem, load_problem

__all__ = ["FisherErrorRequest", "measure", "measure_and_report"]

_COUNT = Annotated[int, Range(minimum=1)]


@dataclass(frozen=True)
class FisherErrorRequest:
    """What the user asks for; ``None`` stands for the task's or the tool's default.

    Attributes:
        approximations: names with their options, as arms.
        layer: a number counted from 1, a name, or ``all``.
        driver: the optimizer that trains, with the task's hyper-parameters for it.
        steps: updates of the run.
        every: measure at the first update and every so many.
        fisher: whose targets.
    """

    task: str
    approximations: Sequence[ArmSpec]
    layer: str
    driver: str
    steps: int
    every: int
    fisher: Any
    task_options: Mapping[str, str] = field(default_factory=dict)
    batch_size: int | None = None
    seed: int = 0
    device: str = "auto"
    dtype: str = "float32"
    threads: int | None = None
    data_dir: Path | None = None


def measure_and_report(request: FisherErrorRequest, outputs: Outputs, *, quiet: bool) -> int:
    """Make the run, print its table, write its exports.

    Returns:
        The exit code: 0, or 1 if the run diverged or was interrupted; what was measured until then is reported.
    """
    outputs.check()
    document = measure(request, quiet=quiet)
    _report(document, outputs)
    return 0 if document.runs[0].status == "done" else 1


def measure(request: FisherErrorRequest, *, quiet: bool) -> Document:
    """Make the run.

    Returns:
        A document with its record, which holds what was measured until it was over or interrupted.
    """
    for name in ("steps", "every", "batch_size", "threads"):
        if (value := getattr(request, name)) is not None:
            Parameter(name.replace("_", "-"), _COUNT).convert(value)
    approximations = {arm.label: _approximation(arm) for arm in request.approximations}
    device = resolve_device(request.device)
    resolve_dtype(request.dtype, device)
    if request.threads is not None:
        torch.set_num_threads(request.threads)
    directory = data_directory(request.data_dir and str(request.data_dir))
    options = plugins.task_options(request.task, request.task_options)
    problem = load_problem(request.task, options, directory)
    config = RunConfig(
        task=request.task,
        label=request.driver,
        optimizer=request.driver,
        seed=request.seed,
        batch_size=check_batch_size(request.batch_size, problem),
        budget=Budget(steps=request.steps),
        data_dir=directory,
        task_options=options,
        hyperparameters=plugins.effective_hyperparameters(plugins.optimizer(request.driver), problem.task, {}),
        device=str(device),
        dtype=request.dtype,
        threads=torch.get_num_threads(),
    )
    run = FisherErrorRun(
        problem, config, approximations, layer=request.layer, every=request.every, fisher=request.fisher
    )
    status: Status
    with reporter_for(Console(stderr=True), quiet=quiet) as reporter:
        reporter.note(explain_device(request.device, device, torch.get_num_threads()))
        try:
            status = "done" if run.run(lambda measurement: reporter.note(_describe(measurement))) else "diverged"
        except KeyboardInterrupt:
            status = "interrupted"
    return _document(request, problem, config, run, status)


def _approximation(arm: ArmSpec) -> Approximation:
    approximation = plugins.approximation(arm.optimizer, arm.hyperparameters)
    generator = torch.Generator().manual_seed(0)
    try:
        # What it refuses of its options, it refuses before anything runs.
        approximation(
            LinearBlock(torch.randn(4, 3, generator=generator), torch.randn(4, 3, generator=generator), constant=True),
            None,
        )
    except ValueError as error:
        raise ParameterError(f"approximation {arm.label}: {error}") from error
    return approximation


def _describe(measurement: Measurement) -> str:
    errors = "; ".join(
        (f"{layer}: " if len(measurement.errors) > 1 else "")
        + ", ".join(f"{name} {error:.4f}" for name, error in found.items())
        for layer, found in measurement.errors.items()
    )
    return f"step {measurement.step}/{measurement.steps}, loss {measurement.loss:.5f}, Error 1: {errors}"


def _document(
    request: FisherErrorRequest, problem: Problem, config: RunConfig, run: FisherErrorRun, status: Status
) -> Document:
    errors = [
        FisherError(
            layer=number,
            steps=run.measured,
            approximations={
                name: FisherCurve.model_validate(asdict(curve)) for name, curve in run.curves[layer].items()
            },
            layer_name=layer,
            fisher=request.fisher,
        ).model_dump(exclude_none=True)
        for layer, number in run.layers.items()
    ]
    size = parameter_bytes(run.model)
    record = first_record(config, problem, None, sum(p.numel() for p in run.model.parameters()), size)
    record.status = status
    # Keys of this command alone, kept beside those that every run has.
    measured = {"fisher_error": errors[0] if len(errors) == 1 else errors, "step_losses": run.losses}
    environment = describe_environment()
    environment.threads = config.threads
    return Document(environment=environment, runs=[record.model_copy(update=measured)])


def _errors_of(document: Document) -> list[FisherError]:
    held = (document.runs[0].model_extra or {})["fisher_error"]
    return [FisherError.model_validate(part) for part in (held if isinstance(held, list) else [held])]


def _title(error: FisherError) -> str:
    return f"Fisher error of layer {error.layer} ({error.layer_name})"


def _report(document: Document, outputs: Outputs) -> None:
    errors = _errors_of(document)
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
