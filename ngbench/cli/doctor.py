"""``ngbench doctor``."""

from __future__ import annotations

from typing import Annotated

import typer

from ngbench.cli import options
from ngbench.cli.options import Only, spliced
from ngbench.cli.outputs import Outputs
from ngbench.experiments.doctor.examination import NoiseOptions
from ngbench.running.request import RunOptions

__all__ = ["doctor"]


@spliced
def doctor(
    *,
    noise: NoiseOptions,
    settings: options.Settings = None,
    run: Annotated[RunOptions, Only({"batch_size", "device", "dtype", "threads", "data_dir"})],
    outputs: Annotated[Outputs, Only({"json"})],
    quiet: options.Quiet = False,
    fail: Annotated[bool, typer.Option("--fail", help="Exit with 1 if anything is bad.")] = False,
) -> None:
    """Say what stands between this machine and measurements that can be trusted, and what to do about it.

    Looks at the clock, at load, frequency, quota and threads, at CUDA and cuDNN, at the data sets and the plugins.
    With --task or --optimizer it also makes the same comparison several times, where nothing changed, and says which
    slow-downs ngbench check would catch here and how many repeats a threshold needs.

    What is found does not change the exit code, which is 0, unless you give --fail: then it is 1 if anything is bad.

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
    from ngbench.records.experiments import FindingState
    from ngbench.report import view
    from ngbench.report.renderers import terminal

    check_exports(outputs.json)
    messages = Console(stderr=True, quiet=quiet)
    request = DoctorRequest(noise, options.task_settings(settings), run)
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
    if fail and any(one.state is FindingState.BAD for one in findings):
        raise typer.Exit(1)
