"""``ngbench env``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from ngbench.cli.options import Only, spliced
from ngbench.running.request import RunOptions


@spliced
def env(
    *,
    run: Annotated[RunOptions, Only({"data_dir"})],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print what a bug report needs: versions, machine, devices, data and plugins."""
    from ngbench.experiments.bug_report import collect_facts
    from ngbench.report.bug_report import format_facts

    found = collect_facts(run.data_dir)
    print(json.dumps(found, indent=2) if as_json else format_facts(found))
