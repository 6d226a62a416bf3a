"""``ngbench gan``: a generator and a critic, several pairs of optimizers side by side."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from ngbench.cli import completion, options
from ngbench.cli.options import spliced
from ngbench.cli.outputs import Outputs
from ngbench.running.request import AdversarialOptions, AdversarialRequest

if TYPE_CHECKING:
    from ngbench.experiments.runs import Ran
    from ngbench.report.progress.runs import Reporter

__all__ = ["gan"]


@spliced
def gan(
    *,
    task: options.TaskName,
    players: Annotated[
        list[str] | None,
        typer.Option(
            "--players",
            "-p",
            metavar="[LABEL@]SETTING|GENERATOR+CRITIC",
            autocompletion=completion.players,
            help="Optimizers of the two players: a setting that the task names, or a pair such as "
            "adam+kfac:lr=0.01; several with commas between them (repeatable).",
            show_default="all settings of the task, such as adam, kfac1 and kfac3",
        ),
    ] = None,
    reference: options.Reference = None,
    settings: options.Settings = None,
    run: AdversarialOptions,
    outputs: Outputs,
    quiet: options.Quiet = False,
) -> None:
    """Train a generator and a critic with several pairs of optimizers side by side.

    A Wasserstein GAN with gradient penalty: the critic takes several steps for each one of the generator. All
    arms start from the same weights and draw the same data and noise; each has a process of its own, and they
    take turns of some steps. The table says how far the images of each are from the real ones (Fréchet distance)
    and what each player cost. The images made of the same noise after each epoch are kept as PNG files in the
    directory samples, beside the records or the figures.

    Example: ngbench gan gan-mnist --set width=16 --players adam,kfac3,adam+kfac:lr=0.01,damping=0.001
    """
    from ngbench.running.children import expect_children

    expect_children()
    from ngbench.arms import parse_players
    from ngbench.cli.execution import run_and_report
    from ngbench.experiments.comparison import compare_players
    from ngbench.running.samples import DIRECTORY

    request = AdversarialRequest(
        task=task,
        arms=parse_players(players or []),
        task_options=options.task_settings(settings),
        options=run,
    )

    def make(kept: Outputs, reporter: Reporter) -> Ran:
        drawing = replace(request, samples=None if kept.origin is None else kept.origin / DIRECTORY)
        return compare_players(drawing, place=kept.place, observer=reporter, reference=reference)

    raise typer.Exit(run_and_report(f"gan-{task}", make, outputs, quiet=quiet, reference=reference))
