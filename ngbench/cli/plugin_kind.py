"""The kinds of plugins as options: ``--optimizer``, ``--task`` or ``--curvature``."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from ngbench.errors import ParameterError

__all__ = ["Curvature", "Kind", "Optimizer", "Task", "chosen_kind"]

Kind = Literal["optimizer", "task", "approximation"]

Optimizer = Annotated[bool, typer.Option("--optimizer", help="An optimizer.")]
Task = Annotated[bool, typer.Option("--task", help="A task.")]
Curvature = Annotated[bool, typer.Option("--curvature", help="An approximation of Fisher blocks.")]


def chosen_kind(*, optimizer: bool, task: bool, curvature: bool) -> Kind | None:
    """The kind that was asked for, if any.

    Raises:
        ParameterError: several were.
    """
    given: dict[Kind, bool] = {"optimizer": optimizer, "task": task, "approximation": curvature}
    chosen = [kind for kind, wanted in given.items() if wanted]
    if len(chosen) > 1:
        raise ParameterError("give one of --optimizer, --task and --curvature")
    return chosen[0] if chosen else None
