"""What all parts of a record are made of: numbers, names and texts with bounds, and no keys but the declared ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from ngbench.values import LARGEST_COUNT, LARGEST_NUMBER

__all__ = [
    "LONGEST_NAME",
    "AtLeastOne",
    "Count",
    "Name",
    "Number",
    "Part",
    "Seconds",
    "Text",
    "described",
    "first_problem",
]

LARGEST_SECONDS: Final = 1e12
LONGEST_NAME: Final = 1000
LONGEST_TEXT: Final = 10_000_000


def _number_or_none(value: Any) -> Any:
    # Written so that it is true of what is no number.
    if isinstance(value, float | int) and not abs(value) <= LARGEST_NUMBER:
        return None
    return value


Number = Annotated[float | None, BeforeValidator(_number_or_none)]
"""``None`` stands for what is not finite, or beyond :data:`LARGEST_NUMBER`."""
Seconds = Annotated[float, Field(ge=0, le=LARGEST_SECONDS)]
Count = Annotated[int, Field(ge=0, le=LARGEST_COUNT)]
AtLeastOne = Annotated[int, Field(ge=1, le=LARGEST_COUNT)]
Name = Annotated[str, Field(max_length=LONGEST_NAME)]
Text = Annotated[str, Field(max_length=LONGEST_TEXT)]


class Part(BaseModel):
    """A part of a record. It has the declared keys and no others."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    LEFT_OUT: ClassVar[frozenset[str]] = frozenset()
    """Keys that are not written where there is nothing in them."""

    @model_serializer(mode="wrap")
    def _without_what_is_left_out(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = handler(self)
        return {key: value for key, value in written.items() if value or key not in self.LEFT_OUT}


def described(help_of: Mapping[str, str]) -> str:
    """What each of some words means, for the schema: ``word: what it means``, a line each."""
    return "\n".join(f"{word}: {meaning}" for word, meaning in help_of.items())


def first_problem(error: ValidationError) -> str:
    """The first key that does not follow the schema, and why, such as ``runs.0.seed: Input should be …``."""
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    reason = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        reason = "there is no such key; what is your own stands under extras"
    return f"{key}: {reason}"
