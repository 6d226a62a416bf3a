"""The conformance test of a plugin by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ngbench.data.directory import data_directory
from ngbench.errors import PluginError, UnknownNameError
from ngbench.experiments.conformance.outcome import Check, run_checks
from ngbench.plugins import registry
from ngbench.plugins.located import is_located
from ngbench.plugins.plugin import Kind, Plugin
from ngbench.plugins.registry import GROUPS
from ngbench.records.experiments import CheckRecord, PluginRecord

__all__ = ["Kind", "check_plugin", "checks_of", "distribution_of", "kinds_of"]


def kinds_of(name: str) -> list[Kind]:
    """What ``name`` is: kinds of which a plugin has this name, or the kind of what it says the place of.

    Raises:
        UnknownNameError: it is nothing.
        PluginError: there is no such place, or it cannot be imported.
    """
    known: dict[Kind, list[str]] = {kind: [row.name for row in registry.rows(group)] for kind, group in GROUPS.items()}
    found = [kind for kind, names in known.items() if name in names]
    if not found and is_located(name):
        return [registry.kind_of_located(name)]
    if not found:
        raise UnknownNameError("plugin", name, {known_name for names in known.values() for known_name in names})
    return found


def check_plugin(
    name: str,
    kind: Kind,
    given: Mapping[str, Any] | None = None,
    *,
    data_dir: Path | None = None,
    told: Callable[[CheckRecord], None] = lambda row: None,
) -> PluginRecord:
    """Run all checks of a plugin.

    Args:
        name: of the plugin, or where it is.
        kind: what it is.
        given: hyper-parameters or options that replace its defaults.
        data_dir: where data sets live, for tasks; by default as for all commands.
        told: is called with each row as soon as it is there.

    Returns:
        One row a check, in the order of the registry of its kind.

    Raises:
        UnknownNameError: there is no such plugin.
        ParameterError: a given value is unknown or not allowed.
    """
    if not is_located(name) and kind not in kinds_of(name):
        raise UnknownNameError(kind, name, {row.name for row in registry.rows(GROUPS[kind])})
    values = given or {}
    if values:
        _convert(name, kind, values)
    subject: Any
    if kind == "optimizer":
        from ngbench.experiments.conformance.trial import OptimizerSubject

        subject = OptimizerSubject(name, values)
    elif kind == "task":
        from ngbench.experiments.conformance.task_subject import TaskSubject

        subject = TaskSubject(name, values, data_directory(None if data_dir is None else str(data_dir)))
    else:
        from ngbench.experiments.conformance.sample_blocks import ApproximationSubject

        subject = ApproximationSubject(name, values)
    checks = run_checks(subject, checks_of(kind), told)
    return PluginRecord(plugin=name, kind=kind, distribution=distribution_of(name, kind), checks=checks)


def checks_of(kind: Kind) -> Sequence[Check[Any]]:
    """The checks of plugins of that kind, in their order."""
    if kind == "optimizer":
        from ngbench.experiments.conformance import optimizers

        return optimizers.OPTIMIZER_CHECKS
    if kind == "task":
        from ngbench.experiments.conformance import tasks

        return tasks.TASK_CHECKS
    from ngbench.experiments.conformance import approximations

    return approximations.APPROXIMATION_CHECKS


def _convert(name: str, kind: Kind, given: Mapping[str, Any]) -> None:
    """Refuse given values that are not allowed; what is wrong with the plugin itself is for its checks to say."""
    loaders: dict[Kind, Callable[[str], Plugin]] = {
        "optimizer": registry.optimizer,
        "task": registry.task_plugin,
        "approximation": registry.approximation_plugin,
    }
    with suppress(PluginError):
        plugin = loaders[kind](name)
        plugin.convert(given)


def distribution_of(name: str, kind: Kind) -> str | None:
    """The distribution that provides the plugin; ``None`` for one that is named by its place."""
    return next((row.distribution for row in registry.rows(GROUPS[kind]) if row.name == name), None)
