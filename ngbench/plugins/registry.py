"""Plugins: tasks, optimizers and approximations, which distributions provide through entry points or files hold.

A name is listed without importing what it names: its summary is read from the source. What a plugin does
wrong is one sentence that names the plugin and where it is from, and concerns that plugin alone.

An optimizer plugin is an entry point in ``ngbench.optimizers`` that names a function
``build(model, task, *, ...) -> torch.optim.Optimizer``; a task plugin is one in ``ngbench.tasks`` that names
a function returning a :class:`ngbench.Task` or a :class:`ngbench.AdversarialTask`. An approximation plugin is an entry
point in ``ngbench.approximations`` that names a function from a Fisher block and the previous estimate's start to an
estimate (:data:`ngbench.curvature.kronecker.approximations.Approximation`), with its own options as further keyword
parameters. Each of these functions, and any optimizer class, is a plugin as well by where it is:
``package.module.Name`` or ``path/to/file.py:Name``.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial
from importlib.metadata import Distribution, EntryPoint, entry_points, packages_distributions
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
from ngbench.plugins.located import Located, is_located, locate
from ngbench.plugins.objects import held
from ngbench.plugins.parameters import Range, accepts_any_name, parameters_of
from ngbench.plugins.plugin import Kind, Plugin, kind_of
from ngbench.plugins.summaries import SourceNotFound, first_line, read_summary

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ngbench.curvature.kronecker.estimate import Approximation
    from ngbench.task import Task

__all__ = [
    "APPROXIMATIONS",
    "GROUPS",
    "OPTIMIZERS",
    "TASKS",
    "PluginRow",
    "adversarial_task",
    "any_task",
    "approximation",
    "approximation_plugin",
    "build_optimizer",
    "effective_hyperparameters",
    "kind_of_located",
    "optimizer",
    "origins_of_hyperparameters",
    "providers",
    "published_hyperparameters",
    "rows",
    "task",
    "task_options",
    "task_plugin",
]

OPTIMIZERS = "ngbench.optimizers"
TASKS = "ngbench.tasks"
APPROXIMATIONS = "ngbench.approximations"
Origin = Literal["given", "searched", "published", "default"]
GROUPS: Mapping[Kind, str] = {"optimizer": OPTIMIZERS, "task": TASKS, "approximation": APPROXIMATIONS}


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


_PROVIDERS: set[str] = set()
_IMPORTED_FROM: set[str] = set()
"""What gave plugins to this process: distributions, and packages that were named by a dotted name."""


def providers() -> set[str]:
    """The distributions that gave a plugin to this process."""
    if _IMPORTED_FROM:
        # This reads what every distribution holds.
        holders = packages_distributions()
        _PROVIDERS.update(name for package in _IMPORTED_FROM for name in holders.get(package, ()))
        _IMPORTED_FROM.clear()
    return set(_PROVIDERS)


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


def optimizer(name: str) -> Plugin:
    """The optimizer called ``name``: an entry point, or a class or a plugin's function by where it is.

    An approximation's name, or place, is also that of the natural gradient with it, if no optimizer has it.

    Raises:
        UnknownNameError: if there is no such optimizer.
        PluginError: if it cannot be imported, is no optimizer, or is provided twice.
    """
    from ngbench.plugins.optimizer_classes import build_from_class, check_class, class_parameters, is_optimizer_class

    located = None
    if (own := held("optimizer", name)) is not None:
        located = Located(own, None)
    elif _entry_point("optimizer", name) is None:
        located = _locate(name, "optimizer", "class", is_optimizer_class) if is_located(name) else None
        if _entry_point("approximation", name) if located is None else kind_of(located.found) == "approximation":
            return _optimizer_with(approximation_plugin(name))
    if located is not None and not inspect.isfunction(located.found):
        found = check_class(name, located.found)
        initialise: Callable[..., None] = found.__init__

        def build(model: nn.Module, task: Task, **hyperparameters: Any) -> torch.optim.Optimizer:
            return build_from_class(found, model, hyperparameters)

        return Plugin(
            "optimizer",
            name,
            build,
            class_parameters(name, found),
            # Of its own alone: an inherited docstring describes another class.
            first_line(inspect.cleandoc(found.__doc__ or "")),
            file=located.file,
            accepts_any=accepts_any_name(initialise),
            is_class=True,
        )
    return _plugin("optimizer", name, skip=2)


def _optimizer_with(plugin: Plugin) -> Plugin:
    """Natural gradient with an approximation, whose options follow the hyper-parameters of all natural gradients.

    Raises:
        PluginError: an option is called like a hyper-parameter.
    """
    # By its place, since optimizers import the registry.
    with_approximation = EntryPoint("", "ngbench.optimizers.kronecker:with_approximation", OPTIMIZERS).load()
    shared = parameters_of(with_approximation, skip=4)
    own = {parameter.name for parameter in plugin.parameters}
    if taken := sorted(own & {parameter.name for parameter in shared}):
        raise PluginError(f"{plugin.who}: its option {taken[0]!r} is a hyper-parameter of every natural gradient")

    def build(model: nn.Module, task: Task, **given: Any) -> torch.optim.Optimizer:
        made = approximation(plugin.name, {name: given.pop(name) for name in own & given.keys()})
        optimizer: torch.optim.Optimizer = with_approximation(model, task, made, **given)
        return optimizer

    summary = f"Natural gradient with this approximation: {plugin.summary}"
    return replace(plugin, kind="optimizer", build=build, parameters=(*shared, *plugin.parameters), summary=summary)


def kind_of_located(name: str) -> Kind:
    """What the object is that ``name`` says the place of.

    A class is an optimizer, as is a function whose first parameter is the ``model``; another function with parameters
    in front of ``*`` is an approximation, and one without is a task.

    Raises:
        UnknownNameError: the module has nothing of that name.
        PluginError: there is no such place, it cannot be imported, or it holds none of these.
    """
    found = locate(name, "plugin", "name", callable).found
    if not inspect.isfunction(found):
        return optimizer(name).kind
    return kind_of(found) or "approximation"


def build_optimizer(
    plugin: Plugin, model: nn.Module, task: Task, hyperparameters: Mapping[str, Any]
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
    of_runs = {parameter.name for parameter in plugin.of_runs}
    try:
        values = plugin.resolve(hyperparameters)
        built = plugin.build(model, task, **{name: values[name] for name in values if name not in of_runs})
    except (NgbenchError, KeyboardInterrupt):
        raise
    except (ValueError, TypeError) as error:
        raise ParameterError(f"optimizer {plugin.name}: {one_line(error)}") from error
    except BaseException as error:
        raise PluginError(f"{plugin.who} failed: {describe(error)}") from error
    if not isinstance(built, torch.optim.Optimizer):
        raise PluginError(f"{plugin.who} returned {type(built).__name__}, it must be a torch.optim.Optimizer")
    return built


def published_hyperparameters(plugin: Plugin, task: Task) -> dict[str, Any]:
    """The values that ``task`` replaces defaults of ``plugin`` by, converted and checked.

    Raises:
        PluginError: if the task names a hyper-parameter that the optimizer does not have, or a value that it
            does not allow.
    """
    try:
        return plugin.convert(task.hyperparameters.get(plugin.name, {}))
    except ParameterError as error:
        raise PluginError(f"the task's published hyper-parameters do not fit: {error}") from error


def effective_hyperparameters(plugin: Plugin, task: Task, given: Mapping[str, Any]) -> dict[str, Any]:
    """All hyper-parameters of an arm: the ``given`` value, else the task's published one, else the default.

    Raises:
        ParameterError: for a given name that is unknown or a given value that is not allowed.
        PluginError: if the task's published values do not fit the optimizer.
    """
    return plugin.resolve({**published_hyperparameters(plugin, task), **given})


def origins_of_hyperparameters(
    plugin: Plugin, task: Task, given: Mapping[str, Any], searched: Mapping[str, Any]
) -> dict[str, Origin]:
    """Whose each hyper-parameter of an arm is: ``given``, ``searched``, published for the task, or a default.

    Raises:
        ParameterError, PluginError: as :func:`effective_hyperparameters`.
    """
    published = published_hyperparameters(plugin, task)
    sources: dict[Origin, Mapping[str, Any]] = {"given": given, "searched": searched, "published": published}
    return {
        name: next((origin for origin, values in sources.items() if name in values), "default")
        for name in plugin.resolve({**published, **searched, **given})
    }


def task_plugin(name: str) -> Plugin:
    """The task plugin called ``name``: an entry point, or a function by where it is.

    Raises:
        UnknownNameError: if there is no such task.
        PluginError: if it cannot be imported or is provided twice.
    """
    return _plugin("task", name)


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
        raise PluginError(f"{plugin.who} failed: {describe(error)}") from error
    if not isinstance(made, Task | AdversarialTask):
        raise PluginError(f"{plugin.who} returned {type(made).__name__}, it must be an ngbench.Task")
    return made


def approximation(name: str, given: Mapping[str, Any] | None = None) -> Approximation:
    """The Kronecker approximation called ``name``, with the options ``given`` (texts or values).

    ``positions`` is an option of all of them: the radius at which pairs of positions of a convolution are cut off.

    Raises:
        UnknownNameError: there is no such approximation.
        ParameterError: an option is unknown or not allowed.
        PluginError: the plugin cannot be imported or is provided twice.
    """
    from ngbench.curvature.kronecker.declaration import at_radius

    plugin = approximation_plugin(name)
    options = plugin.convert(given or {})
    positions = options.pop("positions", "all")
    return at_radius(partial(plugin.build, **options), positions)


def approximation_plugin(name: str) -> Plugin:
    """The approximation plugin called ``name``: an entry point, or a function by where it is.

    Raises:
        UnknownNameError: there is no such approximation.
        PluginError: it cannot be imported or is provided twice.
    """
    plugin = _plugin("approximation", name, skip=2)
    return replace(plugin, parameters=(*plugin.parameters, *parameters_of(_with_positions)))


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


def _plugin(kind: Kind, name: str, *, skip: int = 0) -> Plugin:
    """The plugin that is a function, whose first ``skip`` parameters are not the user's."""
    own = held(kind, name)
    point = _entry_point(kind, name) if own is None else None
    distribution = file = None
    if own is not None:
        function, who = own, f"{kind} {name!r}"
    elif point is not None:
        distribution = _distribution(point)
        who = f"{kind} {name!r} (from {distribution})"
        with _naming(who):
            function = point.load()
        _PROVIDERS.add(distribution)
    elif is_located(name):
        located = _locate(name, kind, "function", inspect.isfunction)
        function, file, who = located.found, located.file, f"{kind} {name!r}"
    else:
        raise UnknownNameError(kind, name, {p.name for p in _points(GROUPS[kind])})
    if point is None and own is None and (actual := kind_of(function)) not in (kind, None):
        raise PluginError(f"{who} is not allowed: it is {'a' if actual == 'task' else 'an'} {actual}")
    if not callable(function) or isinstance(function, type):
        raise PluginError(f"{who} is {type(function).__name__}, it must be a function")
    with _naming(who):
        parameters = tuple(parameters_of(function, skip=skip))
    summary = first_line(inspect.getdoc(function) or "")
    accepts_any = accepts_any_name(function)
    return Plugin(kind, name, function, parameters, summary, distribution, file, accepts_any)


def _locate(name: str, kind: Kind, noun: str, eligible: Callable[[Any], bool]) -> Located:
    located = locate(name, kind, noun, eligible)
    if located.file is None:
        _IMPORTED_FROM.add(name.partition(".")[0])
    return located


def _entry_point(kind: Kind, name: str) -> EntryPoint | None:
    points = [point for point in _points(GROUPS[kind]) if point.name == name]
    if len(points) > 1:
        providers = " and ".join(sorted(_distribution(point) for point in points))
        raise PluginError(f"{kind} {name!r} is provided by {providers}: uninstall one of them to use the other")
    return points[0] if points else None


def _distribution(point: EntryPoint) -> str:
    return _name_of(point.dist) if point.dist else "unknown"


@cache
def _name_of(distribution: Distribution) -> str:
    # Each question parses the metadata anew.
    return distribution.name


@contextmanager
def _naming(who: str) -> Iterator[None]:
    """Turns what goes wrong inside into a PluginError that says whose it is."""
    try:
        yield
    except PluginError as error:
        raise PluginError(f"{who}: {error}") from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise PluginError(f"{who} cannot be imported: {describe(error)}") from error
