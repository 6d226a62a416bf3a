"""``ngbench reproduce``: run studies, and judge the claims that they make."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from ngbench.cli import options
from ngbench.cli.options import Only, spliced
from ngbench.cli.outputs import Outputs
from ngbench.disk.files import given_path
from ngbench.running.option_fields import options_of
from ngbench.running.request import RunOptions

__all__ = ["reproduce"]


class Scale(str, Enum):
    """How much of a study is run."""

    smoke = "smoke"
    laptop = "laptop"
    full = "full"


@spliced
def reproduce(
    *,
    studies: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[STUDY]...", help="Names (see ngbench list studies), or YAML files.", show_default=False
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All studies that come with ngbench.")] = False,
    scale: Annotated[
        Scale,
        typer.Option("--scale", help="smoke is seconds a study, laptop minutes on two cores, full as published."),
    ] = Scale.laptop,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            parser=given_path,
            metavar="DIR",
            help="Each study gets a directory here: records, verdicts and figure.",
            rich_help_panel="Results",
        ),
    ] = Path("ngbench-studies"),
    seeds: Annotated[
        int | None,
        typer.Option(
            "--seeds",
            metavar="N",
            parser=options_of(RunOptions)["seeds"].convert,
            help="Seeds.",
            show_default="the study's",
        ),
    ] = None,
    hyperparameters: Annotated[
        Path | None,
        typer.Option(
            "--hyperparameters",
            parser=given_path,
            metavar="FILE",
            help="Best settings that ngbench tune wrote: for arms of their optimizers, where the task is theirs.",
        ),
    ] = None,
    run: Annotated[RunOptions, Only({"device", "threads", "data_dir"})],
    outputs: Annotated[Outputs, Only({"resume", "json", "markdown"})],
    quiet: options.Quiet = False,
) -> None:
    """Run studies, and judge the claims that they make.

    A study is one figure or table of the thesis, or a YAML file of your own. Each comparison in it runs as compare,
    gan or fisher-error would run it; then each claim is reproduced, contradicted, inconclusive (its interval over
    seeds reaches over the boundary) or not tested at this scale, and the figure is drawn in the layout of the
    original, beside the published curves. The smoke scale shows that everything runs: all arms share a process, and
    no operations are counted. Everything is checked before anything runs. ngbench report makes a page of
    the directory.

    Example: ngbench reproduce figure-3.2 --scale smoke --output studies
    """
    from ngbench.cli.study_cells import Conditions
    from ngbench.cli.study_execution import Reproduction, reproduce_studies
    from ngbench.errors import ParameterError
    from ngbench.experiments.studies.loader import study_names

    if everything == bool(studies):
        raise ParameterError("name the studies to run, or give --all, not both")
    conditions = Conditions(
        resume=outputs.resume,
        seeds=seeds,
        data_dir=run.data_dir,
        device=run.device,
        threads=run.threads,
        # To start a process and to count operations takes seconds, more than all else at the smallest scale.
        own_processes=scale is not Scale.smoke,
        count_operations=scale is not Scale.smoke,
        quiet=quiet,
    )
    request = Reproduction(
        names=study_names() if everything else studies or [],
        scale=scale.value,
        output=output,
        conditions=conditions,
        hyperparameters=hyperparameters,
        json=outputs.json,
        markdown=outputs.markdown,
    )
    raise typer.Exit(reproduce_studies(request))
