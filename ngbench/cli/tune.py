"""``ngbench tune``: search for the hyper-parameters of optimizers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ngbench.cli import options
from ngbench.cli.options import Only, Without, spliced
from ngbench.cli.outputs import Outputs
from ngbench.disk.files import given_destination, given_path
from ngbench.running.limits import SEARCH_LIMITS
from ngbench.running.option_fields import options_of
from ngbench.running.request import DIAGNOSTICS, Request, RunOptions

__all__ = ["tune"]

_SEARCH = "Search"


@spliced
def tune(
    *,
    task: options.TaskName,
    optimizer: Annotated[
        list[str],
        typer.Option(
            "--optimizer",
            "-o",
            metavar="[LABEL@]NAME[:KEY=VALUE,...]",
            help="An optimizer, or several with commas between them (repeatable); what is given for one is fixed.",
        ),
    ],
    search: Annotated[
        list[str] | None,
        typer.Option(
            "--search",
            metavar="[ARM:]KEY=VALUES",
            help="What to try: values lr=0.1,0.01 or a range lr=1e-4..1e-1:log (repeatable).",
            show_default="the task's published grid",
            rich_help_panel=_SEARCH,
        ),
    ] = None,
    space: Annotated[
        Path | None,
        typer.Option(
            "--space",
            parser=given_path,
            metavar="FILE",
            help="What to try, from a YAML file: "
            "{arms: {NAME: {lr: [0.1, 0.01], damping: {low: 1e-4, high: 1, log: true}}}}.",
            rich_help_panel=_SEARCH,
        ),
    ] = None,
    sampler: Annotated[
        str | None,
        typer.Option(
            "--sampler",
            metavar="grid|random|tpe",
            help="How points are chosen.",
            show_default="grid, or tpe where there is a range",
            rich_help_panel=_SEARCH,
        ),
    ] = None,
    sampler_seed: Annotated[
        int,
        typer.Option(
            "--sampler-seed",
            metavar="N",
            parser=options_of(RunOptions)["seed"].convert,
            help="Seed of the sampler, and of the order of a grid.",
            rich_help_panel=_SEARCH,
        ),
    ] = 0,
    trials: Annotated[
        int | None,
        typer.Option(
            "--trials",
            metavar="N",
            parser=SEARCH_LIMITS["trials"].convert,
            help="Trials of each arm.",
            show_default="the whole grid",
            rich_help_panel=_SEARCH,
        ),
    ] = None,
    metric: Annotated[
        str,
        typer.Option(
            "--metric",
            metavar="NAME[:min|max]",
            help="What decides: training_loss, best_training_loss, validation_loss, best_validation_loss, "
            "seconds_to_target, epochs_to_target, or a metric of the task such as metric.accuracy.",
            rich_help_panel=_SEARCH,
        ),
    ] = "training_loss",
    storage: Annotated[
        Path | None,
        typer.Option(
            "--storage",
            parser=given_path,
            metavar="FILE",
            help="The trials: SQLite (.db, .sqlite) or a journal (.journal, .log). One that exists is gone on with, "
            "also by several processes and machines at the same time.",
            show_default="trials.journal in the output directory",
            rich_help_panel=_SEARCH,
        ),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            "--workers",
            metavar="N",
            parser=SEARCH_LIMITS["workers"].convert,
            help="Trials that run at the same time, each in a process of its own.",
            rich_help_panel=_SEARCH,
        ),
    ] = 1,
    settings: options.Settings = None,
    run: Annotated[RunOptions, Without({"turn_steps", *DIAGNOSTICS})],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            parser=given_path,
            metavar="DIR",
            help="Keep the trials, a record of each run, and the best hyper-parameters here.",
            rich_help_panel="Results",
        ),
    ] = None,
    write_hyperparameters: Annotated[
        str | None,
        typer.Option(
            "--write-hyperparameters",
            parser=given_destination,
            metavar="FILE",
            help="Write the best of each arm, for --hyperparameters of train and compare; - is stdout.",
            show_default="hyperparameters.yaml in the output directory",
            rich_help_panel="Results",
        ),
    ] = None,
    outputs: Annotated[Outputs, Only({"json", "markdown"})],
    quiet: options.Quiet = False,
) -> None:
    """Search for the hyper-parameters of one or several optimizers, each with the same number of trials.

    A trial is what ngbench train would do. The published grid of the task is searched unless you give values or
    ranges; a trial that diverges is a result. The table says the best, the spread, how much each setting matters, and
    what the search cost. The same command on the same storage goes on where it was, and shares the trials with those
    that run already.

    Example: ngbench tune curves-autoencoder -o sgd,kfac --trials 8 --epochs 2 --workers 2 --output search
    """
    from ngbench.arms import parse_arms
    from ngbench.cli.tune_execution import TuneOutputs, run_tune
    from ngbench.experiments.search.given_spaces import given_spaces
    from ngbench.experiments.search.plan import SearchRequest

    arms = parse_arms(optimizer)
    request = SearchRequest(
        run=Request(task=task, arms=arms, task_options=options.task_settings(settings), options=run),
        spaces=given_spaces(arms, task, space, search or []),
        sampler=sampler,
        trials=trials,
        metric=metric,
        sampler_seed=sampler_seed,
    )
    destinations = TuneOutputs(
        directory=output,
        storage=storage,
        hyperparameters=write_hyperparameters,
        json=outputs.json,
        markdown=outputs.markdown,
    )
    raise typer.Exit(run_tune(request, destinations, workers=workers, quiet=quiet))
