"""What the functions of the Python API take: names or objects, and options by keyword."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ngbench.arms import ArmSpec, check_label, parse_arms
from ngbench.errors import ParameterError, UnknownNameError, UsageError
from ngbench.plugins.objects import holding
from ngbench.running.option_fields import options_of
from ngbench.running.request import RunOptions

__all__ = ["Asked", "a_mapping", "made_options", "refuse_unknown"]

AnyOptions = TypeVar("AnyOptions")


@dataclass
class Asked:
    """What was asked for by object instead of by name; ``objects`` are by kind and by the name that records give."""

    objects: dict[tuple[str, str], Any] = field(default_factory=dict)

    def held(self) -> AbstractContextManager[None]:
        """Within this, the objects are what their names mean."""
        return holding(self.objects)

    def task(self, given: Any) -> str:
        """The name of a task."""
        if isinstance(given, str):
            return given
        name, made = _named(given) if isinstance(given, Mapping) else (getattr(given, "__name__", "task"), given)
        if isinstance(made, str):
            return made
        self.objects["task", name] = made if callable(made) else _returning(made)
        return name

    def arms(self, given: Any) -> list[ArmSpec]:
        """The arms that are meant by a text, a list or a mapping from labels."""
        if isinstance(given, str):
            return parse_arms([given])
        if isinstance(given, type) or inspect.isfunction(given):
            given = [given]
        if not isinstance(given, Iterable):
            raise ParameterError(
                f"optimizers={given!r} is not allowed, it must be a text, a class, a list or a mapping"
            )
        pairs = [(label, one) for label, one in given.items()] if isinstance(given, Mapping) else None
        arms: list[ArmSpec] = []
        for label, one in pairs if pairs is not None else ((None, one) for one in given):
            arms += self._arm(label, one)
        if not arms:
            raise ParameterError("there is no optimizer to run, give one or several")
        labels = [arm.label for arm in arms]
        for label in labels:
            if labels.count(label) > 1:
                raise UsageError(f"two arms are called {label!r}, name them apart with a mapping from labels")
        return arms

    def _arm(self, label: str | None, given: Any) -> list[ArmSpec]:
        optimizer, values = given if isinstance(given, tuple) and len(given) == 2 else (given, {})
        if isinstance(optimizer, str):
            parsed = parse_arms([optimizer])
            if (label is not None or values) and len(parsed) != 1:
                raise ParameterError(f"optimizer {optimizer!r} is not allowed here, it must be one arm")
            found = [ArmSpec(label or arm.label, arm.optimizer, {**arm.hyperparameters, **values}) for arm in parsed]
        else:
            name = self._optimizer(optimizer)
            found = [ArmSpec(label or optimizer.__name__, name, values)]
        for arm in found:
            check_label(arm.label, "{LABEL: OPTIMIZER}")
        return found

    def _optimizer(self, given: Any) -> str:
        """The name of an optimizer's class or function: its place, where another process could import it from."""
        if not (isinstance(given, type) or inspect.isfunction(given)):
            raise UsageError(
                f"optimizer {given!r} is not allowed, it must be a text, a class or a function build(model, task, ...)"
            )
        place = f"{given.__module__}.{given.__qualname__}"
        if _is_importable(given, place):
            return place
        name, number = given.__name__, 1
        while self.objects.setdefault(("optimizer", name), given) is not given:
            number += 1
            name = f"{given.__name__}-{number}"
        return name


def _is_importable(given: Any, place: str) -> bool:
    import importlib.util
    import sys

    module, _, name = place.rpartition(".")
    if module == "__main__" or getattr(sys.modules.get(module), name, None) is not given:
        return False
    return importlib.util.find_spec(module) is not None


def _named(given: Mapping[str, Any]) -> tuple[str, Any]:
    if len(given) != 1:
        raise ParameterError(f"a task is {{NAME: TASK}}, a mapping with one entry, not with {len(given)}")
    return next(iter(given.items()))


def _returning(made: Any) -> Callable[[], Any]:
    def task() -> Any:
        return made

    return task


def a_mapping(name: str, given: Any) -> dict[str, Any]:
    """The mapping that is given for a parameter; ``None`` is an empty one.

    Raises:
        ParameterError: it is none.
    """
    if given is not None and not isinstance(given, Mapping):
        raise ParameterError(f"{name}={given!r} is not allowed, it must be a mapping")
    return dict(given or {})


def made_options(kind: type[AnyOptions], given: Mapping[str, Any]) -> AnyOptions:
    refuse_unknown(given, set(options_of(kind)) | ({"count_operations"} if issubclass(kind, RunOptions) else set()))
    return kind(**given)


def refuse_unknown(given: Mapping[str, Any], known: Iterable[str]) -> None:
    for name in given:
        if name not in known:
            raise UnknownNameError("option", name, known)
