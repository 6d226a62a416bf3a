"""The spaces that a user gives: with ``--search`` on the command line, or in a YAML file with ``--space``.

A file names arms, by label or by optimizer, and for each what is searched::

    task: curves-autoencoder          # optional; a file for another task is refused
    arms:
      kfac:
        lr: [0.3, 0.1, 0.03]
        damping: {low: 1e-4, high: 1, log: true}

Either takes the place of the task's grid for the arms that it is about; ``--search`` replaces what a file says of the
same hyper-parameter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ngbench.arms import ArmSpec
from ngbench.disk.located_yaml import LocatedYaml, load_yaml
from ngbench.errors import ParameterError, UnknownNameError, UsageError
from ngbench.experiments.search.space import Dimension, read_dimension
from ngbench.plugins import registry
from ngbench.plugins.parameters import Parameter

__all__ = ["given_spaces"]

_OPTION = "--search"
_KEYS = ("task", "arms")


@dataclass(frozen=True)
class _Searched:
    """One ``--search``: for the arm called so, or for all that have the hyper-parameter."""

    arm: str | None
    key: str
    text: str
    option: str


def given_spaces(
    arms: Sequence[ArmSpec], task: str, file: Path | None, searches: Sequence[str]
) -> dict[str, dict[str, Dimension]]:
    """What is searched, by label, for the arms about which something is given.

    Args:
        arms: those of the search.
        task: its name.
        file: the value of ``--space``.
        searches: the values of ``--search``: ``[ARM:]KEY=VALUES``.

    Raises:
        UsageError: naming the option, or the file and line.
    """
    spaces = {} if file is None else _read_file(arms, task, load_yaml(file))
    given: set[tuple[str, str]] = set()
    for one in map(_parse, searches):
        used = False
        for arm in arms:
            parameter = _parameter(arm, one)
            if parameter is None:
                continue
            used = True
            if (arm.label, one.key) in given:
                raise ParameterError(f"{one.option}: {one.key} of arm {arm.label!r} is given twice")
            given.add((arm.label, one.key))
            try:
                spaces.setdefault(arm.label, {})[one.key] = read_dimension(parameter, one.text)
            except ParameterError as error:
                raise ParameterError(f"{one.option}: optimizer {arm.optimizer}: {error}") from None
        if not used:
            _refuse(arms, one)
    return spaces


def _parse(text: str) -> _Searched:
    name, equals, values = (part.strip() for part in text.partition("="))
    arm, colon, key = name.rpartition(":")
    if not equals or not key or not values or (colon and not arm.strip()):
        raise ParameterError(f"{_OPTION} {text!r} is not allowed, it must be [ARM:]KEY=VALUES")
    return _Searched(arm.strip() if colon else None, key.strip(), values, f"{_OPTION} {text}")


def _parameter(arm: ArmSpec, one: _Searched) -> Parameter | None:
    """The hyper-parameter of the arm that is meant; ``None`` if this is not about the arm, or it has none."""
    if one.arm is not None and one.arm not in (arm.label, arm.optimizer):
        return None
    plugin = registry.optimizer(arm.optimizer)
    found = next((parameter for parameter in plugin.accepted if parameter.name == one.key), None)
    if found is None and one.arm is not None and plugin.accepts_any:
        return Parameter(one.key, Any)
    return found


def _refuse(arms: Sequence[ArmSpec], one: _Searched) -> None:
    named = [arm for arm in arms if one.arm in (None, arm.label, arm.optimizer)]
    if not named and one.arm is not None:
        names = {name for arm in arms for name in (arm.label, arm.optimizer)}
        raise ParameterError(f"{one.option}: {UnknownNameError('arm', one.arm, names)}")
    known = {p.name for arm in named for p in registry.optimizer(arm.optimizer).accepted}
    raise ParameterError(f"{one.option}: {UnknownNameError('hyper-parameter', one.key, known)}")


def _read_file(arms: Sequence[ArmSpec], task: str, document: LocatedYaml) -> dict[str, dict[str, Dimension]]:
    content = document.value
    if not isinstance(content, dict) or not isinstance(content.get("arms"), dict):
        raise ParameterError(
            f"{document.where('arms')}: a space must be a mapping with the key 'arms', itself a mapping"
        )
    for key in content:
        if key not in _KEYS:
            known = ", ".join(_KEYS)
            raise ParameterError(f"{document.where(key)}: unknown key {str(key)!r} (known: {known})")
    if content.get("task", task) != task:
        raise ParameterError(f"{document.where('task')}: the space is for the task {content['task']!r}, not {task!r}")
    entries: dict[str, Any] = content["arms"]
    spaces: dict[str, dict[str, Dimension]] = {}
    for arm in arms:
        name = next((name for name in (arm.label, arm.optimizer) if name in entries), None)
        if name is None:
            raise ParameterError(f"{document.where('arms')}: there is no space for the arm {arm.label!r}")
        spaces[arm.label] = _read_arm(document, name, entries[name], arm.optimizer)
    for name in entries:
        if name in {known for arm in arms for known in (arm.label, arm.optimizer)}:
            continue
        # Spaces of other optimizers may stand in the file, misspelt names may not.
        try:
            registry.optimizer(str(name))
        except UsageError as error:
            raise ParameterError(f"{document.where('arms', name)}: {error}") from error
    return spaces


def _read_arm(document: LocatedYaml, name: str, entries: Any, optimizer: str) -> dict[str, Dimension]:
    if not isinstance(entries, Mapping) or not entries:
        raise ParameterError(
            f"{document.where('arms', name)}: the space of {name} must be a mapping from hyper-parameters to values"
        )
    plugin = registry.optimizer(optimizer)
    known = {parameter.name: parameter for parameter in plugin.accepted}
    space: dict[str, Dimension] = {}
    for key, given in entries.items():
        where = document.where("arms", name, key)
        if key not in known and not plugin.accepts_any:
            raise ParameterError(f"{where}: optimizer {optimizer}: {UnknownNameError('parameter', str(key), known)}")
        try:
            space[str(key)] = read_dimension(known.get(key, Parameter(str(key), Any)), given)
        except ParameterError as error:
            raise ParameterError(f"{where}: optimizer {optimizer}: {error}") from None
    return space
