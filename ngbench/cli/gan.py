"""``ngbench gan``: a generator and a critic, several pairs of optimizers side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ngbench.cli import options
from ngbench.disk.files import given_path
from ngbench.running.limits import ADVERSARIAL_LIMITS, LIMITS

__all__ = ["gan"]

_SCORE = "Score"


def gan(
    task: options.TaskName,
    players: Annotated[
        list[str] | None,
        typer.Option(
            "--players",
            "-p",
            metavar="[LABEL@]SETTING|GENERATOR+CRITIC",
            help="Optimizers of the two players: a setting that the task names, or a pair NAME[:KEY=VALUE,...]+"
            "NAME[:KEY=VALUE,...], several with commas between them (repeatable).",
            show_default="all settings of the task: sgda,adam,kfac1,kfac2,kfac3",
        ),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option("--reference", metavar="ARM", help="Arm that ratios refer to.", show_default="the first"),
    ] = None,
    critic_steps: Annotated[
        int | None,
        typer.Option(
            "--critic-steps",
            metavar="N",
            parser=ADVERSARIAL_LIMITS["critic-steps"].convert,
            help="Steps of the critic for each one of the generator.",
            show_default="the task's",
        ),
    ] = None,
    penalty: Annotated[
        float | None,
        typer.Option(
            "--penalty",
            metavar="WEIGHT",
            parser=ADVERSARIAL_LIMITS["penalty"].convert,
            help="Weight of the gradient penalty.",
            show_default="the task's",
        ),
    ] = None,
    settings: options.Settings = None,
    batch_size: options.BatchSize = None,
    seed: options.Seed = 0,
    seeds: options.Seeds = 1,
    epochs: Annotated[
        int | None,
        typer.Option(
            "--epochs",
            metavar="N",
            parser=LIMITS["epochs"].convert,
            help="An epoch has one generator step for each whole mini-batch of the data.",
            show_default="the task's, without any other limit",
            rich_help_panel="Budget",
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps",
            metavar="N",
            parser=LIMITS["steps"].convert,
            help="Generator steps.",
            rich_help_panel="Budget",
        ),
    ] = None,
    time_limit: options.TimeLimit = None,
    early_stopping: Annotated[
        int | None,
        typer.Option(
            "--early-stopping",
            metavar="PATIENCE",
            parser=LIMITS["early-stopping"].convert,
            help="End a run after this many epochs without a new lowest score.",
            rich_help_panel="Budget",
        ),
    ] = None,
    fid_every: Annotated[
        int,
        typer.Option(
            "--fid-every",
            metavar="N",
            parser=ADVERSARIAL_LIMITS["fid-every"].convert,
            help="Epochs from one score to the next; the last epoch is always scored.",
            rich_help_panel=_SCORE,
        ),
    ] = 1,
    fid_samples: Annotated[
        int,
        typer.Option(
            "--fid-samples",
            metavar="N",
            parser=ADVERSARIAL_LIMITS["fid-samples"].convert,
            help="Images that are generated for a score, and at most as many real ones.",
            rich_help_panel=_SCORE,
        ),
    ] = 2000,
    fid_weights: Annotated[
        Path | None,
        typer.Option(
            "--fid-weights",
            parser=given_path,
            metavar="FILE",
            help="Inception's weights, a state_dict such as pt_inception-2015-12-05-6726825d.pth; loading it executes "
            "nothing.",
            show_default="a classifier trained on the data, whose score is no FID of Inception",
            rich_help_panel=_SCORE,
        ),
    ] = None,
    fid_features: Annotated[
        int,
        typer.Option(
            "--fid-features",
            metavar="64|192|768|2048",
            parser=ADVERSARIAL_LIMITS["fid-features"].convert,
            help="Inception's layer, by its number of features.",
            rich_help_panel=_SCORE,
        ),
    ] = 2048,
    device: options.Device = "auto",
    dtype: options.Dtype = "float32",
    threads: options.Threads = None,
    data_dir: options.DataDir = None,
    output: options.Output = None,
    resume: options.Resume = False,
    export_json: options.ExportJson = None,
    export_csv: options.ExportCsv = None,
    export_markdown: options.ExportMarkdown = None,
    figures: Annotated[
        Path | None,
        typer.Option(
            "--figures",
            parser=given_path,
            metavar="DIR",
            help="Draw scores, losses, costs and the images of each epoch, as PNG files.",
            rich_help_panel="Results",
        ),
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Train a generator and a critic with several pairs of optimizers side by side.

    A Wasserstein GAN with gradient penalty: the critic takes several steps for each one of the generator. All
    arms start from the same weights and draw the same data and noise; each has a process of its own, and they
    take turns epoch by epoch. The table says how far the images of each are from the real ones (Fréchet distance)
    and what each player cost. With --output or --figures, the images made of the same noise after each epoch are
    kept as PNG files in the directory samples there.

    Example: ngbench gan gan-mnist --set width=16 --players adam,kfac3,adam+kfac:lr=0.01,damping=0.001
    """
    from ngbench.cli.execution import Outputs
    from ngbench.cli.gan_execution import run_gan
    from ngbench.player_arms import parse_players
    from ngbench.running.adversarial_plan import AdversarialRequest

    request = AdversarialRequest(
        task=task,
        arms=parse_players(players or []),
        task_options=options.task_settings(settings),
        critic_steps=critic_steps,
        penalty=penalty,
        epochs=epochs,
        steps=steps,
        time_limit=options.parse_duration(time_limit),
        early_stopping=early_stopping,
        batch_size=batch_size,
        seed=seed,
        seeds=seeds,
        device=device,
        dtype=dtype,
        threads=threads,
        data_dir=str(data_dir) if data_dir is not None else None,
        fid_every=fid_every,
        fid_samples=fid_samples,
        fid_weights=fid_weights,
        fid_features=fid_features,
    )
    outputs = Outputs(
        directory=output,
        resume=resume,
        json=export_json,
        csv=export_csv,
        markdown=export_markdown,
        figures=figures,
    )
    raise typer.Exit(run_gan(request, outputs, quiet=quiet, reference=reference))
