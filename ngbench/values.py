"""The values that a parameter may take: plain types with bounds, literals, tuples and unions, read from text.

On the command line the items of a tuple are separated by a slash, because the comma separates
hyper-parameters: ``betas=0.9/0.999``.
"""

from __future__ import annotations

import math
import re
import typing
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

from ngbench.curvature.bounds import Member, members_of

__all__ = [
    "LARGEST_COUNT",
    "LARGEST_NUMBER",
    "Refused",
    "alternatives",
    "describe",
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
    """A value that is not among those that an annotation allows."""


def convert(member: Member, value: Any) -> Any:
    """The value that the member of an annotation takes for ``value``, a text or a value of a YAML or JSON file.

    Raises:
        Refused: it takes no such value.
    """
    if member.kind is Any:
        return read_literal(value) if isinstance(value, str) else value
    if member.kind is Literal:
        return _choice(member.choices, value)
    if typing.get_origin(member.kind) is tuple:
        return _tuple(member, value)
    converted = _READERS[member.kind](value)
    if not member.is_within(converted):
        raise Refused
    return converted


def _choice(choices: Sequence[Any], value: Any) -> Any:
    # What compares element by element, as a tensor does, is none of them.
    plain = isinstance(value, (str, bool, int, float, type(None)))
    for choice in choices:
        if plain and value == choice and isinstance(value, bool) == isinstance(choice, bool):
            return choice
        if isinstance(value, str) and value == format_value(choice):
            return choice
    raise Refused


def _tuple(member: Member, value: Any) -> tuple[Any, ...]:
    items, homogeneous = _items(member)
    parts = value.split(TUPLE_SEPARATOR) if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)) or (not homogeneous and len(parts) != len(items)):
        raise Refused
    return tuple(
        first_match(item, part) for item, part in zip(items * len(parts) if homogeneous else items, parts, strict=True)
    )


def _items(member: Member) -> tuple[list[tuple[Member, ...]], bool]:
    """What each item of a tuple may be, and whether there may be any number of them."""
    arguments = typing.get_args(member.kind)
    homogeneous = len(arguments) == 2 and arguments[1] is Ellipsis
    return [alternatives(item) for item in arguments if item is not Ellipsis], homogeneous


def describe(member: Member) -> str:
    """What the member takes, in words: ``"an integer >= 1"``."""
    if member.kind is Literal:
        return " or ".join(repr(c) if isinstance(c, str) else format_value(c) for c in member.choices)
    if typing.get_origin(member.kind) is not tuple:
        return member.describe(_WORDS)
    items, homogeneous = _items(member)
    each = [" or ".join(map(describe, item)) for item in items]
    count = "" if homogeneous else f"{len(each)} "
    what = f": {', '.join(each)}" if len(set(each)) > 1 else f", each {each[0]}"
    return f"{count}values separated by '{TUPLE_SEPARATOR}'{what}"


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


def first_match(members: Sequence[Member], value: Any) -> Any:
    """What the first of the members that takes ``value`` makes of it.

    Raises:
        Refused: none takes it.
    """
    for member in members:
        try:
            return convert(member, value)
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
        return int(value.strip())
    raise Refused


def _read_float(value: Any) -> float:
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value.strip())
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
_WORDS: dict[Any, str] = {
    type(None): "none",
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a text",
    Any: "any value",
}
# A text is tried in this order, so that "none" is not taken for a string nor "1" for a float.
_ORDER: list[Any] = [type(None), Literal, bool, int, float, tuple, str, Any]


def alternatives(annotation: Any) -> tuple[Member, ...]:
    """The members of ``annotation`` that can be given as a value; others (a tensor, say) are left out.

    Raises:
        TypeError: as for :func:`~ngbench.curvature.bounds.members_of`.
    """
    members = [member for member in members_of(annotation) if _can_be_given(member)]
    return tuple(dict.fromkeys(sorted(members, key=lambda member: _ORDER.index(_form(member)))))


def _form(member: Member) -> Any:
    return tuple if typing.get_origin(member.kind) is tuple else member.kind


def _can_be_given(member: Member) -> bool:
    if _form(member) is not tuple:
        return member.kind in _ORDER
    items, _ = _items(member)
    return bool(items) and all(items)


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
