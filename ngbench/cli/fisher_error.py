"""``ngbench fisher-error``: how well Kronecker approximations match the Fisher matrix along a training run."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from ngbench.cli import options
from ngbench.running.limits import FISHER_LIMITS, LIMITS

__all__ = ["fisher_error"]

_FISHER = (
    "Targets sampled from the model, or their exact expectation. Before batch norm in training mode, derivatives are"
    " those of the sum of all losses, and the reference is the Fisher block of these."
)
_MEASURED = "kfac,kpsvd,kfac-corrected,lanczos,deflation"


class Driver(str, Enum):
    """The optimizer that trains while approximations are measured."""

    adam = "adam"
    sgd = "sgd"


class Fisher(str, Enum):
    """Whose targets the Fisher matrix is taken at."""

    sampled = "sampled"
    exact = "exact"


def fisher_error(
    task: options.TaskName,
    approximations: Annotated[
        list[str] | None,
        typer.Option(
            "--approximations",
            "-a",
            metavar="[LABEL@]NAME[:KEY=VALUE,...]",
            help=f"What to measure: several with commas between them, repeatable. (default: {_MEASURED})",
        ),
    ] = None,
    layer: Annotated[
        str, typer.Option("--layer", metavar="INDEX|NAME|all", help="Which layer, counted from 1, or all of them.")
    ] = "5",
    trained_with: Annotated[Driver, typer.Option("--trained-with", help="The optimizer that drives the run.")] = (
        Driver.adam
    ),
    steps: Annotated[
        int, typer.Option("--steps", metavar="N", parser=LIMITS["steps"].convert, help="Updates of the run.")
    ] = 300,
    every: Annotated[
        int,
        typer.Option(
            "--every",
            metavar="N",
            parser=FISHER_LIMITS["every"].convert,
            help="Measure at the first update and every so many.",
        ),
    ] = 10,
    fisher: Annotated[Fisher, typer.Option("--fisher", help=_FISHER)] = Fisher.sampled,
    settings: options.Settings = None,
    batch_size: options.BatchSize = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    dtype: options.Dtype = "float32",
    threads: options.Threads = None,
    data_dir: options.DataDir = None,
    export_json: options.ExportJson = None,
    export_csv: options.ExportCsv = None,
    export_markdown: options.ExportMarkdown = None,
    figures: options.Figures = None,
    quiet: options.Quiet = False,
) -> None:
    """Measure how well Kronecker approximations match the Fisher matrix.

    One optimizer trains; at some of its updates, every approximation of the chosen layer's Fisher block is computed
    from the same samples and compared with the block itself: Error 1 is the relative error in Frobenius norm, Error 2
    that of the sorted spectra. Neither matrix is formed.

    Example: ngbench fisher-error curves-autoencoder --steps 300
    """
    from ngbench.arms import parse_arms
    from ngbench.cli.execution import Outputs
    from ngbench.cli.fisher_error_execution import FisherErrorRequest, measure_and_report

    request = FisherErrorRequest(
        task=task,
        task_options=options.task_settings(settings),
        approximations=parse_arms(approximations or [_MEASURED]),
        layer=layer,
        driver=trained_with.value,
        steps=steps,
        every=every,
        fisher=fisher.value,
        batch_size=batch_size,
        seed=seed,
        device=device,
        dtype=dtype,
        threads=threads,
        data_dir=data_dir,
    )
    outputs = Outputs(json=export_json, csv=export_csv, markdown=export_markdown, figures=figures)
    raise typer.Exit(measure_and_report(request, outputs, quiet=quiet))
