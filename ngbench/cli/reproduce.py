"""``ngbench reproduce``: run studies, and judge the claims that they make."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ngbench.cli import completion, declared, options
from ngbench.cli.options import Only, spliced
from ngbench.cli.outputs import Outputs
from ngbench.errors import OUR_ERROR
from ngbench.records.results import RESULTS, new_directory
from ngbench.running.request import RunOptions

if TYPE_CHECKING:
    from rich.console import Console

    from ngbench.experiments.runs import ExperimentObserver
    from ngbench.experiments.studies.reproduction import StudyOutcome
    from ngbench.report.blocks import Block

__all__ = ["reproduce"]


class UntilOption(str, Enum):
    """When seeds are no longer added."""

    decided = "decided"


class ScaleOption(str, Enum):
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
            metavar="[STUDY]...",
            autocompletion=completion.studies,
            help="Names (see ngbench list studies), or YAML files.",
            show_default=False,
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All studies that come with ngbench.")] = False,
    scale: Annotated[
        ScaleOption,
        typer.Option("--scale", help="smoke is seconds a study, laptop minutes on two cores, full as published."),
    ] = ScaleOption.laptop,
    output: Annotated[
        Path | None,
        declared.path(
            "--output",
            metavar="DIR",
            help="Each study gets a directory here: records, verdicts and figure.",
            panel="Results",
            shown=f"a new one in {RESULTS}",
        ),
    ] = None,
    seeds: Annotated[int | None, declared.number("--seeds", "Seeds.", shown="the study's")] = None,
    until: Annotated[
        UntilOption | None,
        typer.Option(
            "--until",
            help="decided: begin with 3 seeds, and go on to 5, 8 and 12 for what a claim that is still open is about.",
        ),
    ] = None,
    minutes: Annotated[
        str | None,
        typer.Option("--minutes", metavar="N", help="With --until: add no seeds that would take a study beyond."),
    ] = None,
    hyperparameters: Annotated[
        Path | None,
        declared.path(
            "--hyperparameters",
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
    gan or fisher-error would run it; then each claim is reproduced, contradicted, inconclusive (it may be chance) or
    not tested, for a reason, and the figure is drawn in the layout of the original, beside the published curves. The
    smoke scale shows that everything runs: all arms share a process, and no operations are counted. Everything is
    checked before anything runs. ngbench report makes a page of the directory.

    Example: ngbench reproduce figure-3.2 --scale smoke --output studies
    """
    from ngbench import escaping
    from ngbench.cli.keeping import closing, opening
    from ngbench.cli.reporting import check_exports, console_for_results, do_each, say
    from ngbench.errors import ParameterError
    from ngbench.experiments.studies.cells import Conditions
    from ngbench.experiments.studies.loader import study_names
    from ngbench.experiments.studies.reproduction import load_studies, minutes_of_seeds, run_study, settings_for
    from ngbench.report.renderers import terminal
    from ngbench.units import format_seconds

    budget = minutes_of_seeds(until, seeds, minutes)
    if everything == bool(studies):
        raise ParameterError("name the studies to run, or give --all, not both")
    check_exports(outputs.json, outputs.markdown, within=output)
    if outputs.resume and output is None:
        raise ParameterError("--resume needs --output, the directory that holds what to go on with")
    names = study_names() if everything else studies or []

    subject = f"reproduce-{'all' if everything else '-'.join(names)}"
    made = new_directory(subject, "--output DIR keeps them elsewhere") if output is None else nullcontext(output)
    with made as directory:
        loaded = load_studies(names, directory, resume=outputs.resume)
        conditions = Conditions(
            resume=outputs.resume,
            seeds=seeds,
            until_decided=until is not None,
            minutes=budget,
            data_dir=run.data_dir,
            device=run.device,
            threads=run.threads,
            tuned=None if hyperparameters is None else settings_for(loaded, hyperparameters),
            # To start a process and to count operations takes seconds, more than all else at the smallest scale.
            own_processes=scale is not ScaleOption.smoke,
            count_operations=scale is not ScaleOption.smoke,
            watch=partial(_watch, quiet),
        )
        if output is None and not quiet:
            for line in opening(directory):
                print(escaping.terminal(line), file=sys.stderr)
        console = console_for_results(on_stderr=outputs.use_stdout)
        started = time.perf_counter()
        outcomes: list[StudyOutcome] = []
        codes: list[int] = []
        for one in loaded:
            outcomes.append(run_study(one.study, scale.value, directory, conditions))
            codes.append(_tell(outcomes[-1], console))
            if outcomes[-1].interrupted:
                break
        steps = _exports(outcomes, outputs)
        if len(loaded) > 1:
            steps.append(lambda: terminal.show(_summary(outcomes, codes), console))
        last = [f"total time: {format_seconds(time.perf_counter() - started)}"]
        last += closing(directory, unfinished=any(outcome.interrupted for outcome in outcomes))
        do_each(*steps, *(partial(say, console, line) for line in last))
    raise typer.Exit(next((code for code in codes if code), 0))


