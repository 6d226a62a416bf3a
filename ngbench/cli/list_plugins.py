"""``ngbench list``; see :mod:`ngbench.cli.list_studies` for studies."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ngbench.escaping import terminal_lines

if TYPE_CHECKING:
    from ngbench.adversarial_task import AdversarialTask, PlayerPair
    from ngbench.plugins.parameters import Parameter
    from ngbench.plugins.registry import PluginRow
    from ngbench.task import Task


class Kind(str, Enum):
    """What is listed."""

    tasks = "tasks"
    optimizers = "optimizers"
    approximations = "approximations"
    studies = "studies"


def list_plugins(
    kind: Annotated[Kind, typer.Argument(help="What to show.", show_default=False)],
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Show these in full; an optimizer class by its dotted name.", show_default=False),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Show all in full.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the tasks, the optimizers or the approximations that are installed, or the studies.

    In full: the hyper-parameters (of a task: its options) with what is allowed, their defaults, and the
    values that the tasks publish for an optimizer; the claims of a study. Only what is shown in full is imported.
    """
    from ngbench.plugins import registry

    if kind is Kind.studies:
        from ngbench.cli.list_studies import show_studies

        show_studies(names or [], full=full, as_json=as_json)
        return
    rows = registry.rows(f"ngbench.{kind.value}")
    if not names and not full:
        print(json.dumps([asdict(row) for row in rows], indent=2) if as_json else terminal_lines(format_rows(rows)))
        return
    describe = {
        Kind.tasks: describe_task,
        Kind.optimizers: describe_optimizer,
        Kind.approximations: describe_approximation,
    }[kind]
    described = [describe(row) for row in _chosen(kind, rows, names or [])]
    print(json.dumps(described, indent=2) if as_json else terminal_lines("\n\n".join(map(format_described, described))))


def format_rows(rows: Sequence[PluginRow]) -> str:
    """One line a plugin: name, summary or problem, distribution."""
    cells = [
        (row.name, f"PROBLEM: {row.problem}" if row.problem else row.summary, f"{row.distribution} {row.version}")
        for row in rows
    ]
    return format_columns(cells)


def format_columns(rows: Sequence[Sequence[str]]) -> str:
    """Left-aligned columns, two spaces apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def describe_optimizer(row: PluginRow) -> dict[str, Any]:
    """The row with its hyper-parameters and, by task, the published values; or with what is wrong."""
    from ngbench.errors import PluginError, one_line
    from ngbench.plugins import registry

    try:
        plugin = registry.optimizer(row.name)
    except PluginError as error:
        return {**asdict(row), "problem": one_line(error)}
    published: dict[str, dict[str, Any]] = {}
    problems: dict[str, str] = {}
    for task_row in registry.rows(registry.TASKS):
        try:
            task = registry.any_task(task_row.name, {})
            read = {
                called: registry.published_hyperparameters(plugin, view)
                for called, view in _views(task_row.name, task).items()
            }
        except PluginError as error:
            problems[task_row.name] = one_line(error)
            continue
        published |= {called: values for called, values in read.items() if values}
    described = {**asdict(row), "summary": row.summary or plugin.summary}
    described["parameters"] = [_describe_parameter(parameter) for parameter in plugin.parameters]
    return {**described, "published": published, "unreadable_tasks": problems}


def _views(name: str, task: Task | AdversarialTask) -> dict[str, Task]:
    """What an optimizer may be asked to train there: the task, or each of its players."""
    from ngbench.adversarial_task import PLAYERS, AdversarialTask
    from ngbench.running.players import player_task

    if not isinstance(task, AdversarialTask):
        return {name: task}
    return {f"{name} {player}": player_task(task, player) for player in PLAYERS}


def describe_task(row: PluginRow) -> dict[str, Any]:
    """The row with the task's options, batch sizes, budget and published values; or with what is wrong."""
    from ngbench.adversarial_task import AdversarialTask
    from ngbench.errors import ParameterError, PluginError, one_line
    from ngbench.plugins import registry

    described: dict[str, Any] = asdict(row)
    try:
        plugin = registry.task_plugin(row.name)
        described["summary"] = row.summary or plugin.summary
        described["parameters"] = [_describe_parameter(parameter) for parameter in plugin.parameters]
        task = registry.any_task(row.name, {})
    except PluginError as error:
        return {**described, "problem": one_line(error)}
    except ParameterError:  # an option without default: what follows depends on it
        return described
    described["batch_size"] = task.batch_size
    described["batch_sizes"] = list(task.batch_sizes)
    described["epochs"] = task.epochs
    if isinstance(task, AdversarialTask):
        described["critic_steps"] = task.critic_steps
        described["penalty"] = task.penalty
        described["published"] = {
            name: _describe_pair(pair) for name, pair in task.settings_for(task.batch_size).items()
        }
    else:
        described["likelihood"] = type(task.likelihood).__name__
        described["published"] = {name: dict(values) for name, values in task.hyperparameters.items()}
    return described


