"""``ngbench fisher-error``: how well Kronecker approximations match the Fisher matrix along a training run."""

from __future__ import annotations

from typing import Annotated

import typer

from ngbench.cli import completion, options
from ngbench.cli.options import spliced
from ngbench.cli.outputs import Outputs
from ngbench.experiments.fisher_error.request import APPROXIMATIONS, FisherErrorOptions, FisherErrorRequest

__all__ = ["fisher_error"]


@spliced
def fisher_error(
    *,
    task: options.TaskName,
    approximations: Annotated[
        list[str] | None,
        typer.Option(
            "--approximations",
            "-a",
            metavar="[LABEL@]NAME[:KEY=VALUE,...]",
            autocompletion=completion.approximations,
            help="What to measure: several with commas between them, repeatable.",
            show_default=APPROXIMATIONS.replace(",", ", "),
        ),
    ] = None,
    settings: options.Settings = None,
    run: FisherErrorOptions,
    outputs: Outputs,
    quiet: options.Quiet = False,
) -> None:
    """Measure how well Kronecker approximations match the Fisher matrix.

    One optimizer trains; at some of its updates, every approximation of the chosen layer's Fisher block is computed
    from the same samples and compared with the block itself: Error 1 is the relative error in Frobenius norm, Error 2
    that of the sorted spectra. Neither matrix is formed.

    Example: ngbench fisher-error curves-autoencoder --steps 300
    """
    from ngbench.arms import parse_arms
    from ngbench.cli.execution import run_and_report
    from ngbench.experiments.fisher_error.measure import measure_fisher_errors
    from ngbench.report.progress.fisher_errors import FisherErrorProgress

    request = FisherErrorRequest(
        task=task,
        approximations=parse_arms(approximations or [APPROXIMATIONS]),
        task_options=options.task_settings(settings),
        options=run,
    )
    code = run_and_report(
        f"fisher-error-{task}",
        lambda kept, reporter: measure_fisher_errors(request, place=kept.place, observer=FisherErrorProgress(reporter)),
        outputs,
        quiet=quiet,
    )
    raise typer.Exit(code)
