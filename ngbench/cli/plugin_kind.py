"""The kinds of plugins as options: ``--optimizer``, ``--task`` or ``--approximation``."""

from __future__ import annotations

from typing import Annotated

import typer

from ngbench.errors import ParameterError
from ngbench.plugins.plugin import Kind

__all__ = ["Approximation", "Optimizer", "Task", "chosen_kind"]

Optimizer = Annotated[bool, typer.Option("--optimizer", help="An optimizer.")]
Task = Annotated[bool, typer.Option("--task", help="A task.")]
Approximation = Annotated[bool, typer.Option("--approximation", help="An approximation of Fisher blocks.")]


def chosen_kind(*, optimizer: bool, task: bool, approximation: bool) -> Kind | None:
    """The kind that was asked for, if any.

    Raises:
        ParameterError: several were.
    """
    given: dict[Kind, bool] = {"optimizer": optimizer, "task": task, "approximation": approximation}
    chosen = [kind for kind, wanted in given.items() if wanted]
    if len(chosen) > 1:
        raise ParameterError("give one of --optimizer, --task and --approximation")
    return chosen[0] if chosen else None
