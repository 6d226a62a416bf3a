"""``ngbench train``: one task, one optimizer."""

from __future__ import annotations

from typing import Annotated

import typer

from ngbench.cli import options

__all__ = ["train"]


def train(
    task: options.TaskName,
    optimizer: Annotated[
        str,
        typer.Option(
            "--optimizer",
            "-o",
            metavar="NAME[:KEY=VALUE,...]",
            help="The optimizer (see ngbench list optimizers), or a class such as torch.optim.AdamW.",
        ),
    ],
    settings: options.Settings = None,
    hyperparameters: options.Hyperparameters = None,
    batch_size: options.BatchSize = None,
    seed: options.Seed = 0,
    seeds: options.Seeds = 1,
    epochs: options.Epochs = None,
    steps: options.Steps = None,
    time_limit: options.TimeLimit = None,
    target_loss: options.TargetLoss = None,
    early_stopping: options.EarlyStopping = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "float32",
    threads: options.Threads = None,
    data_dir: options.DataDir = None,
    output: options.Output = None,
    resume: options.Resume = False,
    export_json: options.ExportJson = None,
    export_csv: options.ExportCsv = None,
    export_markdown: options.ExportMarkdown = None,
    figures: options.Figures = None,
    quiet: options.Quiet = False,
) -> None:
    """Train one task with one optimizer.

    Shows progress, then what the run reached and what it cost. The optimizer's hyper-parameters are those
    published for the task unless you give others.

    Example: ngbench train curves-autoencoder --optimizer adam:lr=0.001 --epochs 5
    """
    from ngbench.arms import parse_arms
    from ngbench.cli.execution import Outputs, run_and_report
    from ngbench.errors import ParameterError
    from ngbench.running.plan import Request
    from ngbench.running.settings import load_settings

    arms = parse_arms([optimizer])
    if len(arms) != 1:
        raise ParameterError(
            f"--optimizer {optimizer!r} names {len(arms)} optimizers, train takes one; use ngbench compare"
        )
    request = Request(
        task=task,
        arms=arms,
        task_options=options.task_settings(settings),
        epochs=epochs,
        steps=steps,
        time_limit=options.parse_duration(time_limit),
        early_stopping=early_stopping,
        target_loss=target_loss,
        batch_size=batch_size,
        seed=seed,
        seeds=seeds,
        device=device,
        dtype=dtype,
        threads=threads,
        data_dir=str(data_dir) if data_dir is not None else None,
        tuned=None if hyperparameters is None else load_settings(hyperparameters, task),
    )
    outputs = Outputs(
        directory=output,
        resume=resume,
        json=export_json,
        csv=export_csv,
        markdown=export_markdown,
        figures=figures,
    )
    raise typer.Exit(run_and_report(request, outputs, quiet=quiet, alone=True))
