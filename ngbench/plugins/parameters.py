"""Hyper-parameters and options: the keyword parameters of a plugin's function, with types, bounds, defaults.

A plugin's signature is its documentation. Values may be ``bool``, ``int``, ``float``, ``str``, ``Literal``,
``tuple``, unions of those, and ``Annotated`` with a :class:`Range` or with ``Gt``, ``Ge``, ``Lt``, ``Le`` and
``Interval`` of ``annotated_types``::

    def kfac(model, task, *, lr: Annotated[float, Range(above=0)] = 0.01,
             curvature_interval: Annotated[int, Range(minimum=1)] | Literal["once"] = 100): ...

Everything is validated before anything runs. On the command line the items of a tuple are separated by a
slash, because the comma separates hyper-parameters: ``betas=0.9/0.999``.
"""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from ngbench.curvature.bounds import Member, Range
from ngbench.errors import ParameterError, PluginError, one_line
from ngbench.escaping import without_marks
from ngbench.values import (
    Refused,
    alternatives,
    describe,
    first_match,
    format_value,
    is_plain,
    why_unrecordable,
)

__all__ = [
    "Parameter",
    "Range",
    "accepts_any_name",
    "convert_given",
    "format_value",
    "parameters_of",
    "resolve",
]


@dataclass(frozen=True)
class Parameter:
    """One hyper-parameter or option.

    Attributes:
        name: its name.
        annotation: its type, bounds included.
        default: its default; meaningless where ``required``.
        required: whether it has no default.
        description: what the function's docstring says about it, empty if nothing.
    """

    name: str
    annotation: Any
    default: Any = None
    required: bool = False
    description: str = ""

    def convert(self, value: Any) -> Any:
        """The value that is meant by ``value``, a text of the command line or a value of a YAML or JSON file.

        Raises:
            ParameterError: if ``value`` is not among the allowed ones.
        """
        shown = format_value(value)
        try:
            converted = first_match(self._alternatives, value)
        except Refused:
            raise ParameterError(f"{self.name}={shown} is not allowed, it must be {self.describe()}") from None
        if (reason := why_unrecordable(converted)) is not None:
            raise ParameterError(f"{self.name}={shown} is not allowed, {reason}")
        return converted

    def describe(self) -> str:
        """The allowed set in words, for example ``"an integer >= 1 or 'once'"``."""
        return " or ".join(map(describe, self._alternatives))

    @property
    def _alternatives(self) -> tuple[Member, ...]:
        members = alternatives(self.annotation)
        nullable = any(member.kind in (type(None), Any) for member in members)
        if self.default is None and not self.required and not nullable:
            return (Member(type(None)), *members)
        return members


def parameters_of(function: Callable[..., Any], skip: int = 0, *, lenient: bool = False) -> list[Parameter]:
    """The parameters of ``function`` that a user may set, in the order of its signature.

    Args:
        function: a plugin's function, or the ``__init__`` of an optimizer class.
        skip: how many leading parameters the caller fills in itself (two for ``build(model, task, *, ...)``).
        lenient: for code that was not written for this tool: where the annotation is missing or means
            nothing here, the type is that of the default, and a parameter without either is left out.

    Raises:
        PluginError: if a parameter cannot be set by name or has no usable annotation (unless ``lenient``).
    """
    found = []
    descriptions = _described_arguments(inspect.getdoc(function) or "")
    for parameter in list(inspect.signature(function).parameters.values())[skip:]:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise PluginError(f"{function.__qualname__}: parameter {parameter.name!r} cannot be set by name")
        required = parameter.default is parameter.empty
        default = None if required else parameter.default
        annotation = _annotation(function, parameter, lenient)
        description = descriptions.get(parameter.name, "")
        found.append(Parameter(parameter.name, annotation, default, required, description))
    return found


def accepts_any_name(function: Callable[..., Any]) -> bool:
    """Whether ``function`` takes keyword arguments that its signature does not name (``**kwargs``)."""
    return any(p.kind is p.VAR_KEYWORD for p in inspect.signature(function).parameters.values())


