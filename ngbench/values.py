"""The values that a parameter may take: plain types with bounds, literals, tuples and unions, read from text.

On the command line the items of a tuple are separated by a slash, because the comma separates
hyper-parameters: ``betas=0.9/0.999``.
"""

from __future__ import annotations

import math
import re
import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Union

from ngbench.curvature.bounds import Range

__all__ = [
    "LARGEST_COUNT",
    "LARGEST_NUMBER",
    "TUPLE_SEPARATOR",
    "Alternative",
    "Range",
    "Refused",
    "alternatives",
    "first_match",
    "format_value",
    "is_encodable",
    "is_plain",
    "read_literal",
    "why_unrecordable",
]

LARGEST_COUNT: Final = 2**63 - 1
"""The largest integer that a record may hold, with either sign."""

LARGEST_NUMBER: Final = 1e60
"""Beyond float32, and so far below the largest float64 that squares and sums of such numbers are numbers still."""

TUPLE_SEPARATOR = "/"
_NONE_TEXTS = ("none", "null")
_BOOL_TEXTS = {"true": True, "false": False}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d{1,400}", re.ASCII)
_PLAIN_TYPES: tuple[type, ...] = (bool, int, float, str, type(None))


class Refused(Exception):
    """A value that an alternative does not take."""


@dataclass(frozen=True)
class Alternative:
    """One member of a union: a plain type with bounds, a literal, a tuple, or anything (``kind is Any``)."""

    kind: Any
    ranges: tuple[Range, ...] = ()
    choices: tuple[Any, ...] = ()
    items: tuple[tuple[Alternative, ...], ...] = ()
    homogeneous: bool = False

    def convert(self, value: Any) -> Any:
        if self.kind is Any:
            return read_literal(value) if isinstance(value, str) else value
        if self.kind is Literal:
            return self._choice(value)
        if self.kind is tuple:
            return self._tuple(value)
        converted = _READERS[self.kind](value)
        if any(converted not in bounds for bounds in self.ranges):
            raise Refused
        return converted

    def _choice(self, value: Any) -> Any:
        for choice in self.choices:
            if value == choice and isinstance(value, bool) == isinstance(choice, bool):
                return choice
            if isinstance(value, str) and value == format_value(choice):
                return choice
        raise Refused

    def _tuple(self, value: Any) -> tuple[Any, ...]:
        parts = value.split(TUPLE_SEPARATOR) if isinstance(value, str) else value
        if not isinstance(parts, (list, tuple)):
            raise Refused
        if not self.homogeneous and len(parts) != len(self.items):
            raise Refused
        members = self.items * len(parts) if self.homogeneous else self.items
        return tuple(first_match(member, part) for member, part in zip(members, parts, strict=True))

    def describe(self) -> str:
        if self.kind is Any:
            return "any value"
        if self.kind is Literal:
            return " or ".join(repr(c) if isinstance(c, str) else format_value(c) for c in self.choices)
        if self.kind is tuple:
            return self._describe_tuple()
        bounds = " and ".join(bound.describe() for bound in self.ranges)
        return f"{_WORDS[self.kind]} {bounds}".rstrip()

    def _describe_tuple(self) -> str:
        members = [" or ".join(a.describe() for a in item) for item in self.items]
        if self.homogeneous:
            return f"values separated by '{TUPLE_SEPARATOR}', each {members[0]}"
        if len(set(members)) == 1:
            return f"{len(members)} values separated by '{TUPLE_SEPARATOR}', each {members[0]}"
        return f"{len(members)} values separated by '{TUPLE_SEPARATOR}': {', '.join(members)}"