@contextmanager
def _watch(quiet: bool, measure: str) -> Iterator[ExperimentObserver]:
    """Progress on standard error. A plugin that prints must not write into an export that goes to stdout."""
    from rich.console import Console

    from ngbench.report.progress.fisher_errors import FisherErrorProgress
    from ngbench.report.progress.runs import reporter_for

    with redirect_stdout(sys.stderr), reporter_for(Console(stderr=True), quiet=quiet) as reporter:
        yield FisherErrorProgress(reporter) if measure == "fisher-error" else reporter


def _exports(outcomes: Sequence[StudyOutcome], outputs: Outputs) -> list[Callable[[], object]]:
    from ngbench.disk.files import write_text
    from ngbench.experiments.studies.reproduction import document_of_all
    from ngbench.report import view
    from ngbench.report.exports.destinations import export_steps
    from ngbench.report.renderers import markdown

    steps: list[Callable[[], object]] = []
    if outputs.json is not None:
        steps += export_steps(document_of_all(outcomes), json=outputs.json)
    if (file := outputs.markdown) is not None:
        blocks = [block for one in outcomes if one.document is not None for block in view(one.document)]
        steps.append(lambda: write_text(markdown.render(blocks, title="Studies"), file))
    return steps


def _tell(outcome: StudyOutcome, console: Console) -> int:
    """Draw a study's figure, say what went wrong, and print its verdicts: whatever it is, it stops no other study.

    Returns:
        The exit code: 0 if everything ran, whatever the verdicts.
    """
    from ngbench.cli.reporting import say_error

    code, name = int(outcome.failed), outcome.study.study
    if outcome.error is not None:
        code = say_error(outcome.error, name)
    for show in (_draw, _print):
        try:
            show(outcome, console)
        except Exception as error:
            code = say_error(error, name)
    return code


def _draw(outcome: StudyOutcome, console: Console) -> None:
    from ngbench.report.renderers.study_figure import draw_study
    from ngbench.report.sample_images import FIGURE_FILE

    if outcome.ran:
        draw_study(outcome.study, outcome.scale, outcome.ran, outcome.directory / FIGURE_FILE)


def _print(outcome: StudyOutcome, console: Console) -> None:
    from ngbench.cli.reporting import say
    from ngbench.report import view
    from ngbench.report.renderers import terminal
    from ngbench.units import format_seconds

    if outcome.document is None:
        return
    console.print()
    terminal.show(view(outcome.document), console)
    say(console, f"{format_seconds(outcome.seconds)} · {outcome.directory}")
    # Who reads along in a pipe should not wait for the next study.
    console.file.flush()


def _summary(outcomes: Sequence[StudyOutcome], codes: Sequence[int]) -> list[Block]:
    from ngbench.report.blocks import Column, Table
    from ngbench.report.views.study import claims_by_kind, count_verdicts
    from ngbench.units import format_seconds

    endings = [f"{count_verdicts(one.claims)}{_ending(one, code)}" for one, code in zip(outcomes, codes, strict=True)]
    columns = [
        Column("study", [one.study.study for one in outcomes], left=True),
        Column("time", [format_seconds(one.seconds) for one in outcomes]),
        Column("verdicts", endings, left=True),
    ]
    claims = [claim for one in outcomes for claim in one.claims]
    return [Table("Studies", columns), *claims_by_kind(claims), count_verdicts(claims)]


def _ending(outcome: StudyOutcome, code: int) -> str:
    if outcome.interrupted:
        return " (interrupted)"
    words = {0: "", 1: " (a run failed or diverged)", OUR_ERROR: " (an error of ngbench)"}
    return words.get(code, " (did not run)")