def resolve(
    target: Callable[..., Any] | Sequence[Parameter],
    given: Mapping[str, Any],
    where: str = "",
    *,
    accepts_any: bool = False,
) -> dict[str, Any]:
    """The values of all parameters: those ``given``, converted and checked, and the defaults of the others.

    Args:
        target: the parameters, or the function that has them.
        given: texts of the command line, or values of a YAML or JSON file.
        where: what the parameters belong to, for the messages: ``"optimizer kfac"``.
        accepts_any: whether names that are not among the parameters are passed on, read as literals.

    A default that is no plain value (an object of the function's own), or that no record can hold (infinity), is left
    out: the function applies it.

    Raises:
        ParameterError: for an unknown name, a value that is not allowed, or a required one that is missing.
    """
    parameters = parameters_of(target) if callable(target) else target
    values = convert_given(parameters, given, where, accepts_any=accepts_any)
    for parameter in parameters:
        if parameter.name in values:
            continue
        if parameter.required:
            prefix = f"{where}: " if where else ""
            raise ParameterError(f"{prefix}{parameter.name} has no default, it must be given: {parameter.describe()}")
        if is_plain(parameter.default) and why_unrecordable(parameter.default) is None:
            values[parameter.name] = parameter.default
    order = [parameter.name for parameter in parameters if parameter.name in values]
    return {name: values[name] for name in dict.fromkeys([*order, *values])}


def convert_given(
    parameters: Sequence[Parameter], given: Mapping[str, Any], where: str = "", *, accepts_any: bool = False
) -> dict[str, Any]:
    """The values ``given``, converted and checked, without the defaults of others; see :func:`resolve`."""
    known = {parameter.name: parameter for parameter in parameters}
    prefix = f"{where}: " if where else ""
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name not in known and not accepts_any:
            close = get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            names = ", ".join(sorted(known)) or "none"
            raise ParameterError(f"{prefix}unknown parameter {name!r}{hint} (known: {names})")
        parameter = known.get(name, Parameter(name, Any))
        try:
            values[name] = parameter.convert(value)
        except ParameterError as error:
            raise ParameterError(f"{prefix}{error}") from None
    return values


def _annotation(function: Callable[..., Any], parameter: inspect.Parameter, lenient: bool) -> Any:
    """The annotation of one parameter, resolved on its own: a name that only type checkers import in the
    annotation of another parameter (the model's, the task's) does no harm."""
    annotation: Any = parameter.annotation
    if annotation is not parameter.empty:
        holder = types.SimpleNamespace(__annotations__={parameter.name: annotation})
        names = getattr(inspect.unwrap(function), "__globals__", {})
        try:
            annotation = typing.get_type_hints(holder, globalns=names, include_extras=True)[parameter.name]
            usable = bool(alternatives(annotation))
        except Exception as error:
            if not lenient:
                raise PluginError(
                    f"{function.__qualname__}: the annotation {parameter.annotation!r} of parameter "
                    f"{parameter.name!r} cannot be resolved ({one_line(error)})"
                ) from error
            annotation, usable = parameter.empty, False
        if usable:
            return annotation
    if not lenient:
        what = "no annotation" if annotation is parameter.empty else f"the annotation {annotation}"
        raise PluginError(
            f"{function.__qualname__}: parameter {parameter.name!r} has {what}, "
            "it must be bool, int, float, str, Literal, tuple or a union of those"
        )
    return _type_of_default(parameter.default)


def _type_of_default(default: Any) -> Any:
    """The type that values of a parameter without annotation have, judged by its default.

    A number stays a number: a default of ``0`` says nothing against ``0.9``.
    """
    if isinstance(default, bool):
        return bool
    if isinstance(default, (int, float)):
        return int | float
    if isinstance(default, str):
        return str
    if isinstance(default, (tuple, list)) and default and all(_is_number(item) for item in default):
        return tuple[(float,) * len(default)]  # type: ignore[misc]
    return Any


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_ARGUMENT = re.compile(r"(?P<indent> *)\*{0,2}(?P<name>[A-Za-z_]\w*)(?: \([^)]*\))?: +(?P<text>\S.*)")


def _described_arguments(docstring: str) -> dict[str, str]:
    """What an ``Args:`` section says about each argument, joined to one line each."""
    lines = iter(docstring.splitlines())
    for line in lines:
        if line.strip() in ("Args:", "Arguments:", "Keyword Args:", "Parameters:"):
            break
    found: dict[str, str] = {}
    level, name = None, ""
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if not line.strip() or (level is not None and indent < level) or indent == 0:
            if found:
                break
            continue
        match = _ARGUMENT.fullmatch(line.rstrip())
        if match and (level is None or indent == level):
            level, name = indent, match["name"]
            found[name] = match["text"]
        elif name:
            found[name] += f" {line.strip()}"
    return {name: without_marks(text) for name, text in found.items()}
