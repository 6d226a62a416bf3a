"""Options that several commands share, spliced into their signatures from the dataclasses that declare them.

A parameter of a command that is a dataclass with options (:mod:`ngbench.running.option_fields`) stands for an option of
each of its fields::

    @spliced
    def compare(task: TaskName, run: RunOptions, outputs: Annotated[Outputs, Without("figures")]) -> None: ...
"""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Collection
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from ngbench.arms import parse_settings
from ngbench.cli import completion
from ngbench.disk.files import given_path
from ngbench.running.option_fields import options_of

__all__ = [
    "Hyperparameters",
    "Only",
    "Quiet",
    "Reference",
    "Settings",
    "TaskName",
    "Without",
    "spliced",
    "task_settings",
]

TaskName = Annotated[
    str,
    typer.Argument(
        metavar="TASK",
        help="Name of a task (see ngbench list tasks), or FILE.py:FUNCTION.",
        autocompletion=completion.tasks,
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set one of the task's own options (repeatable)."),
]
Hyperparameters = Annotated[
    Path | None,
    typer.Option(
        "--hyperparameters",
        parser=given_path,
        metavar="FILE",
        help="Hyper-parameters of the optimizers, as ngbench tune writes them; those given with -o win.",
        show_default="those published for the task",
    ),
]
Reference = Annotated[
    str | None,
    typer.Option("--reference", metavar="ARM", help="Arm that ratios refer to.", show_default="the first"),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="No progress; results and errors only.", rich_help_panel="Results"),
]


@dataclass(frozen=True)
class Without:
    """Leave these options of a dataclass out: their fields keep the default."""

    names: Collection[str]

    def __call__(self, name: str) -> bool:
        return name not in self.names


@dataclass(frozen=True)
class Only:
    """Take no other options of a dataclass than these."""

    names: Collection[str]

    def __call__(self, name: str) -> bool:
        return name in self.names


def spliced(command: Callable[..., None]) -> Callable[..., None]:
    """The command with an option for each field of its parameters that are dataclasses with options."""
    hints = typing.get_type_hints(command, include_extras=True)
    parameters: list[inspect.Parameter] = []
    groups: dict[str, tuple[type, list[str]]] = {}
    for name, parameter in inspect.signature(command).parameters.items():
        kind, taken = _dataclass_of(hints[name])
        if kind is None:
            parameters.append(parameter.replace(annotation=hints[name], kind=parameter.KEYWORD_ONLY))
            continue
        spelled = _parameters_of(kind, taken)
        groups[name] = (kind, [one.name for one in spelled])
        parameters += spelled

    @functools.wraps(command)
    def call(**given: Any) -> None:
        for name, (kind, names) in groups.items():
            given[name] = kind(**{field: given.pop(field) for field in names})
        return command(**given)

    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {one.name: one.annotation for one in parameters}
    return call


def _dataclass_of(hint: Any) -> tuple[type | None, Callable[[str], bool]]:
    """The dataclass that a parameter is, and which of its options it takes."""
    kind, *marks = typing.get_args(hint) if typing.get_origin(hint) is Annotated else (hint,)
    if not (isinstance(kind, type) and is_dataclass(kind)):
        return None, Without(())
    return kind, next((mark for mark in marks if isinstance(mark, Without | Only)), Without(()))


def _parameters_of(kind: type, taken: Callable[[str], bool]) -> list[inspect.Parameter]:
    options = options_of(kind)
    found = []
    for field in fields(kind):
        if field.name not in options or not taken(field.name):
            continue
        option = options[field.name]
        info = typer.Option(
            *option.flags,
            metavar=option.metavar or None,
            parser=option.convert,
            help=option.help,
            rich_help_panel=option.panel,
            show_default=option.shown_default or True,
            autocompletion=completion.of_option(field.name, option.metavar),
        )
        annotation: Any = Annotated[option.type | None if field.default is None else option.type, info]
        kind_of = inspect.Parameter.KEYWORD_ONLY
        found.append(inspect.Parameter(field.name, kind_of, default=field.default, annotation=annotation))
    return found


def task_settings(settings: list[str] | None) -> dict[str, str]:
    """The mapping that the values of ``--set`` describe."""
    return parse_settings(settings or [])
