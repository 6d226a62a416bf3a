"""``ngbench compare``: one task, several optimizers side by side."""

from __future__ import annotations

from typing import Annotated

import typer

from ngbench.cli import completion, declared, options
from ngbench.cli.options import Only, spliced
from ngbench.cli.outputs import Outputs
from ngbench.experiments.gate_rules import SIDES_THRESHOLDS, GateRules
from ngbench.running.limits import Seeds
from ngbench.running.request import Request, RunOptions

__all__ = ["compare"]

_GATE = "What fails"


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
    restarts: Annotated[
        int,
        declared.number(
            "--restarts",
            "Make each run in this many fresh processes, one after the other: only times differ, and their intervals "
            "are of what differs between processes.",
            "Machine",
            limits=Seeds,
        ),
    ] = 1,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="REF|ENVIRONMENT",
            help="Run each arm with other code too, in turns, and fail if this one is worse: a commit, branch or tag "
            "of the repository around the current directory, or the path of a virtual environment.",
            rich_help_panel=_GATE,
        ),
    ] = None,
    fail_if: Annotated[
        list[str] | None, declared.fail_if(SIDES_THRESHOLDS, "Metrics are those of ngbench check.", _GATE)
    ] = None,
    rules: Annotated[GateRules, Only(("absolute_floor", "inconclusive"))],
    github: Annotated[bool, declared.github(_GATE)] = False,
    outputs: Outputs,
    quiet: options.Quiet = False,
) -> None:
    """Train one task with several optimizers side by side.

    All arms start from the same weights and see the data in the same order. Each has a process of its own,
    and they take turns of some steps, so that neither memory nor the machine's drift is shared unevenly. The
    table says what each reached and what it cost; --reference is the arm that the others are compared with.

    With --against, each arm runs with this code and with another, and the exit code is that of ngbench check.

    Example: ngbench compare curves-autoencoder -o sgd,adam,kfac --epochs 5
    """
    from ngbench.running.children import expect_children

    expect_children()
    from ngbench.arms import parse_arms
    from ngbench.cli.execution import run_and_report
    from ngbench.errors import ParameterError
    from ngbench.experiments import comparison
    from ngbench.experiments.against import Against
    from ngbench.running.best_settings import load_settings

    if against is None and (fail_if or github or rules != GateRules()):
        raise ParameterError("--fail-if, --absolute-floor, --inconclusive and --github need --against")
    request = Request(
        task=task,
        arms=parse_arms(optimizer),
        task_options=options.task_settings(settings),
        options=run,
        tuned=None if hyperparameters is None else load_settings(hyperparameters, task),
    )
    code = run_and_report(
        f"compare-{task}",
        lambda kept, reporter: comparison.compare(
            request,
            place=kept.place,
            observer=reporter,
            reference=reference,
            against=None if against is None else Against(against, fail_if or (), rules),
            restarts=restarts,
        ),
        outputs,
        quiet=quiet,
        reference=reference,
        annotate=github,
    )
    raise typer.Exit(code)
