"""What a search may try for each hyper-parameter: a list of values or a range of numbers.

On the command line a dimension is ``lr=0.1,0.01`` or ``lr=1e-4..1e-1:log``; in a YAML file it is a list, or a mapping
``{low: 1e-4, high: 0.1, log: true}``. A list of values whose items are tuples separates those by a slash, as everywhere
on the command line: ``betas=0.9/0.999,0.5/0.999``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ngbench.errors import ParameterError
from ngbench.plugins.parameters import Parameter, format_value

__all__ = [
    "Choice",
    "Dimension",
    "Interval",
    "Space",
    "describe",
    "describe_ascending",
    "is_grid",
    "plain",
    "read_dimension",
    "size",
]

_LOG = ":log"
_DOTS = ".."
_KEYS = ("low", "high", "log")


@dataclass(frozen=True)
class Choice:
    """One of some values."""

    values: tuple[Any, ...]

    def encode(self, value: Any) -> Any:
        """The value as the storage of a search keeps it: plain, a tuple as text."""
        return format_value(value) if isinstance(value, (tuple, list)) else value

    def holds(self, stored: Any) -> bool:
        """Whether the storage may have this."""
        return any(self.encode(value) == stored for value in self.values)

    def decode(self, stored: Any) -> Any:
        """The value that was stored."""
        return next(value for value in self.values if self.encode(value) == stored)


@dataclass(frozen=True)
class Interval:
    """A number between two bounds, which are included.

    Attributes:
        low: the smallest one.
        high: the largest one.
        log: whether its logarithm is what is spread evenly.
        integer: whether it is an integer.
    """

    low: float
    high: float
    log: bool = False
    integer: bool = False

    def encode(self, value: Any) -> Any:
        """The value as the storage of a search keeps it."""
        return value

    def holds(self, stored: Any) -> bool:
        """Whether the storage may have this."""
        return isinstance(stored, (int, float)) and self.low <= stored <= self.high

    def decode(self, stored: Any) -> Any:
        """The value that was stored."""
        return int(stored) if self.integer else float(stored)


Dimension = Choice | Interval
Space = Mapping[str, Dimension]
"""For each hyper-parameter that is searched, what is tried."""


def read_dimension(parameter: Parameter, given: Any) -> Dimension:
    """The dimension that ``given`` means for the hyper-parameter.

    Args:
        parameter: the hyper-parameter, which says which values are allowed.
        given: a text of the command line, or a list or mapping of a YAML file.

    Raises:
        ParameterError: a value is not allowed or there twice, or it is no dimension at all.
    """
    if isinstance(given, str):
        given = _parse(parameter.name, given)
    if isinstance(given, Mapping):
        return _interval(parameter, given)
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise ParameterError(
            f"{parameter.name}: {format_value(given)} is nothing to search, it must be a list of values "
            "or a range such as {low: 0.001, high: 0.1, log: true}"
        )
    values = tuple(parameter.convert(value) for value in given)
    if not values:
        raise ParameterError(f"{parameter.name}: the list of values to search is empty")
    for at, value in enumerate(values):
        if any(value == other and isinstance(value, bool) == isinstance(other, bool) for other in values[:at]):
            raise ParameterError(f"{parameter.name}: {format_value(value)} is there twice")
    return Choice(values)


def _parse(name: str, text: str) -> Any:
    body, log = (text[: -len(_LOG)], True) if text.endswith(_LOG) else (text, False)
    low, dots, high = body.partition(_DOTS)
    if dots:
        return {"low": low.strip(), "high": high.strip(), "log": log}
    if log:
        raise ParameterError(f"{name}={text}: {_LOG!r} is for a range such as 1e-4..1e-1:log")
    return [part.strip() for part in body.split(",")]


def _interval(parameter: Parameter, given: Mapping[str, Any]) -> Interval:
    name = parameter.name
    for key in given:
        if key not in _KEYS:
            raise ParameterError(f"{name}: a range has no {str(key)!r} (known: {', '.join(_KEYS)})")
    missing = [key for key in ("low", "high") if key not in given]
    if missing:
        raise ParameterError(f"{name}: a range needs {missing[0]!r}")
    low, high, log = parameter.convert(given["low"]), parameter.convert(given["high"]), given.get("log", False)
    if not isinstance(log, bool):
        raise ParameterError(f"{name}: log={format_value(log)} is not allowed, it must be true or false")
    for bound in (low, high):
        if isinstance(bound, bool) or not isinstance(bound, (int, float)):
            raise ParameterError(f"{name}: {format_value(bound)} is no number, and a range is between two numbers")
    shown = f"{format_value(low)}{_DOTS}{format_value(high)}"
    if not low < high:
        raise ParameterError(f"{name}={shown} is not allowed, a range begins with its smaller end")
    if log and not low > 0:
        raise ParameterError(f"{name}={shown}{_LOG} is not allowed, a logarithmic range begins above 0")
    integer = not _takes_fractions(parameter, low, high)
    return Interval(int(low), int(high), log, True) if integer else Interval(float(low), float(high), log)


def _takes_fractions(parameter: Parameter, low: float, high: float) -> bool:
    # An irrational part of the way is no integer, and between two allowed numbers every number is within bounds.
    between = low + (high - low) * (math.sqrt(2) - 1)
    try:
        return isinstance(parameter.convert(between), float)
    except ParameterError:
        return False


def plain(dimension: Dimension) -> Any:
    """The dimension as a YAML or JSON file has it."""
    if isinstance(dimension, Choice):
        return [dimension.encode(value) for value in dimension.values]
    return {"low": dimension.low, "high": dimension.high, "log": dimension.log}


def describe(dimension: Dimension) -> str:
    """The dimension as the command line has it.

    >>> describe(Choice((0.1, 10.0, None))), describe(Interval(1e-4, 0.1, log=True))
    ('0.1,10,none', '0.0001..0.1:log')
    """
    return _as_text(plain(dimension))


def describe_ascending(dimension: Any) -> str:
    """What :func:`plain` makes of a dimension, as the command line has it; numbers ascend, however they are tried.

    >>> describe_ascending([0.1, 0.01, 0.3])
    '0.01,0.1,0.3'
    """
    if not isinstance(dimension, Mapping) and all(isinstance(value, int | float) for value in dimension):
        dimension = sorted(dimension)
    return _as_text(dimension)


def _as_text(dimension: Any) -> str:
    """What :func:`plain` makes of a dimension, as the command line has it."""
    if not isinstance(dimension, Mapping):
        return ",".join(_short(value) for value in dimension)
    ends = f"{_short(dimension['low'])}{_DOTS}{_short(dimension['high'])}"
    return f"{ends}{_LOG}" if dimension["log"] else ends


def _short(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else format_value(value)
    return text if not isinstance(value, float) or float(text) == value else format_value(value)


def is_grid(space: Space) -> bool:
    """Whether the space is made of lists of values alone."""
    return all(isinstance(dimension, Choice) for dimension in space.values())


def size(space: Space) -> int | None:
    """How many points the grid has; ``None`` for a space with a range."""
    if not is_grid(space):
        return None
    return math.prod(len(dimension.values) for dimension in space.values() if isinstance(dimension, Choice))
