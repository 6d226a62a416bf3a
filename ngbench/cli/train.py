"""``ngbench train``: one task, one optimizer."""

from __future__ import annotations

from typing import Annotated

import typer

from ngbench.cli import completion, options
from ngbench.cli.options import Without, spliced
from ngbench.cli.outputs import Outputs
from ngbench.running.request import DIAGNOSTICS, Request, RunOptions

__all__ = ["train"]


@spliced
def train(
    *,
    task: options.TaskName,
    optimizer: Annotated[
        str,
        typer.Option(
            "--optimizer",
            "-o",
            metavar="NAME[:KEY=VALUE,...]",
            autocompletion=completion.arms,
            help="The optimizer (see ngbench list optimizers), or a class such as torch.optim.AdamW.",
        ),
    ],
    settings: options.Settings = None,
    hyperparameters: options.Hyperparameters = None,
    run: Annotated[RunOptions, Without({"turn_steps", *DIAGNOSTICS})],
    outputs: Outputs,
    quiet: options.Quiet = False,
) -> None:
    """Train one task with one optimizer.

    Shows progress, then what the run reached and what it cost. The optimizer's hyper-parameters are those
    published for the task unless you give others.

    Example: ngbench train curves-autoencoder --optimizer adam:lr=0.001 --epochs 5
    """
    from ngbench.running.children import expect_children

    expect_children()
    from ngbench.arms import parse_arms
    from ngbench.cli.execution import run_and_report
    from ngbench.errors import ParameterError
    from ngbench.experiments.comparison import compare
    from ngbench.running.best_settings import load_settings

    arms = parse_arms([optimizer])
    if len(arms) != 1:
        raise ParameterError(
            f"--optimizer {optimizer!r} names {len(arms)} optimizers, train takes one; use ngbench compare"
        )
    request = Request(
        task=task,
        arms=arms,
        task_options=options.task_settings(settings),
        options=run,
        tuned=None if hyperparameters is None else load_settings(hyperparameters, task),
    )
    code = run_and_report(
        f"train-{task}",
        lambda kept, reporter: compare(request, place=kept.place, observer=reporter),
        outputs,
        quiet=quiet,
    )
    raise typer.Exit(code)
