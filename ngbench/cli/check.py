"""``ngbench check``: a gate for CI."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ngbench.cli import declared
from ngbench.cli.options import spliced
from ngbench.disk.files import given_path
from ngbench.experiments.gate_rules import DEFAULT_THRESHOLDS, DRIFT_THRESHOLDS, GateRules
from ngbench.records.quantities import names_for

if TYPE_CHECKING:
    from rich.console import Console

    from ngbench.experiments.gate import Gate

__all__ = ["check"]

_RULE = "What fails"
_WHAT = "What is compared"
_OUTPUT = "Results"


@spliced
def check(
    *,
    current: Annotated[
        Path,
        typer.Argument(metavar="CURRENT", parser=given_path, help="Exported JSON file or --output directory to judge."),
    ],
    baseline: Annotated[
        Path | None,
        declared.path("--baseline", metavar="BASELINE", help="File or directory to compare with."),
    ] = None,
    history: Annotated[
        Path | None,
        declared.path(
            "--history",
            metavar="DIR",
            help="In its place: a directory of earlier records, a file or directory for each time. Worse is what rose "
            f"along a straight line by more than allowed. (default of --fail-if: {', '.join(DRIFT_THRESHOLDS)})",
        ),
    ] = None,
    fail_if: Annotated[
        list[str] | None, declared.fail_if(DEFAULT_THRESHOLDS, f"Metrics: {names_for('check')}.", _RULE)
    ] = None,
    arm: Annotated[
        list[str] | None,
        typer.Option("--arm", metavar="LABEL", help="Look at this arm only (repeatable).", rich_help_panel=_WHAT),
    ] = None,
    rules: GateRules,
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
            help="With --update-baseline: write it whatever the verdict is, and exit with 0.",
            rich_help_panel=_OUTPUT,
        ),
    ] = False,
    markdown: Annotated[
        str | None, declared.written("--markdown", "Write a table for a pull request; - is stdout.")
    ] = None,
    json: Annotated[str | None, declared.written("--json", "Write the verdicts as JSON; - is stdout.")] = None,
    github: Annotated[bool, declared.github(_OUTPUT)] = False,
) -> None:
    """Say whether the runs in CURRENT are worse than those in BASELINE, and fail if they are.

    A metric is worse when the whole 98 % interval of its change is beyond the threshold; better and same likewise;
    otherwise it is inconclusive, which is shown and does not fail. Exit code 3: something is worse. 4: something
    cannot be compared (another task, hyper-parameter, processor, ... or an arm that vanished). 0: neither.

    All metrics are better when lower. A NAME in them may be *. A ratio is to the reference arm of the same run.
    Times and their ratios compare on one make of processor alone, what is counted compares everywhere.

    A project can keep its thresholds in pyproject.toml: fail-if = ["step_time.ratio:5%"] in the table
    tool.ngbench.check.

    With --history, what is compared is a straight line from the first record to the current ones.

    Example: ngbench check now.json --baseline main.json --fail-if step_time.ratio:5% --fail-if training_loss:1%
    """
    from ngbench.cli.reporting import check_exports, console_for_results, end_with, say
    from ngbench.disk.files import STANDARD_OUTPUT
    from ngbench.errors import ParameterError
    from ngbench.experiments.gate import GateRequest, check_baseline_destination, run_gate
    from ngbench.experiments.history import run_history

    check_exports(markdown, json)
    other = baseline or history
    if other is None or (baseline is not None and history is not None):
        raise ParameterError("either --baseline or --history is needed, and not both")
    if history is not None and (update_baseline or rules.allow_missing_baseline):
        raise ParameterError("--update-baseline and --allow-missing-baseline need --baseline")
    if accept and not update_baseline:
        raise ParameterError("--accept needs --update-baseline")
    if update_baseline:
        check_baseline_destination(other)
    request = GateRequest(current, other, fail_if or [], arm or [], rules)
    gate = run_gate(request) if history is None else run_history(request)
    updated = update_baseline and (gate.report.error is None or accept)
    console = console_for_results(on_stderr=STANDARD_OUTPUT in (markdown, json))
    steps = _written(gate, markdown=markdown, json=json)
    if updated:
        steps.append(partial(_update, gate, other, current, console))
    against = f"against {baseline}" if history is None else f"after {history}"
    steps.append(partial(say, console, f"{current} {against}, thresholds {gate.origin}"))
    steps += _shown(gate, console, github=github)
    if update_baseline and not updated:
        refusal = "The baseline was not updated, because the check failed; --accept updates it all the same."
        steps.append(partial(say, console, refusal))
    end_with(None if updated else gate.report.error, *steps)


def _written(gate: Gate, *, markdown: str | None, json: str | None) -> list[Callable[[], object]]:
    from ngbench.disk.files import write_text
    from ngbench.experiments.gate import gate_document
    from ngbench.records.documents import dump
    from ngbench.report import view
    from ngbench.report.renderers import markdown as renderer

    document = gate_document(gate.report)
    steps: list[Callable[[], object]] = []
    if markdown is not None:
        steps.append(lambda: write_text(renderer.render(view(document)), markdown))
    if json is not None:
        steps.append(lambda: write_text(dump(document), json))
    return steps


def _update(gate: Gate, baseline: Path, current: Path, console: Console) -> None:
    from ngbench.cli.reporting import say

    gate.write_baseline(baseline)
    say(console, f"The baseline {str(baseline)!r} is now {str(current)!r}.")
    if gate.report.error is not None:
        say(console, "What was found is accepted (--accept).")


def _shown(gate: Gate, console: Console, *, github: bool) -> list[Callable[[], object]]:
    from ngbench.experiments.gate import gate_document
    from ngbench.report import view
    from ngbench.report.exports.gate import format_annotations
    from ngbench.report.renderers import terminal
    from ngbench.streams import write_commands

    steps: list[Callable[[], object]] = [partial(terminal.show, view(gate_document(gate.report)), console)]
    if github:
        # The log of a workflow holds both streams; the one without an export keeps the export clean.
        steps.append(lambda: write_commands(format_annotations(gate.report), console.file))
    return steps
