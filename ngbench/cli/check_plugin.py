"""``ngbench check-plugin``: the conformance test."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated

import typer

from ngbench.cli import completion, declared, plugin_kind
from ngbench.cli.options import Only, spliced
from ngbench.running.request import RunOptions

__all__ = ["check_plugin"]


@spliced
def check_plugin(
    *,
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME[:KEY=VALUE,...]",
            autocompletion=completion.plugins,
            help="A plugin, or PACKAGE.MODULE.NAME or FILE.py:NAME, with values for what it needs.",
        ),
    ],
    optimizer: plugin_kind.Optimizer = False,
    task: plugin_kind.Task = False,
    approximation: plugin_kind.Approximation = False,
    run: Annotated[RunOptions, Only({"data_dir"})],
    export_json: Annotated[str | None, declared.written("--export-json", "Write the rows; - is stdout.", None)] = None,
) -> None:
    """Test whether a plugin does what the benchmark relies on.

    Each row is one check: passed, failed (with what is wrong and what to do) or not applicable (with why). A name that
    is both an optimizer and an approximation is tested as both, unless you say which. Exit code 1: something failed.

    Example: ngbench check-plugin kfac --optimizer
    """
    from ngbench.running.children import expect_children

    expect_children()
    from ngbench.arms import parse_arms
    from ngbench.cli.reporting import console_for_results, do_each, raise_last, say
    from ngbench.disk.files import STANDARD_OUTPUT, check_destination, write_text
    from ngbench.errors import ParameterError
    from ngbench.experiments import conformance
    from ngbench.experiments.conformance import outcome
    from ngbench.records.documents import dump
    from ngbench.records.experiments import CheckRecord, PluginRecord
    from ngbench.report.renderers import terminal
    from ngbench.report.views import conformance as views

    arms = parse_arms([name])
    if len(arms) != 1:
        raise ParameterError(f"{name!r} names {len(arms)} plugins, check-plugin takes one")
    (arm,) = arms
    if export_json is not None:
        check_destination(export_json)
    asked = plugin_kind.chosen_kind(optimizer=optimizer, task=task, approximation=approximation)
    kinds: list[conformance.Kind] = [asked] if asked else conformance.kinds_of(arm.optimizer)
    console = console_for_results(on_stderr=export_json == STANDARD_OUTPUT)
    reports: list[PluginRecord] = []
    problems: list[Exception] = []

    def show(step: Callable[[], object]) -> None:
        # What is shown as it comes is not worth the checks after it, nor the export.
        if not problems:
            try:
                step()
            except Exception as error:
                problems.append(error)

    def show_row(row: CheckRecord) -> None:
        show(lambda: terminal.show([views.rows(row)], console))

    for kind in kinds:
        if len(kinds) > 1:
            show(partial(say, console, f"{arm.optimizer} as {kind}", "bold"))
        report = conformance.check_plugin_apart(
            arm.optimizer, kind, arm.hyperparameters, data_dir=run.data_dir, told=show_row
        )
        reports.append(report)
        show(lambda: say(console, views.summary(reports[-1])))
    ending: list[Callable[[], object]] = [partial(raise_last, problems)]
    if export_json is not None:
        destination = export_json
        ending.insert(0, lambda: write_text(dump(outcome.conformance_document(reports)), destination))
    do_each(*ending)
    raise typer.Exit(1 if any(report.failed for report in reports) else 0)
