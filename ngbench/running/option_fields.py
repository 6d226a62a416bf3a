"""Fields of a dataclass that a user may set: each with its default, its limits and its help, written once.

The command line makes an option of each (:mod:`ngbench.cli.options`), Python a keyword argument
(:mod:`ngbench.library`); both convert and check values here. Loads no torch, so that help stays quick.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from ngbench.errors import ParameterError
from ngbench.plugins.parameters import Parameter
from ngbench.spelling import spelled

__all__ = ["conditions_of", "converted", "option", "options_of"]

_KEY = "option"


@dataclasses.dataclass(frozen=True)
class Option:
    """What a user is told of a field.

    Attributes:
        help: a sentence.
        metavar: what stands for the value; ``""`` for a switch.
        panel: the heading of its group.
        shown_default: the default in words, where its value says nothing.
        flags: of the command line.
        type: of its values, without their limits.
        decides: whether what a run computes depends on it, while no field of the record is its own: it is kept,
            compared and required to be equal as one of the record's ``conditions``.
        convert: the value that is meant by a text or a value; raises a ``ParameterError`` that says what is allowed.
    """

    help: str
    metavar: str
    panel: str | None
    shown_default: str | None
    flags: tuple[str, ...]
    convert: Callable[[Any], Any] | None
    type: type
    decides: bool = False


def option(
    default: Any,
    help: str,
    *,
    metavar: str = "",
    panel: str | None = None,
    shown_default: str | None = None,
    flags: tuple[str, ...] = (),
    convert: Callable[[Any], Any] | None = None,
    decides: bool = False,
) -> Any:
    """A field that a user may set; see :class:`Option`.

    The limits are those of the field's annotation where there is no ``convert``, and the flag is its name.
    """
    declared = Option(help, metavar, panel, shown_default, flags, convert, str, decides)
    return dataclasses.field(default=default, metadata={_KEY: declared})


def options_of(kind: type) -> Mapping[str, Option]:
    """The fields of a dataclass that a user may set, by name and complete; not those that it says it is ``without``."""
    return _options_of(kind)


@functools.cache
def _options_of(kind: Any) -> Mapping[str, Option]:
    without: frozenset[str] = getattr(kind, "without", frozenset())
    hints = typing.get_type_hints(kind, include_extras=True)
    found: dict[str, Option] = {}
    for field in dataclasses.fields(kind):
        declared: Option | None = field.metadata.get(_KEY)
        if declared is None or field.name in without:
            continue
        annotation = _without_none(hints[field.name])
        found[field.name] = dataclasses.replace(
            declared,
            flags=declared.flags or (f"--{field.name.replace('_', '-')}",),
            convert=declared.convert or _converter(field.name, annotation),
            type=_plain(annotation),
        )
    return found


@functools.cache
def _converter(name: str, annotation: Any) -> Callable[[Any], Any] | None:
    if annotation in (bool, str):
        return None
    # Of an option and of a keyword, whose names errors spell differently.
    made = functools.cache(lambda spelling: Parameter(spelling, annotation, required=True))
    return lambda value: made(spelled(name)).convert(value)


def _plain(annotation: Any) -> type:
    if typing.get_origin(annotation) is typing.Literal:
        return type(typing.get_args(annotation)[0])
    plain: type = typing.get_args(annotation)[0] if typing.get_origin(annotation) is typing.Annotated else annotation
    return plain


def converted(given: Any) -> dict[str, Any]:
    """The values of a dataclass's options as they are meant; ``None`` stays where it is the default.

    Raises:
        ParameterError: a value is not allowed.
    """
    defaults = {field.name: field.default for field in dataclasses.fields(given)}
    values = {}
    for name, declared in options_of(type(given)).items():
        value = getattr(given, name)
        missing = value is None and defaults[name] is None
        if declared.convert is None and not missing and not isinstance(value, declared.type):
            kind = "a text" if declared.type is str else "true or false"
            raise ParameterError(f"{spelled(name)}={value!r} is not allowed, it must be {kind}")
        values[name] = value if missing or declared.convert is None else declared.convert(value)
    return values


def conditions_of(given: Any) -> dict[str, Any]:
    """The values that were set of options that :attr:`~Option.decides` is true of."""
    defaults = {field.name: field.default for field in dataclasses.fields(given)}
    return {
        name: getattr(given, name)
        for name, declared in options_of(type(given)).items()
        if declared.decides and getattr(given, name) != defaults[name]
    }


def _without_none(annotation: Any) -> Any:
    members = typing.get_args(annotation)
    if typing.get_origin(annotation) not in (types.UnionType, typing.Union):
        return annotation
    (kept,) = [member for member in members if member is not type(None)]
    return kept
