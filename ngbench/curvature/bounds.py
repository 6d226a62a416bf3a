"""Which values hyper-parameters may have: declared once, as annotations, and checked wherever a value comes in.

A constructor that is :func:`checked` takes what its annotations allow and nothing else. The signatures of plugins have
the same annotations, from which the command line reads the same bounds.
"""

from __future__ import annotations

import functools
import inspect
import math
import operator
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Annotated, Any, Literal, ParamSpec, TypeVar, Union

from annotated_types import BaseMetadata, Ge, GroupedMetadata, Gt, Le, Lt

__all__ = [
    "Count",
    "Fraction",
    "Interval",
    "Member",
    "NonNegative",
    "Positive",
    "PositiveShare",
    "Precision",
    "Radius",
    "Range",
    "Seed",
    "Share",
    "check",
    "checked",
    "members_of",
]

P = ParamSpec("P")
R = TypeVar("R")

Bound = Ge | Gt | Le | Lt


@dataclass(frozen=True)
class Range(GroupedMetadata):
    """The bounds of a number, for ``Annotated[float, Range(above=0)]``: ``Gt(0)`` of ``annotated_types`` by its name.

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

    def __iter__(self) -> Iterator[Bound]:
        kinds: tuple[tuple[Callable[[float], Bound], float | None], ...]
        kinds = ((Ge, self.minimum), (Gt, self.above), (Le, self.maximum), (Lt, self.below))
        return (kind(value) for kind, value in kinds if value is not None)


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
class Member:
    """One member of a union: a plain type with its bounds, literals, or what is not checked here (a tuple, a tensor).

    Attributes:
        kind: the type, or ``Literal``.
        bounds: of a number.
        infinite: whether infinity is a number here.
        choices: the literals.
    """

    kind: Any
    bounds: tuple[Bound, ...] = ()
    infinite: bool = False
    choices: tuple[Any, ...] = ()

    def __contains__(self, value: Any) -> bool:
        if self.kind is Literal:
            return any(type(value) is type(choice) and value == choice for choice in self.choices)
        if self.kind not in (int, float):
            return isinstance(value, self.kind)
        kind: type = Integral if self.kind is int else Real
        if isinstance(value, bool) or not isinstance(value, kind):
            return False
        return (self.kind is int or self._is_finite(value)) and self.is_within(value)

    def is_within(self, number: Any) -> bool:
        """Whether the bounds allow the number."""
        return all(_COMPARED[type(bound)][1](number, _value_of(bound)) for bound in self.bounds)

    def _is_finite(self, value: Any) -> bool:
        try:
            number = float(value)
        except OverflowError:
            return False
        return math.isfinite(number) or (number > 0 and self.infinite)

    def describe(self, words: Mapping[Any, str]) -> str:
        """The plain type, called as in ``words``, and its bounds: ``"a number > 0 and <= 1"``."""
        bounds = " and ".join(f"{_COMPARED[type(bound)][0]} {_value_of(bound)}" for bound in self.bounds)
        return f"{words[self.kind]} {bounds}".rstrip()


_COMPARED: dict[type, tuple[str, Callable[[Any, Any], bool]]] = {
    Ge: (">=", operator.ge),
    Gt: (">", operator.gt),
    Le: ("<=", operator.le),
    Lt: ("<", operator.lt),
}


def _value_of(bound: Bound) -> Any:
    return getattr(bound, type(bound).__name__.lower())


_WORDS: dict[Any, str] = {
    type(None): "None",
    bool: "True or False",
    int: "an integer",
    float: "a number",
    str: "a text",
}


def members_of(annotation: Any, metadata: tuple[Any, ...] = ()) -> tuple[Member, ...]:
    """The members of a union, or the one of another annotation, in order.

    Raises:
        TypeError: a bound of ``annotated_types`` that is not read here.
    """
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return members_of(arguments[0], metadata + arguments[1:])
    if origin in (Union, types.UnionType):
        return tuple(member for argument in arguments for member in members_of(argument, metadata))
    if origin is Literal:
        return (Member(Literal, choices=arguments),)
    if annotation in (int, float):
        infinite = any(isinstance(item, Range) and item.infinite for item in metadata)
        return (Member(annotation, tuple(_bounds(metadata)), infinite),)
    return (Member(type(None) if annotation is None else annotation),)


def _bounds(metadata: Iterable[Any]) -> Iterator[Bound]:
    for item in metadata:
        if isinstance(item, GroupedMetadata):
            yield from _bounds(item)
        elif isinstance(item, Ge | Gt | Le | Lt):
            yield item
        elif isinstance(item, BaseMetadata):
            raise TypeError(f"{item} is no bound that is checked, it must be Gt, Ge, Lt, Le, Interval or Range")


def _are_checked(members: Iterable[Member]) -> bool:
    return all(member.kind is Literal or member.kind in _WORDS for member in members)


@functools.cache
def _known(annotation: Any) -> tuple[Member, ...]:
    members = members_of(annotation)
    if not _are_checked(members):
        raise TypeError(f"{annotation} is no annotation of a hyper-parameter")
    return members


def allowed(annotation: Any) -> str:
    """What ``annotation`` allows, in words: ``"an integer >= 1 or 'once'"``."""
    return " or ".join(
        choice
        for member in _known(annotation)
        for choice in (map(repr, member.choices) if member.choices else [member.describe(_WORDS)])
    )


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
        return {name: hint for name, hint in found.items() if _are_checked(members_of(hint))}

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