def format_value(value: Any) -> str:
    """The text by which ``value`` is given on the command line."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (tuple, list)):
        return TUPLE_SEPARATOR.join(format_value(item) for item in value)
    return str(value)


def read_literal(text: str) -> Any:
    """What ``text`` looks like: none, a boolean, an integer, a number, numbers between slashes, or itself."""
    for reader in (_read_none, _read_bool, _read_int, _read_float):
        try:
            return reader(text)
        except Refused:
            continue
    parts = text.split(TUPLE_SEPARATOR)
    if len(parts) > 1 and all(_NUMBER.fullmatch(part) for part in parts):
        return tuple(read_literal(part) for part in parts)
    return text


def first_match(alternatives: Sequence[Alternative], value: Any) -> Any:
    for alternative in alternatives:
        try:
            return alternative.convert(value)
        except Refused:
            continue
    raise Refused


def _read_none(value: Any) -> None:
    if value is not None and not (isinstance(value, str) and value.strip().lower() in _NONE_TEXTS):
        raise Refused


def _read_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in _BOOL_TEXTS:
        return _BOOL_TEXTS[value.strip().lower()]
    raise Refused


def _read_int(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
        return int(value)
    raise Refused


def _read_float(value: Any) -> float:
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value)
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise Refused
    try:
        number = float(value)
    except OverflowError:
        raise Refused from None
    if not math.isfinite(number):
        raise Refused
    return number


def _read_str(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise Refused


_READERS: dict[Any, Callable[[Any], Any]] = {
    type(None): _read_none,
    bool: _read_bool,
    int: _read_int,
    float: _read_float,
    str: _read_str,
}
_WORDS = {
    type(None): "none",
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a text",
}
# A text is tried in this order, so that "none" is not taken for a string nor "1" for a float.
_ORDER: list[Any] = [type(None), Literal, bool, int, float, tuple, str, Any]


def alternatives(annotation: Any) -> tuple[Alternative, ...]:
    """The members of ``annotation`` that can be given as a value; others (a tensor, say) are left out."""
    members = sorted(_members(annotation), key=lambda member: _ORDER.index(member.kind))
    return tuple(dict.fromkeys(members))


def _members(annotation: Any, ranges: tuple[Range, ...] = ()) -> list[Alternative]:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        own = tuple(item for item in arguments[1:] if isinstance(item, Range))
        return _members(arguments[0], ranges + own)
    if origin in (Union, types.UnionType):
        return [member for argument in arguments for member in _members(argument, ranges)]
    if origin is Literal:
        return [Alternative(Literal, choices=arguments)]
    if origin is tuple and arguments:
        return _tuple_members(arguments)
    if annotation is None or annotation is type(None):
        return [Alternative(type(None))]
    if annotation is Any:
        return [Alternative(Any)]
    if annotation in (int, float):
        return [Alternative(annotation, ranges=ranges)]
    return [Alternative(annotation)] if annotation in (bool, str) else []


def _tuple_members(arguments: tuple[Any, ...]) -> list[Alternative]:
    homogeneous = len(arguments) == 2 and arguments[1] is Ellipsis
    items = tuple(alternatives(item) for item in arguments if item is not Ellipsis)
    return [Alternative(tuple, items=items, homogeneous=homogeneous)] if all(items) else []


def is_plain(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(is_plain(item) for item in value)
    return isinstance(value, _PLAIN_TYPES)


def is_encodable(text: str) -> bool:
    """Whether it is text that a file in UTF-8 can hold: without half of a surrogate pair."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def why_unrecordable(value: Any) -> str | None:
    """Why the plain value could not be read back from a record; ``None`` if it could."""
    if isinstance(value, int) and abs(value) > LARGEST_COUNT:
        return "integers go up to 2**63 - 1"
    if isinstance(value, float) and abs(value) > LARGEST_NUMBER:
        return f"numbers go up to {LARGEST_NUMBER:g}"
    if isinstance(value, str) and not is_encodable(value):
        return "the text holds half of a surrogate pair"
    if isinstance(value, (tuple, list)):
        return next(filter(None, map(why_unrecordable, value)), None)
    if isinstance(value, dict):
        return why_unrecordable([*value, *value.values()])
    return None
