"""What the functions of the Python API take: names or objects, and options by keyword."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

from ngbench.adversarial_task import AdversarialTask
from ngbench.arms import ArmSpec, check_label, parse_arms
from ngbench.disk.files import given_path
from ngbench.errors import ParameterError, UnknownNameError, UsageError
from ngbench.plugins.objects import holding
from ngbench.running.option_fields import options_of
from ngbench.running.request import RunOptions
from ngbench.task import Task

__all__ = ["Asked", "OwnTask", "a_mapping", "checked_arguments", "made_options", "refuse_unknown"]

AnyOptions = TypeVar("AnyOptions")
Given = ParamSpec("Given")
Found = TypeVar("Found")

_OWN = "model, data and likelihood"


@dataclass(frozen=True)
class OwnTask:
    """A task by its parts, see :func:`ngbench.task_of`."""

    model: Any
    data: Any
    likelihood: Any
    options: Mapping[str, Any]

    @property
    def given(self) -> bool:
        return any(part is not None for part in (self.model, self.data, self.likelihood))

    def task(self) -> Any:
        """The task.

        Raises:
            ParameterError: a part is missing or not allowed, or they do not fit together.
        """
        from ngbench.library.own_tasks import task_of

        for name in ("model", "data"):
            if getattr(self, name) is None:
                raise ParameterError(f"{name} is missing: {_OWN} go together")
        return task_of(self.model, self.data, self.likelihood, batch_size=self.options.get("batch_size"))


@dataclass
class Asked:
    """What was asked for by object instead of by name; ``objects`` are by kind and by the name that records give."""

    objects: dict[tuple[str, str], Any] = field(default_factory=dict)

    def held(self) -> AbstractContextManager[None]:
        """Within this, the objects are what their names mean."""
        return holding(self.objects)

    def task(self, given: Any, own: OwnTask | None = None) -> str:
        """The name of a task: given as such, or as model, data and likelihood.

        Raises:
            ParameterError: it is no task, both are given, or neither.
        """
        if own is not None and own.given:
            if given is not None:
                raise ParameterError(f"give either a task or {_OWN}, not both")
            name = _called(own.model, "own task")
            self.objects["task", name] = _returning(own.task())
            return name
        if isinstance(given, Mapping):
            if len(given) != 1 or not isinstance(next(iter(given)), str):
                raise ParameterError(f"task={given!r} is not allowed, a mapping must be {{NAME: TASK}} with one entry")
            ((name, given),) = given.items()
        else:
            name = _called(given, "task")
        if isinstance(given, str):
            return given
        if _is_network(given):
            raise ParameterError(f"{name} is a model, not a task: give model=..., with data=... and likelihood=...")
        if not callable(given) and not isinstance(given, (Task, AdversarialTask)):
            raise ParameterError(
                f"task={given!r} is not allowed, it must be a name, a function that makes a task, an ngbench.Task or "
                f"{{NAME: one of these}}{f'; or give {_OWN}' if own is not None else ''}"
            )
        self.objects["task", name] = given if callable(given) else _returning(given)
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
        if label is not None and not isinstance(label, str):
            raise ParameterError(f"label {label!r} is not allowed, it must be a text")
        values = a_mapping("hyper-parameters", values)
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

    module, _, name = place.rpartition(".")
    if module == "__main__" or getattr(sys.modules.get(module), name, None) is not given:
        return False
    return importlib.util.find_spec(module) is not None


def _called(given: Any, otherwise: str) -> str:
    """What records call an object: the name of a class or function, or of a network's class."""
    named = type(given) if _is_network(given) and not isinstance(given, type) else given
    name: str = getattr(named, "__name__", otherwise)
    return otherwise if name == "<lambda>" else name


def _is_network(given: Any) -> bool:
    """Whether it is a network, or the class of one; where torch is not loaded nothing is."""
    torch = sys.modules.get("torch")
    if torch is None:
        return False
    network: type = torch.nn.Module
    return isinstance(given, network) or (isinstance(given, type) and issubclass(given, network))


def _returning(made: Any) -> Callable[[], Any]:
    def task() -> Any:
        return made

    return task


def a_mapping(name: str, given: Any) -> dict[str, Any]:
    """The mapping from names that is given for a parameter; ``None`` is an empty one.

    Raises:
        ParameterError: it is none.
    """
    if given is not None and not (isinstance(given, Mapping) and all(isinstance(key, str) for key in given)):
        raise ParameterError(f"{name}={given!r} is not allowed, it must be a mapping from names")
    return dict(given or {})


def _texts(given: Any) -> list[str]:
    found = [given] if isinstance(given, str) else [*given]
    if isinstance(given, (bytes, Mapping)) or not all(isinstance(one, str) for one in found):
        raise TypeError
    return found


def _observer(given: Any) -> Any:
    if given is not None and not callable(getattr(given, "note", None)):
        raise TypeError
    return given


def _of(*kinds: type) -> Callable[[Any], Any]:
    def same(given: Any) -> Any:
        if not isinstance(given, kinds):
            raise TypeError
        return given

    return same


def _count(given: Any) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise TypeError
    return given


_SHARED: dict[str, tuple[str, Callable[[Any], Any]]] = {
    **dict.fromkeys(
        ("approximations", "arms", "fail_if", "players", "studies"), ("a text or several in a list", _texts)
    ),
    **dict.fromkeys(("own_processes", "resume"), ("true or false", _of(bool))),
    "observer": ("an object such as an ngbench.SilentObserver", _observer),
    "output": ("a path", lambda given: None if given is None else given_path(given)),
    "path": ("a path", given_path),
    "reference": ("the label of an arm", _of(str, type(None))),
    "restarts": ("a whole number of 1 or more", _count),
}
"""What an argument must be that functions have by this name, and how it is made of what was given."""


def checked_arguments(function: Callable[Given, Found]) -> Callable[Given, Found]:
    """The function, which refuses what its arguments cannot be. Texts arrive as a list, and paths as paths.

    Raises:
        ParameterError: (from the function) naming the argument, and what it must be.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args: Given.args, **kwargs: Given.kwargs) -> Found:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        for name in bound.arguments.keys() & _SHARED.keys():
            words, made = _SHARED[name]
            given = bound.arguments[name]
            try:
                bound.arguments[name] = made(given)
            except TypeError:
                raise ParameterError(f"{name}={given!r} is not allowed, it must be {words}") from None
        return function(*bound.args, **bound.kwargs)

    return call


def made_options(kind: type[AnyOptions], given: Mapping[str, Any]) -> AnyOptions:
    refuse_unknown(given, set(options_of(kind)) | ({"count_operations"} if issubclass(kind, RunOptions) else set()))
    return kind(**given)


def refuse_unknown(given: Mapping[str, Any], known: Iterable[str]) -> None:
    for name in given:
        if name not in known:
            raise UnknownNameError("option", name, known)
