"""What there is: tasks, optimizers and approximations that are installed, studies, data. Listing loads no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from enum import Enum
from typing import TYPE_CHECKING, Any

from ngbench.errors import ParameterError, PluginError, UnknownNameError, one_line
from ngbench.plugins import registry
from ngbench.plugins.located import is_located
from ngbench.plugins.optimizer_classes import beside_the_point
from ngbench.plugins.plugin import Plugin
from ngbench.plugins.registry import PluginRow

if TYPE_CHECKING:
    from ngbench.adversarial_task import AdversarialTask, PlayerPair
    from ngbench.experiments.studies.models import Study
    from ngbench.plugins.parameters import Parameter
    from ngbench.task import Task

__all__ = ["Listing", "catalogue", "counts"]


class Listing(str, Enum):
    """What can be listed."""

    TASKS = "tasks"
    OPTIMIZERS = "optimizers"
    APPROXIMATIONS = "approximations"
    STUDIES = "studies"
    DATA = "data"


def catalogue(kind: Listing, names: Sequence[str] = (), *, full: bool = False) -> list[dict[str, Any]]:
    """What there is of a kind, as plain values.

    Args:
        kind: what to list.
        names: of those that are described in full, or where they are.
        full: describe all in full. Only what is described in full is imported.

    Raises:
        UnknownNameError: there is nothing of a name.
    """
    if kind is Listing.STUDIES:
        return _studies(names)
    if kind is Listing.DATA:
        return _data(names)
    rows = registry.rows(f"ngbench.{kind.value}")
    if not names and not full:
        return [asdict(row) for row in rows]
    return [_describe(kind, row) for row in _chosen(kind, rows, names)]


def counts() -> dict[str, int | None]:
    """How many there are of each kind; ``None`` where only a look into directories would say."""
    from ngbench.experiments.studies.loader import study_names

    found = {group.rpartition(".")[2]: len(registry.rows(group)) for group in registry.GROUPS.values()}
    return {kind.value: len(study_names()) if kind is Listing.STUDIES else found.get(kind.value) for kind in Listing}


def _data(names: Sequence[str]) -> list[dict[str, Any]]:
    """Which data sets there are, and what a run would use that downloads nothing."""
    from ngbench.data.directory import data_directory
    from ngbench.data.presence import data_sets_present

    found = {presence.name: presence for presence in data_sets_present(data_directory())}
    for name in names:
        if name not in found:
            raise UnknownNameError("data set", name, found)
    return [
        {
            "name": name,
            "used": found[name].use,
            "description": found[name].description,
            "missing": list(found[name].missing),
            "urls": list(found[name].urls),
            "folder": str(found[name].folder),
        }
        for name in names or found
    ]


def _studies(names: Sequence[str]) -> list[dict[str, Any]]:
    from ngbench.experiments.studies.loader import find_study, load_study, study_names

    return [_describe_study(load_study(find_study(name)).study) for name in names or study_names()]


def _describe_study(study: Study) -> dict[str, Any]:
    """What there is to know of a study before it is run."""
    from ngbench.experiments.studies.claims import SCALES
    from ngbench.experiments.studies.plan import expand_arms

    return {
        "name": study.study,
        "title": study.title,
        "source": study.source,
        "question": study.question,
        "measure": study.measure,
        "tasks": list(dict.fromkeys(panel.task for panel in study.panels)),
        "arms": [arm.name for arm in expand_arms(study)],
        "minutes": {
            name: None if (scale := study.scales.named(name)).skip is not None else scale.minutes for name in SCALES
        },
        "claims": [
            {"name": claim.name, "kind": claim.shown_kind, "says": claim.says, "scales": list(claim.scales)}
            for claim in study.claims
        ],
    }


def _chosen(kind: Listing, rows: Sequence[PluginRow], names: Sequence[str]) -> list[PluginRow]:
    """The rows called ``names``, all if there are none; a plugin by its place makes a row of its own."""
    chosen = [] if names else list(rows)
    for name in names:
        matching = [row for row in rows if row.name == name]
        if not matching and is_located(name):
            matching = [PluginRow(name, "", "", "")]
        if not matching:
            raise UnknownNameError(kind.value.removesuffix("s"), name, {row.name for row in rows})
        chosen += matching
    return chosen


def _describe(kind: Listing, row: PluginRow) -> dict[str, Any]:
    """The row with the plugin's parameters and what else it says; or with what is wrong."""
    load: Mapping[Listing, Callable[[str], Any]] = {
        Listing.TASKS: registry.task_plugin,
        Listing.OPTIMIZERS: registry.optimizer,
        Listing.APPROXIMATIONS: registry.approximation_plugin,
    }
    described = asdict(row)
    try:
        plugin = load[kind](row.name)
        described["summary"] = row.summary or plugin.summary
        described["parameters"] = [
            _describe_parameter(parameter)
            for parameter in plugin.parameters
            if parameter.name not in beside_the_point(row.name)
        ]
        if kind is Listing.TASKS:
            described |= _facts(row.name)
    except PluginError as error:
        return {**described, "problem": one_line(error)}
    except ParameterError:  # an option without default: what follows depends on it
        return described
    return described | _published(plugin) if kind is Listing.OPTIMIZERS else described


