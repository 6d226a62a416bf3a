"""Plugins: tasks and optimizers that installed distributions provide through entry points.

A name is listed without importing what it names: its summary is read from the source. What a plugin does
wrong is one sentence that names the plugin and its distribution, and concerns that plugin alone.

An optimizer plugin is an entry point in ``ngbench.optimizers`` that names a function
``build(model, task, *, ...) -> torch.optim.Optimizer``; a task plugin is one in ``ngbench.tasks`` that names
a function returning a :class:`ngbench.Task` or a :class:`ngbench.AdversarialTask`. Any optimizer class is an
optimizer by its dotted name. An approximation plugin is an entry point in ``ngbench.approximations`` that names a
function from a Fisher block and the previous estimate's start to an estimate
(:data:`ngbench.curvature.kronecker.approximations.Approximation`), with its own options as further keyword parameters.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from importlib.metadata import Distribution, EntryPoint, entry_points
from typing import TYPE_CHECKING, Annotated, Any, Literal

from ngbench.adversarial_task import AdversarialTask
from ngbench.errors import (
    NgbenchError,
    ParameterError,
    PluginError,
    UnknownNameError,
    UsageError,
    describe,
    one_line,
)
from ngbench.plugins.optimizer_classes import build_from_class, class_parameters, optimizer_class
from ngbench.plugins.parameters import Parameter, Range, accepts_any_name, convert_given, parameters_of, resolve
from ngbench.plugins.summaries import SourceNotFound, read_summary

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ngbench.curvature.kronecker.approximations import Approximation, Estimate
    from ngbench.task import Task

__all__ = [
    "APPROXIMATIONS",
    "OPTIMIZERS",
    "TASKS",
    "ApproximationPlugin",
    "OptimizerPlugin",
    "PluginRow",
    "TaskPlugin",
    "adversarial_task",
    "any_task",
    "approximation",
    "approximation_plugin",
    "build_optimizer",
    "effective_hyperparameters",
    "optimizer",
    "published_hyperparameters",
    "rows",
    "task",
    "task_options",
    "task_plugin",
]

OPTIMIZERS = "ngbench.optimizers"
TASKS = "ngbench.tasks"
APPROXIMATIONS = "ngbench.approximations"
Kind = Literal["optimizer", "task", "approximation"]
GROUPS: Mapping[Kind, str] = {"optimizer": OPTIMIZERS, "task": TASKS, "approximation": APPROXIMATIONS}
_KINDS = {group: kind for kind, group in GROUPS.items()}


@dataclass(frozen=True)
class PluginRow:
    """One line of ``ngbench list``.

    Attributes:
        name: the entry point's name.
        summary: first line of the docstring, empty if it cannot be read.
        distribution: name of the distribution that provides it.
        version: the distribution's version.
        problem: what is wrong with it, ``None`` if nothing is known to be.
    """

    name: str
    summary: str
    distribution: str
    version: str
    problem: str | None = None


@dataclass(frozen=True)
class OptimizerPlugin:
    """An optimizer, from an entry point or a dotted class name.

    Attributes:
        name: what the user calls it.
        build: ``build(model, task, **hyperparameters)`` returns the optimizer.
        parameters: its hyper-parameters.
        distribution: the distribution that provides it; ``None`` for a dotted class name.
        summary: first line of its documentation.
        accepts_any: whether it takes hyper-parameters that its signature does not name.
    """

    name: str
    build: Callable[..., torch.optim.Optimizer]
    parameters: tuple[Parameter, ...]
    distribution: str | None
    summary: str
    accepts_any: bool = False

    def resolve(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """All hyper-parameters: those ``given``, converted and checked, and the defaults of the others."""
        return resolve(self.parameters, given, f"optimizer {self.name}", accepts_any=self.accepts_any)


@dataclass(frozen=True)
class TaskPlugin:
    """A task, from an entry point.

    Attributes:
        name: the entry point's name.
        build: returns the task; takes its options as keywords.
        parameters: the task's own options.
        distribution: the distribution that provides it.
        summary: first line of its documentation.
        accepts_any: whether it takes options that its signature does not name.
    """

    name: str
    build: Callable[..., Task | AdversarialTask]
    parameters: tuple[Parameter, ...]
    distribution: str
    summary: str
    accepts_any: bool = False

    def resolve(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """All options: those ``given``, converted and checked, and the defaults of the others."""
        return resolve(self.parameters, given, f"task {self.name}", accepts_any=self.accepts_any)


@dataclass(frozen=True)
class ApproximationPlugin:
    """A Kronecker approximation, from an entry point.

    Attributes:
        name: the entry point's name.
        function: from a Fisher block and the previous estimate's start to an estimate; takes its options as keywords.
        parameters: its own options, and the radius of positions that every approximation has.
        distribution: the distribution that provides it.
        summary: first line of its documentation.
        accepts_any: whether it takes options that its signature does not name.
    """

    name: str
    function: Callable[..., Estimate]
    parameters: tuple[Parameter, ...]
    distribution: str
    summary: str
    accepts_any: bool = False


def rows(group: str) -> list[PluginRow]:
    """All plugins of ``group``, sorted by name, without importing any.

    A name that several distributions provide has a row for each, with the problem that this is.
    """
    points = _points(group)
    found = []
    for point in points:
        problem = None
        try:
            summary = read_summary(point.module, point.attr)
        except SourceNotFound as error:
            summary, problem = "", str(error)
        others = {_distribution(p) for p in points if p.name == point.name} - {_distribution(point)}
        if others:
            problem = f"also provided by {', '.join(sorted(others))}"
        version = point.dist.version if point.dist else ""
        found.append(PluginRow(point.name, summary, _distribution(point), version, problem))
    return sorted(found, key=lambda row: (row.name, row.distribution))


def optimizer(name: str) -> OptimizerPlugin:
    """The optimizer called ``name``: an entry point's name, or the dotted name of an optimizer class.

    Raises:
        UnknownNameError: if there is no such optimizer.
        PluginError: if it cannot be imported, is no optimizer, or is provided twice.
    """
    point = _find(OPTIMIZERS, name)
    if point is None:
        if "." in name:
            return _class_optimizer(name)
        raise UnknownNameError("optimizer", name, {p.name for p in _points(OPTIMIZERS)})
    function = _load(point, OPTIMIZERS)
    with _naming(point, OPTIMIZERS):
        parameters = tuple(parameters_of(function, skip=2))
    return OptimizerPlugin(
        name, function, parameters, _distribution(point), _first_line(function), accepts_any_name(function)
    )


def build_optimizer(
    plugin: OptimizerPlugin, model: nn.Module, task: Task, hyperparameters: Mapping[str, Any]
) -> torch.optim.Optimizer:
    """The optimizer of ``plugin`` on the parameters of ``model``.

    With ``TORCH_COMPILE_DISABLE=1`` in the environment it runs eagerly, even where it insists on being compiled.

    Raises:
        ParameterError: if the plugin or the class refuses the hyper-parameters.
        PluginError: if it ends in any other way, or what it returns is no optimizer.
    """
    import torch

    if os.environ.get("TORCH_COMPILE_DISABLE") == "1":
        # With the variable alone, torch.compile(fullgraph=True) raises instead of calling what it was given.
        torch.compiler.set_stance("force_eager")
    who = f"optimizer {plugin.name!r} (from {plugin.distribution})"
    try:
        built = plugin.build(model, task, **plugin.resolve(hyperparameters))
    except (NgbenchError, KeyboardInterrupt):
        raise
    except (ValueError, TypeError) as error:
        raise ParameterError(f"optimizer {plugin.name}: {one_line(error)}") from error
    except BaseException as error:
        raise PluginError(f"{who} failed: {describe(error)}") from error
    if not isinstance(built, torch.optim.Optimizer):
        raise PluginError(f"{who} returned {type(built).__name__}, it must be a torch.optim.Optimizer")
    return built


def published_hyperparameters(plugin: OptimizerPlugin, task: Task) -> dict[str, Any]:
    """The values that ``task`` replaces defaults of ``plugin`` by, converted and checked.

    Raises:
        PluginError: if the task names a hyper-parameter that the optimizer does not have, or a value that it
            does not allow.
    """
    published = task.hyperparameters.get(plugin.name, {})
    where = f"optimizer {plugin.name}"
    try:
        return convert_given(plugin.parameters, published, where, accepts_any=plugin.accepts_any)
    except ParameterError as error:
        raise PluginError(f"the task's published hyper-parameters do not fit: {error}") from error


def effective_hyperparameters(plugin: OptimizerPlugin, task: Task, given: Mapping[str, Any]) -> dict[str, Any]:
    """All hyper-parameters of an arm: the ``given`` value, else the task's published one, else the default.

    Raises:
        ParameterError: for a given name that is unknown or a given value that is not allowed.
        PluginError: if the task's published values do not fit the optimizer.
    """
    return plugin.resolve({**published_hyperparameters(plugin, task), **given})


def task_plugin(name: str) -> TaskPlugin:
    """The task plugin called ``name``.

    Raises:
        UnknownNameError: if there is no such task.
        PluginError: if it cannot be imported or is provided twice.
    """
    point = _find(TASKS, name)
    if point is None:
        raise UnknownNameError("task", name, {p.name for p in _points(TASKS)})
    function = _load(point, TASKS)
    with _naming(point, TASKS):
        parameters = tuple(parameters_of(function))
    return TaskPlugin(
        name, function, parameters, _distribution(point), _first_line(function), accepts_any_name(function)
    )


def task_options(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """All options of the task called ``name``, defaults included."""
    return task_plugin(name).resolve(given)


def task(name: str, options: Mapping[str, Any]) -> Task:
    """The task called ``name``, made with ``options`` (texts or values).

    Raises:
        ParameterError: for an option that is unknown or not allowed.
        PluginError: if the plugin fails or does not return a task.
        UsageError: if it is a task of two players.
    """
    made = any_task(name, options)
    if isinstance(made, AdversarialTask):
        raise UsageError(f"task {name!r} trains two players against each other: use ngbench gan {name}")
    return made


def adversarial_task(name: str, options: Mapping[str, Any]) -> AdversarialTask:
    """The task of two players called ``name``, made with ``options`` (texts or values).

    Raises:
        ParameterError: for an option that is unknown or not allowed.
        PluginError: if the plugin fails or does not return a task.
        UsageError: if it is a task of one model.
    """
    made = any_task(name, options)
    if not isinstance(made, AdversarialTask):
        raise UsageError(f"task {name!r} trains one model, no generator and critic: use ngbench compare {name}")
    return made


def any_task(name: str, options: Mapping[str, Any]) -> Task | AdversarialTask:
    """The task called ``name``, of either kind; errors as for :func:`task`."""
    from ngbench.task import Task

    plugin = task_plugin(name)
    try:
        made = plugin.build(**plugin.resolve(options))
    except (NgbenchError, KeyboardInterrupt):
        raise
    except ValueError as error:
        raise ParameterError(f"task {name}: {one_line(error)}") from error
    except BaseException as error:
        raise PluginError(f"task {name!r} (from {plugin.distribution}) failed: {describe(error)}") from error
    if not isinstance(made, Task | AdversarialTask):
        raise PluginError(
            f"task {name!r} (from {plugin.distribution}) returned {type(made).__name__}, it must be an ngbench.Task"
        )
    return made


def approximation(name: str, given: Mapping[str, Any]) -> Approximation:
    """The Kronecker approximation called ``name``, with the options ``given`` (texts or values).

    ``positions`` is an option of all of them: the radius at which pairs of positions of a convolution are cut off.

    Raises:
        UnknownNameError: there is no such approximation.
        ParameterError: an option is unknown or not allowed.
        PluginError: the plugin cannot be imported or is provided twice.
    """
    from ngbench.curvature.kronecker.approximations import at_radius

    plugin = approximation_plugin(name)
    options = convert_given(plugin.parameters, given, f"approximation {name}")
    positions = options.pop("positions", "all")
    return at_radius(partial(plugin.function, **options), positions)


def approximation_plugin(name: str) -> ApproximationPlugin:
    """The approximation plugin called ``name``.

    Raises:
        UnknownNameError: there is no such approximation.
        PluginError: it cannot be imported or is provided twice.
    """
    point = _find(APPROXIMATIONS, name)
    if point is None:
        raise UnknownNameError("approximation", name, {p.name for p in _points(APPROXIMATIONS)})
    function = _load(point, APPROXIMATIONS)
    with _naming(point, APPROXIMATIONS):
        parameters = (*parameters_of(function, skip=2), *parameters_of(_with_positions))
    return ApproximationPlugin(
        name, function, parameters, _distribution(point), _first_line(function), accepts_any_name(function)
    )


def _with_positions(*, positions: Annotated[int, Range(minimum=0)] | Literal["all", "filter"] = "all") -> None:
    """Carries the signature of the option that every approximation has.

    Args:
        positions: pairs of positions of a convolution that count: all, or those at most so far apart on its grid, or
            filter, the width of the layer's own filter (3.4.3).
    """


def _points(group: str) -> list[EntryPoint]:
    """The group's entry points; the same one found twice on the path counts once."""
    return list(_points_on(tuple(sys.path), group))


