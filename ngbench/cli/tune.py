"""``ngbench tune``: search for the hyper-parameters of optimizers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ngbench.cli import completion, declared, options
from ngbench.cli.options import Only, Without, spliced
from ngbench.cli.outputs import Outputs, kept_in
from ngbench.experiments.search.request import SearchOptions, SearchRequest
from ngbench.running.request import DIAGNOSTICS, Request, RunOptions

if TYPE_CHECKING:
    from ngbench.experiments.search.search import SearchResult

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
            autocompletion=completion.arms,
            help="An optimizer, or several with commas between them (repeatable); what is given for one is fixed.",
        ),
    ],
    values: Annotated[
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
        declared.path(
            "--space",
            metavar="FILE",
            help="What to try, from a YAML file: "
            "{arms: {NAME: {lr: [0.1, 0.01], damping: {low: 1e-4, high: 1, log: true}}}}.",
            panel=_SEARCH,
        ),
    ] = None,
    how: SearchOptions,
    settings: options.Settings = None,
    run: Annotated[RunOptions, Without({"turn_steps", *DIAGNOSTICS})],
    write_hyperparameters: Annotated[
        str | None,
        declared.written(
            "--write-hyperparameters",
            "Write the best of each arm, for --hyperparameters of train and compare; - is stdout.",
            shown="hyperparameters.yaml in the output directory",
        ),
    ] = None,
    outputs: Annotated[Outputs, Only({"no_output", "json", "markdown", "figures", "columns"})],
    quiet: options.Quiet = False,
) -> None:
    """Search for the hyper-parameters of one or several optimizers, each with the same number of trials.

    A trial is what ngbench train would do. The published grid of the task is searched unless you give values or
    ranges; a trial that diverges is a result. The table says the best, the spread, how much each setting matters, and
    what the search cost. The same command on the same storage continues the search; processes that run it at the
    same time share the trials.

    Example: ngbench tune curves-autoencoder -o sgd,kfac --trials 8 --epochs 2 --workers 2 --output search
    """
    from ngbench.running.children import expect_children

    expect_children()
    from rich.console import Console

    from ngbench.arms import parse_arms
    from ngbench.cli.keeping import opening
    from ngbench.cli.reporting import check_exports, do_each
    from ngbench.disk.files import check_directory
    from ngbench.experiments.search.given_spaces import given_spaces
    from ngbench.experiments.search.search import BEST_FILE, search
    from ngbench.report.progress.search import SearchProgress
    from ngbench.report.renderers.figures import check_place
    from ngbench.running.session import one_interrupt

    check_exports(write_hyperparameters, outputs.json, outputs.markdown, within=how.output)
    if outputs.figures is not None:
        check_place(outputs.figures)
    if how.output is not None:
        check_directory(how.output)
    arms = parse_arms(optimizer)
    request = SearchRequest(
        run=Request(task=task, arms=arms, task_options=options.task_settings(settings), options=run),
        spaces=given_spaces(arms, task, space, values or []),
        options=how,
    )
    # What a storage holds is kept already, and several processes may share it.
    nowhere = outputs.no_output or (how.output is None and how.storage is not None)
    with kept_in(how.output, f"tune-{task}", nowhere=nowhere) as directory, one_interrupt():
        said = opening(directory, resume=False) if directory is not None and how.output is None else ()
        with SearchProgress(Console(stderr=True), quiet=quiet, introduction=said) as progress:
            result = search(replace(request, options=replace(how, output=directory)), reporter=progress)
        best: str | Path | None = write_hyperparameters
        if best is None and directory is not None:
            best = directory / BEST_FILE
        do_each(*_steps(result, best, outputs, directory))
    if result.error is not None:
        raise result.error
    raise typer.Exit(1 if result.interrupted else 0)


def _steps(
    result: SearchResult, best: str | Path | None, outputs: Outputs, directory: Path | None
) -> list[Callable[[], object]]:
    """What writes the best and all that was asked for, then prints what there is to see."""
    from ngbench.cli.keeping import closing
    from ngbench.cli.reporting import console_for_results, raise_last, say
    from ngbench.disk.files import STANDARD_OUTPUT
    from ngbench.experiments.search.results import write_best
    from ngbench.report import view
    from ngbench.report.columns import chosen
    from ngbench.report.exports.destinations import export_steps
    from ngbench.report.renderers import terminal

    console = console_for_results(on_stderr=STANDARD_OUTPUT in (best, outputs.json, outputs.markdown))
    steps: list[Callable[[], object]] = []
    if best is not None and result.has_best:
        steps.append(partial(write_best, result.document, best))
    steps += export_steps(result.document, json=outputs.json, markdown_file=outputs.markdown, figures=outputs.figures)
    steps.append(lambda: terminal.show(chosen(view(result.document), outputs.columns), console))
    if best not in (None, STANDARD_OUTPUT) and result.has_best:
        steps.append(partial(say, console, f"Best hyper-parameters: {best}"))
    if directory is not None:
        last = closing(directory, unfinished=result.interrupted, resume=False)
        steps += [partial(say, console, line) for line in last]
    if result.problem is not None:
        steps.append(partial(raise_last, [result.problem]))
    return steps
