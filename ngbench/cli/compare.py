"""``ngbench compare``: one task, several optimizers side by side."""

from __future__ import annotations

from typing import Annotated

import typer

from ngbench.cli import completion, options
from ngbench.cli.options import spliced
from ngbench.cli.outputs import Outputs
from ngbench.running.request import Request, RunOptions

__all__ = ["compare"]


@spliced
def compare(
    *,
    task: options.TaskName,
    optimizer: Annotated[
        list[str],
        typer.Option(
            "--optimizer",
            "-o",
            metavar="[LABEL@]NAME[:KEY=VALUE,...]",
            autocompletion=completion.arms,
            help="An optimizer, or several with commas between them (repeatable); see ngbench list optimizers.",
        ),
    ],
    reference: options.Reference = None,
    settings: options.Settings = None,
    hyperparameters: options.Hyperparameters = None,
    run: RunOptions,
    outputs: Outputs,
    quiet: options.Quiet = False,
) -> None:
    """Train one task with several optimizers side by side.

    All arms start from the same weights and see the data in the same order. Each has a process of its own,
    and they take turns of some steps, so that neither memory nor the machine's drift is shared unevenly. The
    table says what each reached and what it cost; --reference is the arm that the others are compared with.

    Example: ngbench compare curves-autoencoder -o sgd,adam,kfac --epochs 5
    """
    from ngbench.arms import parse_arms
    from ngbench.cli.execution import run_and_report
    from ngbench.experiments import comparison
    from ngbench.running.best_settings import load_settings

    request = Request(
        task=task,
        arms=parse_arms(optimizer),
        task_options=options.task_settings(settings),
        options=run,
        tuned=None if hyperparameters is None else load_settings(hyperparameters, task),
    )
    code = run_and_report(
        f"compare-{task}",
        lambda kept, reporter: comparison.compare(request, place=kept.place, observer=reporter, reference=reference),
        outputs,
        quiet=quiet,
        reference=reference,
    )
    raise typer.Exit(code)
