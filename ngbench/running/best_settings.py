"""The file of best settings: written by a search, read by ``--hyperparameters``.

Only ``task`` and, for each arm, ``hyperparameters`` are needed in a file that is written by hand::

    task: curves-autoencoder
    arms:
      kfac:
        hyperparameters: {lr: 0.3, damping: 0.1}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ngbench.disk.located_yaml import LocatedYaml, load_yaml
from ngbench.errors import ParameterError, UsageError
from ngbench.plugins import registry

if TYPE_CHECKING:
    from ngbench.arms import ArmSpec

__all__ = ["FORMAT", "VERSION", "ArmSettings", "Settings", "load_settings"]

FORMAT = "ngbench-hyperparameters"
VERSION = 1
_KEYS = (
    *("format", "version", "task", "task_options", "data", "batch_size", "metric", "direction"),
    *("budget", "seeds", "sampler", "arms"),
)
_ARM_KEYS = (
    *("optimizer", "hyperparameters", "searched", "score", "trial"),
    *("trials", "diverged", "cost"),
)


@dataclass(frozen=True)
class ArmSettings:
    """The hyper-parameters of an arm.

    Attributes:
        label: the arm's.
        optimizer: the plugin's name or the dotted name of a class.
        hyperparameters: converted and checked.
    """

    label: str
    optimizer: str
    hyperparameters: Mapping[str, Any]


@dataclass(frozen=True)
class Settings:
    """A file of hyper-parameters.

    Attributes:
        path: the file.
        task: the task that they are for.
        arms: by label.
        batch_size: the batch size that they were found with, if the file says it.
        task_options: the task's own options that they were found with, if the file says it.
    """

    path: Path
    task: str
    arms: Mapping[str, ArmSettings]
    batch_size: int | None = None
    task_options: Mapping[str, Any] = field(default_factory=dict)

    def for_arm(self, label: str, optimizer: str) -> Mapping[str, Any] | None:
        """What the file says of an arm: of that label and optimizer, else of its optimizer; ``None`` if nothing.

        Raises:
            ParameterError: several arms of the file have the optimizer, and none has the label.
        """
        found = [arm for arm in self.arms.values() if arm.optimizer == optimizer]
        named = [arm for arm in found if arm.label == label]
        if len(named or found) > 1:
            labels = ", ".join(arm.label for arm in found)
            raise ParameterError(
                f"{str(self.path)!r} has several arms with the optimizer {optimizer} ({labels}): "
                "call the arm like the one that is meant, with LABEL@NAME"
            )
        return (named or found)[0].hyperparameters if found else None

    def notes(self, arms: Sequence[ArmSpec], batch_size: int, task_options: Mapping[str, Any]) -> list[str]:
        """What a user should know before the arms run with the file's hyper-parameters.

        Raises:
            ParameterError: the file says nothing of any of the arms.
        """
        used = [arm.label for arm in arms if self.for_arm(arm.label, arm.optimizer) is not None]
        others = [arm.label for arm in arms if arm.label not in used]
        if not used:
            known = ", ".join(f"{arm.label} ({arm.optimizer})" for arm in self.arms.values())
            raise ParameterError(f"{str(self.path)!r} has none of the arms {', '.join(others)} (it has: {known})")
        lines = [f"hyper-parameters of {', '.join(used)}: from {self.path}"]
        if others:
            lines.append(f"warning: {self.path} says nothing of {', '.join(others)}, which take the task's own")
        if self.batch_size is not None and self.batch_size != batch_size:
            lines.append(f"warning: they were found with batch size {self.batch_size}, not {batch_size}")
        for name, value in self.task_options.items():
            if name in task_options and task_options[name] != value:
                lines.append(f"warning: they were found with {name}={value}, not {task_options[name]}")
        return lines


def load_settings(path: Path, task: str) -> Settings:
    """Read a file of hyper-parameters for the task, and check all of it.

    Raises:
        ParameterError: it cannot be read, is for another task, or has an unknown key, optimizer or hyper-parameter, or
            a value that is not allowed; naming the file and the line.
    """
    document = load_yaml(path)
    content = document.value
    if not isinstance(content, dict):
        raise ParameterError(f"{str(path)!r} must be a mapping with the keys 'task' and 'arms'")
    _check_keys(document, (), content, _KEYS)
    if content.get("format", FORMAT) != FORMAT or content.get("version", VERSION) != VERSION:
        raise ParameterError(f"{document.where('version')}: this is no {FORMAT} file of version {VERSION}")
    if content.get("task") != task:
        raise ParameterError(
            f"{document.where('task')}: the hyper-parameters are for the task {content.get('task')!r}, not {task!r}"
        )
    arms = content.get("arms")
    if not isinstance(arms, dict) or not arms:
        raise ParameterError(f"{document.where('arms')}: 'arms' must be a mapping from labels to settings")
    size, options = content.get("batch_size"), content.get("task_options") or {}
    if size is not None and (isinstance(size, bool) or not isinstance(size, int)):
        raise ParameterError(f"{document.where('batch_size')}: batch_size={size} is no integer")
    if not isinstance(options, dict):
        raise ParameterError(f"{document.where('task_options')}: 'task_options' must be a mapping")
    read = {str(label): _read_arm(document, label, given) for label, given in arms.items()}
    return Settings(path, task, read, size, options)


def _read_arm(document: LocatedYaml, label: Any, given: Any) -> ArmSettings:
    path = ("arms", label)
    if not isinstance(given, dict):
        raise ParameterError(f"{document.where(*path)}: the arm must be a mapping with the key 'hyperparameters'")
    _check_keys(document, path, given, _ARM_KEYS)
    optimizer, values = given.get("optimizer", str(label)), given.get("hyperparameters")
    if not isinstance(optimizer, str):
        raise ParameterError(f"{document.where(*path, 'optimizer')}: the optimizer must be a name")
    if not isinstance(values, dict):
        raise ParameterError(
            f"{document.where(*path, 'hyperparameters')}: the arm's 'hyperparameters' must be a mapping"
        )
    try:
        plugin = registry.optimizer(optimizer)
    except UsageError as error:
        raise ParameterError(f"{document.where(*path, 'optimizer')}: {error}") from error
    converted: dict[str, Any] = {}
    for name, value in values.items():
        try:
            converted |= plugin.convert({str(name): value})
        except ParameterError as error:
            raise ParameterError(f"{document.where(*path, 'hyperparameters', name)}: {error}") from error
    return ArmSettings(str(label), optimizer, converted)


def _check_keys(
    document: LocatedYaml, path: tuple[str | int, ...], content: Mapping[Any, Any], known: Sequence[str]
) -> None:
    for key in content:
        if key not in known:
            raise ParameterError(f"{document.where(*path, key)}: unknown key {str(key)!r} (known: {', '.join(known)})")
