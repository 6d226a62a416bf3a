"""``ngbench check``: a gate for CI."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from ngbench.disk.files import given_destination, given_path
from ngbench.records.thresholds import DEFAULT_ABSOLUTE_FLOOR, DEFAULT_THRESHOLDS
from ngbench.running.limits import LIMITS

__all__ = ["check"]

_RULE = "What fails"
_WHAT = "What is compared"
_OUTPUT = "Results"


class Inconclusive(str, enum.Enum):
    """What an inconclusive comparison does."""

    SHOW = "show"
    FAIL = "fail"


def check(
    current: Annotated[
        Path,
        typer.Argument(metavar="CURRENT", parser=given_path, help="Exported JSON file or --output directory to judge."),
    ],
    baseline: Annotated[
        Path,
        typer.Option("--baseline", parser=given_path, metavar="BASELINE", help="File or directory to compare with."),
    ],
    fail_if: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-if",
            metavar="METRIC:THRESHOLD",
            help="How much worse a metric may get, as 5%, 64MiB, 1ms or a plain number (repeatable). It replaces "
            f"those of pyproject.toml. (default: {', '.join(DEFAULT_THRESHOLDS)})",
            rich_help_panel=_RULE,
        ),
    ] = None,
    absolute_floor: Annotated[
        str,
        typer.Option(
            "--absolute-floor",
            metavar="DURATION",
            help="A difference of time under this is no regression.",
            rich_help_panel=_RULE,
        ),
    ] = DEFAULT_ABSOLUTE_FLOOR,
    inconclusive: Annotated[
        Inconclusive,
        typer.Option("--inconclusive", help="Whether what noise hides fails too.", rich_help_panel=_RULE),
    ] = Inconclusive.SHOW,
    reference: Annotated[
        str | None,
        typer.Option(
            "--reference",
            metavar="ARM",
            help="Arm that ratios refer to. (default: the baseline's first)",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    arm: Annotated[
        list[str] | None,
        typer.Option("--arm", metavar="LABEL", help="Look at this arm only (repeatable).", rich_help_panel=_WHAT),
    ] = None,
    target_loss: Annotated[
        float | None,
        typer.Option(
            "--target-loss",
            parser=LIMITS["target-loss"].convert,
            help="Loss of seconds_to_target and epochs_to_target. (default: the recorded one)",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    allow_missing_baseline: Annotated[
        bool,
        typer.Option(
            "--allow-missing-baseline", help="Pass if there is nothing at BASELINE yet.", rich_help_panel=_WHAT
        ),
    ] = False,
    update_baseline: Annotated[
        bool,
        typer.Option(
            "--update-baseline",
            help="Write CURRENT to BASELINE, one file, if the check passes.",
            rich_help_panel=_OUTPUT,
        ),
    ] = False,
    accept: Annotated[
        bool,
        typer.Option(
            "--accept",
            help="With --update-baseline: write it even if the check fails; the exit code says so still.",
            rich_help_panel=_OUTPUT,
        ),
    ] = False,
    markdown: Annotated[
        str | None,
        typer.Option(
            "--markdown",
            parser=given_destination,
            metavar="FILE",
            help="Write a table for a pull request; - is stdout.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    json: Annotated[
        str | None,
        typer.Option(
            "--json",
            parser=given_destination,
            metavar="FILE",
            help="Write the verdicts as JSON; - is stdout.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    github: Annotated[
        bool, typer.Option("--github", help="Print annotations for GitHub Actions.", rich_help_panel=_OUTPUT)
    ] = False,
) -> None:
    """Say whether the runs in CURRENT are worse than those in BASELINE, and fail if they are.

    A metric is worse when the whole 98 % interval of its change is beyond the threshold; better and same likewise;
    otherwise it is inconclusive, which is shown and does not fail. Exit code 3: something is worse. 4: something
    cannot be compared (another task, hyper-parameter, machine, ... or an arm that vanished). 0: neither.

    Metrics: step_time.ratio (to the reference arm, portable between machines), step_time, step_time.median,
    phase.NAME.seconds, .ratio, .flops, .bytes and .calls (NAME may be *), peak_memory, optimizer_state,
    training_loss, best_training_loss, validation_loss, best_validation_loss, seconds_to_target, epochs_to_target,
    fisher_error.NAME. All are better when lower.

    A project can keep its thresholds in pyproject.toml: fail-if = ["step_time.ratio:5%"] in the table
    tool.ngbench.check.

    Example: ngbench check now.json --baseline main.json --fail-if step_time.ratio:5% --fail-if training_loss:1%
    """
    from ngbench.cli.gate import GateRequest, run_gate

    run_gate(
        GateRequest(
            current=current,
            baseline=baseline,
            fail_if=fail_if or [],
            absolute_floor=absolute_floor,
            fail_on_inconclusive=inconclusive is Inconclusive.FAIL,
            reference=reference,
            arms=arm or [],
            target_loss=target_loss,
            allow_missing_baseline=allow_missing_baseline,
            update_baseline=update_baseline,
            accept=accept,
            markdown=markdown,
            json=json,
            github=github,
        )
    )
