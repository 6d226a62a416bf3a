"""Which values hyper-parameters may have: declared once, as annotations, and checked wherever a value comes in.

A constructor that is :func:`checked` takes what its annotations allow and nothing else. The signatures of plugins have
the same annotations, from which the command line reads the same bounds.
"""

from __future__ import annotations

import functools
import inspect
import math
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Annotated, Any, Literal, ParamSpec, TypeVar, Union

__all__ = [
    "Count",
    "Fraction",
    "Interval",
    "NonNegative",
    "Positive",
    "PositiveShare",
    "Precision",
    "Radius",
    "Range",
    "Seed",
    "Share",
    "allowed",
    "check",
    "checked",
]

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Range:
    """The bounds of a number, for ``Annotated[float, Range(above=0)]``.

    Attributes:
        minimum: the smallest allowed value.
        above: the value must be strictly larger than this.
        maximum: the largest allowed value.
        below: the value must be strictly smaller than this.
        infinite: whether infinity is a value too.
    """

    minimum: float | None = None
    above: float | None = None
    maximum: float | None = None
    below: float | None = None
    infinite: bool = False

    def __contains__(self, value: float) -> bool:
        return (
            (self.minimum is None or value >= self.minimum)
            and (self.above is None or value > self.above)
            and (self.maximum is None or value <= self.maximum)
            and (self.below is None or value < self.below)
        )

    def describe(self) -> str:
        """The bounds in words: ``"> 0 and <= 1"``."""
        bounds = [(">=", self.minimum), (">", self.above), ("<=", self.maximum), ("<", self.below)]
        return " and ".join(f"{sign} {bound}" for sign, bound in bounds if bound is not None)


Positive = Annotated[float, Range(above=0)]
NonNegative = Annotated[float, Range(minimum=0)]
Fraction = Annotated[float, Range(minimum=0, below=1)]
Share = Annotated[float, Range(minimum=0, maximum=1)]
Precision = Annotated[float, Range(above=0, below=1)]
PositiveShare = Annotated[float, Range(above=0, maximum=1)]
Count = Annotated[int, Range(minimum=1)]
Interval = Count | Literal["once"]
Radius = Annotated[int, Range(minimum=0)] | Literal["all", "filter"]
Seed = Annotated[int, Range(minimum=0, below=2**63)]


@dataclass(frozen=True)
class _Member:
    """One member of a union: a plain type with bounds, or literals."""

    kind: Any
    ranges: tuple[Range, ...] = ()
    choices: tuple[Any, ...] = ()

    def __contains__(self, value: Any) -> bool:
        if self.kind is Literal:
            return any(type(value) is type(choice) and value == choice for choice in self.choices)
        if self.kind not in (int, float):
            return isinstance(value, self.kind)
        kind: type = Integral if self.kind is int else Real
        if isinstance(value, bool) or not isinstance(value, kind):
            return False
        if self.kind is float and not self._is_finite(value):
            return False
        number: Any = value
        return all(number in bounds for bounds in self.ranges)

    def _is_finite(self, value: Any) -> bool:
        try:
            number = float(value)
        except OverflowError:
            return False
        return math.isfinite(number) or (number > 0 and any(bounds.infinite for bounds in self.ranges))

    def describe(self) -> str:
        if self.kind is Literal:
            return " or ".join(map(repr, self.choices))
        bounds = " and ".join(bound.describe() for bound in self.ranges)
        return f"{_WORDS[self.kind]} {bounds}".rstrip()


_WORDS: dict[Any, str] = {
    type(None): "None",
    bool: "True or False",
    int: "an integer",
    float: "a number",
    str: "a text",
}


def _members(annotation: Any, ranges: tuple[Range, ...] = ()) -> tuple[_Member, ...] | None:
    """The members of a union of plain types, or None for annotations of anything else (a tensor, a function)."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return _members(arguments[0], ranges + tuple(item for item in arguments[1:] if isinstance(item, Range)))
    if origin in (Union, types.UnionType):
        parts = [_members(argument, ranges) for argument in arguments]
        return None if None in parts else tuple(member for part in parts for member in part or ())
    if origin is Literal:
        return (_Member(Literal, choices=arguments),)
    if annotation in (int, float):
        return (_Member(annotation, ranges),)
    return (_Member(annotation),) if annotation in (bool, str, type(None)) else None


@functools.cache
def _known(annotation: Any) -> tuple[_Member, ...]:
    members = _members(annotation)
    if members is None:
        raise TypeError(f"{annotation} is no annotation of a hyper-parameter")
    return members


def allowed(annotation: Any) -> str:
    """What ``annotation`` allows, in words: ``"an integer >= 1 or 'once'"``."""
    return " or ".join(member.describe() for member in _known(annotation))


def check(name: str, value: Any, annotation: Any) -> None:
    """Refuse a value that ``annotation`` does not allow.

    Raises:
        ValueError: it names the hyper-parameter, the value and what is allowed.
    """
    if not any(value in member for member in _known(annotation)):
        raise ValueError(f"{name}={value!r} is not allowed, it must be {allowed(annotation)}")


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """``function``, which refuses values of its hyper-parameters that their annotations do not allow.

    Parameters that are no plain values (a model, a tensor, a function) are left to ``function``.

    Raises:
        ValueError: (when called) as for :func:`check`.
    """
    signature = inspect.signature(function)

    @functools.cache
    def rules() -> dict[str, Any]:
        # Not before the first call, for annotations may name what is defined further down; and one by one, for others
        # may be of what type checkers alone import.
        found = {
            name: _resolved(function, one.annotation)
            for name, one in signature.parameters.items()
            if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
        }
        return {name: hint for name, hint in found.items() if _members(hint) is not None}

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        given = signature.bind(*args, **kwargs).arguments
        for name, annotation in rules().items():
            if name in given:
                check(name, given[name], annotation)
        return function(*args, **kwargs)

    return call


def _resolved(function: Callable[..., Any], annotation: Any) -> Any:
    if not isinstance(annotation, str):
        return annotation
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    try:
        return typing.get_type_hints(holder, inspect.unwrap(function).__globals__, include_extras=True)["it"]
    except NameError:
        return Any
