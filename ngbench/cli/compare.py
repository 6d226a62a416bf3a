"""``ngbench compare``: one task, several optimizers side by side."""

from __future__ import annotations

from typing import Annotated

import typer

from ngbench.cli import options

__all__ = ["compare"]


def compare(
    task: options.TaskName,
    optimizer: Annotated[
        list[str],
        typer.Option(
            "--optimizer",
            "-o",
            metavar="[LABEL@]NAME[:KEY=VALUE,...]",
            help="An optimizer, or several with commas between them (repeatable); see ngbench list optimizers.",
        ),
    ],
    reference: Annotated[
        str | None,
        typer.Option("--reference", metavar="ARM", help="Arm that ratios refer to.", show_default="the first"),
    ] = None,
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
    turn_steps: options.TurnSteps = None,
    data_dir: options.DataDir = None,
    output: options.Output = None,
    resume: options.Resume = False,
    export_json: options.ExportJson = None,
    export_csv: options.ExportCsv = None,
    export_markdown: options.ExportMarkdown = None,
    figures: options.Figures = None,
    diagnostics: options.Diagnostics = False,
    diagnostics_interval: options.DiagnosticsInterval = 10,
    diagnostics_damping: options.DiagnosticsDamping = 1e-3,
    quiet: options.Quiet = False,
) -> None:
    """Train one task with several optimizers side by side.

    All arms start from the same weights and see the data in the same order. Each has a process of its own,
    and they take turns of some steps, so that neither memory nor the machine's drift is shared unevenly. The
    table says what each reached and what it cost; --reference is the arm that the others are compared with.

    Example: ngbench compare curves-autoencoder -o sgd,adam,kfac --epochs 5
    """
    from ngbench.arms import parse_arms
    from ngbench.cli.execution import Outputs, run_and_report
    from ngbench.errors import UnknownNameError
    from ngbench.running.plan import Request
    from ngbench.running.settings import load_settings

    arms = parse_arms(optimizer)
    labels = [arm.label for arm in arms]
    if reference is not None and reference not in labels:
        raise UnknownNameError("arm", reference, labels)
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
        turn_steps=turn_steps,
        data_dir=str(data_dir) if data_dir is not None else None,
        tuned=None if hyperparameters is None else load_settings(hyperparameters, task),
        diagnostics=diagnostics,
        diagnostics_interval=diagnostics_interval,
        diagnostics_damping=diagnostics_damping,
    )
    outputs = Outputs(
        directory=output,
        resume=resume,
        json=export_json,
        csv=export_csv,
        markdown=export_markdown,
        figures=figures,
    )
    raise typer.Exit(run_and_report(request, outputs, quiet=quiet, reference=reference))