def describe_approximation(row: PluginRow) -> dict[str, Any]:
    """The row with the approximation's options; or with what is wrong."""
    from ngbench.errors import PluginError, one_line
    from ngbench.plugins import registry

    try:
        plugin = registry.approximation_plugin(row.name)
    except PluginError as error:
        return {**asdict(row), "problem": one_line(error)}
    described = {**asdict(row), "summary": row.summary or plugin.summary}
    return {**described, "parameters": [_describe_parameter(parameter) for parameter in plugin.parameters]}


def _describe_pair(pair: PlayerPair) -> dict[str, Any]:
    own = {"generator": pair.generator_hyperparameters, "critic": pair.critic_hyperparameters}
    names = {"generator": pair.generator, "critic": pair.critic}
    return names | {f"{player}.{key}": value for player, values in own.items() for key, value in values.items()}


def format_described(described: dict[str, Any]) -> str:
    """One plugin in full."""
    from ngbench.plugins.parameters import format_value

    origin = f" ({described['distribution']} {described['version']})".replace(" )", ")")
    lines = [f"{described['name']}{origin if described['distribution'] else ''}"]
    if described["summary"]:
        lines.append(f"  {described['summary']}")
    if described["problem"]:
        lines.append(f"  PROBLEM: {described['problem']}")
    for key in ("likelihood", "batch_size", "batch_sizes", "epochs", "critic_steps", "penalty"):
        if described.get(key):
            value = described[key]
            shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            lines.append(f"  {key.replace('_', ' ')}: {shown}")
    if described.get("parameters"):
        cells = [
            (
                parameter["name"],
                "required" if parameter["required"] else format_value(parameter["default"]),
                parameter["allowed"],
                parameter["description"],
            )
            for parameter in described["parameters"]
        ]
        lines.append(_indent(format_columns([("parameter", "default", "allowed", ""), *cells])))
    if described.get("published"):
        lines.append("  published:")
        tables = [
            (name, ", ".join(f"{key}={format_value(value)}" for key, value in values.items()))
            for name, values in described["published"].items()
        ]
        lines.append(_indent(format_columns(tables), 4))
    for problem in described.get("unreadable_tasks", {}).values():
        lines.append(f"  published values not read: {problem}")
    return "\n".join(lines)


def _chosen(kind: Kind, rows: Sequence[PluginRow], names: Sequence[str]) -> list[PluginRow]:
    """The rows called ``names``, all if there are none; a dotted class name makes a row of its own."""
    from ngbench.errors import UnknownNameError
    from ngbench.plugins.registry import PluginRow

    chosen = [] if names else list(rows)
    for name in names:
        matching = [row for row in rows if row.name == name]
        if not matching and kind is Kind.optimizers and "." in name:
            matching = [PluginRow(name, "", "", "")]
        if not matching:
            raise UnknownNameError(kind.value.removesuffix("s"), name, {row.name for row in rows})
        chosen += matching
    return chosen


def _describe_parameter(parameter: Parameter) -> dict[str, Any]:
    from ngbench.values import is_plain

    default = parameter.default
    return {
        "name": parameter.name,
        "allowed": parameter.describe(),
        "default": default if is_plain(default) else repr(default),
        "required": parameter.required,
        "description": parameter.description,
    }


def _indent(text: str, by: int = 2) -> str:
    return "\n".join(" " * by + line for line in text.splitlines())