@lru_cache(maxsize=8)
def _points_on(path: tuple[str, ...], group: str) -> tuple[EntryPoint, ...]:
    # A study asks for hundreds of plugins, and reading the metadata of everything that is installed takes 10 ms.
    found = {(point.name, point.value, _distribution(point)): point for point in entry_points(group=group)}
    return tuple(found.values())


def _find(group: str, name: str) -> EntryPoint | None:
    points = [point for point in _points(group) if point.name == name]
    if len(points) > 1:
        providers = " and ".join(sorted(_distribution(point) for point in points))
        raise PluginError(
            f"{_KINDS[group]} {name!r} is provided by {providers}: uninstall one of them to use the other"
        )
    return points[0] if points else None


def _distribution(point: EntryPoint) -> str:
    return _name_of(point.dist) if point.dist else "unknown"


@cache
def _name_of(distribution: Distribution) -> str:
    # Each question parses the metadata anew.
    return distribution.name


def _load(point: EntryPoint, group: str) -> Callable[..., Any]:
    with _naming(point, group):
        loaded = point.load()
    if not callable(loaded):
        raise PluginError(
            f"{_KINDS[group]} {point.name!r} (from {_distribution(point)}) is {type(loaded).__name__}, "
            "it must be a function"
        )
    return loaded  # type: ignore[no-any-return]


class _naming:
    """Turns what goes wrong inside into a PluginError that names the plugin and its distribution."""

    def __init__(self, point: EntryPoint, group: str) -> None:
        self.who = f"{_KINDS[group]} {point.name!r} (from {_distribution(point)})"

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, PluginError):
            raise PluginError(f"{self.who}: {error}") from error
        if error is not None and not isinstance(error, KeyboardInterrupt):
            raise PluginError(f"{self.who} cannot be imported: {describe(error)}") from error


def _class_optimizer(name: str) -> OptimizerPlugin:
    found = optimizer_class(name)
    initialise: Callable[..., None] = found.__init__

    def build(model: nn.Module, task: Task, **hyperparameters: Any) -> torch.optim.Optimizer:
        return build_from_class(found, model, hyperparameters)

    parameters = class_parameters(name, found)
    return OptimizerPlugin(name, build, parameters, None, _first_line(found), accepts_any_name(initialise))


def _first_line(documented: Any) -> str:
    documentation = inspect.getdoc(documented) or ""
    return documentation.strip().partition("\n")[0]
