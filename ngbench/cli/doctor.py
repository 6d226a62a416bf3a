"""``ngbench doctor``."""

from __future__ import annotations

from typing import Annotated

import typer

from ngbench.cli import declared, options
from ngbench.cli.options import Only, spliced
from ngbench.cli.outputs import Outputs
from ngbench.experiments.doctor.examination import OPTIMIZER, REFERENCES, TASK
from ngbench.running.request import RunOptions

__all__ = ["doctor"]

_NOISE = "A/A noise"


@spliced
def doctor(
    *,
    task: Annotated[
        str | None,
        typer.Option(
            "--task",
            metavar="NAME",
            help=f"Measure the noise on this task; {TASK} if only --optimizer is given.",
            rich_help_panel=_NOISE,
        ),
    ] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(
            "--optimizer",
            "-o",
            metavar="[LABEL@]NAME[:KEY=VALUE,...]",
            help=f"Measure the noise of this optimizer; {OPTIMIZER} if only --task is given.",
            rich_help_panel=_NOISE,
        ),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            "--reference",
            metavar="NAME",
            help="Optimizer that ratios refer to.",
            show_default=" or ".join(REFERENCES),
            rich_help_panel=_NOISE,
        ),
    ] = None,
    threshold: Annotated[
        str,
        typer.Option(
            "--threshold", metavar="PERCENT", help="Threshold of ngbench check to judge by.", rich_help_panel=_NOISE
        ),
    ] = "5%",
    comparisons: Annotated[
        int, declared.number("--comparisons", "How often to make the same comparison.", _NOISE, like="steps")
    ] = 4,
    steps: Annotated[int, declared.number("--steps", "Steps of each optimizer in a comparison.", _NOISE)] = 240,
    settings: options.Settings = None,
    run: Annotated[RunOptions, Only({"batch_size", "device", "dtype", "threads", "data_dir"})],
    outputs: Annotated[Outputs, Only({"json"})],
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

    from rich.console import Console

    from ngbench.cli.reporting import check_exports, console_for_results, do_each
    from ngbench.disk.files import write_text
    from ngbench.experiments.doctor.examination import DoctorRequest, examine
    from ngbench.experiments.doctor.findings import findings_document
    from ngbench.records.documents import dump
    from ngbench.report import view
    from ngbench.report.renderers import terminal

    check_exports(outputs.json)
    messages = Console(stderr=True, quiet=quiet)
    request = DoctorRequest(
        task=task,
        optimizer=optimizer,
        reference=reference,
        threshold=threshold,
        comparisons=comparisons,
        steps=steps,
        task_options=options.task_settings(settings),
        options=run,
    )
    # A plugin that prints must not write into an export that goes to stdout.
    with redirect_stdout(sys.stderr):
        findings = examine(
            request, note=lambda line: messages.print(line, highlight=False, markup=False, soft_wrap=True)
        )
    document = findings_document(findings)

    def write() -> None:
        if outputs.json is not None:
            write_text(dump(document), outputs.json)

    def show() -> None:
        if not outputs.use_stdout:
            terminal.show(view(document), console_for_results())

    do_each(write, show)