def _facts(name: str) -> dict[str, Any]:
    """A task's batch sizes, its budget and what it publishes."""
    from ngbench.adversarial_task import AdversarialTask

    task = registry.any_task(name, {})
    facts: dict[str, Any] = {"batch_size": task.batch_size, "batch_sizes": list(task.batch_sizes)}
    facts |= {"epochs": task.epochs, "model_parameters": _model_parameters(task)}
    if isinstance(task, AdversarialTask):
        pairs = task.settings_for(task.batch_size)
        published = {name: _describe_pair(pair) for name, pair in pairs.items()}
        return facts | {"critic_steps": task.critic_steps, "penalty": task.penalty, "published": published}
    published = {name: dict(values) for name, values in task.hyperparameters.items()}
    return facts | {"likelihood": type(task.likelihood).__name__, "published": published}


def _model_parameters(task: Task | AdversarialTask) -> int | None:
    """How many the model or both players have; ``None`` where it cannot be built without memory."""
    import torch

    from ngbench.adversarial_task import AdversarialTask

    try:
        with torch.device("meta"):
            models = [task.generator(), task.critic()] if isinstance(task, AdversarialTask) else [task.model()]
        return sum(parameter.numel() for model in models for parameter in model.parameters())
    except Exception:
        # Whatever a plugin's model needs, a list is not where it is missed.
        return None


def _published(plugin: Plugin) -> dict[str, Any]:
    """The values that tasks publish for an optimizer, by task, and the tasks that cannot be read."""
    published: dict[str, dict[str, Any]] = {}
    problems: dict[str, str] = {}
    for row in registry.rows(registry.TASKS):
        try:
            views = _views(row.name, registry.any_task(row.name, {}))
            read = {called: registry.published_hyperparameters(plugin, view) for called, view in views.items()}
        except PluginError as error:
            problems[row.name] = one_line(error)
            continue
        published |= {called: values for called, values in read.items() if values}
    return {"published": published, "unreadable_tasks": problems}


def _views(name: str, task: Task | AdversarialTask) -> dict[str, Task]:
    """What an optimizer may be asked to train there: the task, or each of its players."""
    from ngbench.adversarial_task import PLAYERS, AdversarialTask
    from ngbench.running.players import player_task

    if not isinstance(task, AdversarialTask):
        return {name: task}
    return {f"{name} {player}": player_task(task, player) for player in PLAYERS}


def _describe_pair(pair: PlayerPair) -> dict[str, Any]:
    own = {"generator": pair.generator_hyperparameters, "critic": pair.critic_hyperparameters}
    names = {"generator": pair.generator, "critic": pair.critic}
    return names | {f"{player}.{key}": value for player, values in own.items() for key, value in values.items()}


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
