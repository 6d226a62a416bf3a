"""How a study runs: the keys that may stand in the whole study, in a panel, in a scale, and in a scale's panel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from ngbench.errors import ParameterError
from ngbench.schedules import as_schedule, as_warmup

__all__ = [
    "MEASURE_KEYS",
    "Count",
    "Measure",
    "Name",
    "NotNegative",
    "Positive",
    "Real",
    "StudyPart",
    "StudySettings",
    "Values",
    "mapping_or_list",
    "mapping_or_word",
    "merged",
    "shape_of",
]

Measure = Literal["compare", "gan", "fisher-error"]
Count = Annotated[int, Field(strict=True, ge=1)]
Name = Annotated[str, Field(strict=True, min_length=1)]
Positive = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Real = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Values = dict[str, Any]
"""Options or hyper-parameters, checked against their plugin later."""


class StudyPart(BaseModel):
    """A mapping of the YAML: unknown keys are refused, with the one that was probably meant."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, value: Any) -> Any:
        if isinstance(value, dict):
            known = [field.alias or name for name, field in cls.model_fields.items()]
            for key in value:
                if key not in known:
                    raise PydanticCustomError("unknown_key", "{message}", {"message": _unknown(key, known), "key": key})
        return value


def shape_of(value: Any) -> str:
    """Which alternative a value of the YAML is meant as: ``mapping``, ``list``, ``number`` or ``word``.

    Told apart first, so that the message about a wrong value is about the one alternative that was meant.
    """
    if isinstance(value, dict | StudyPart):
        return "mapping"
    if isinstance(value, list | tuple):
        return "list"
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else "word"


def mapping_or_word(value: Any) -> str:
    """As :func:`shape_of`, between these two."""
    return "mapping" if shape_of(value) == "mapping" else "word"


def mapping_or_list(value: Any) -> str:
    """As :func:`shape_of`, between these two."""
    return "mapping" if shape_of(value) == "mapping" else "list"


def _unknown(key: Any, known: Sequence[str]) -> str:
    close = get_close_matches(str(key), known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"unknown key {str(key)!r}{hint} (known: {', '.join(known)})"


class StudySettings(StudyPart):
    """What runs and for how long; a key that is not given is left to the more general place.

    Attributes:
        batch_sizes: a comparison for each; the task's own where none is given.
        set: the task's own options.
        arms: only these.
        seeds: how many, counted up from ``seed``.
        time_limit: training seconds of a run.
        diagnostics: measure the first step and every so many.
        layer: number counted from 1, or what ``--layer`` takes.
        trained_with: the optimizer that drives a measurement of Fisher errors.
        every: measure Fisher errors at the first step and every so many.
        sample_grids: whether grids of generated images are kept.
    """

    batch_sizes: tuple[Count, ...] | None = None
    set: Values | None = None
    arms: tuple[Name, ...] | None = None
    epochs: Count | None = None
    steps: Count | None = None
    seeds: Count | None = None
    seed: Annotated[int, Field(strict=True, ge=0)] | None = None
    time_limit: Positive | None = None
    early_stopping: Count | None = None
    schedule: str | None = None
    warmup: str | None = None
    average: Annotated[float, Field(strict=True, gt=0, lt=1)] | None = None
    target_loss: Real | None = None
    target_on: Literal["training", "validation"] | None = None
    dtype: Literal["float32", "float64", "bfloat16"] | None = None
    diagnostics: Count | None = None
    diagnostics_damping: Positive | None = None
    layer: Count | Name | None = None
    trained_with: Literal["adam", "sgd"] | None = None
    fisher: Literal["sampled", "exact"] | None = None
    every: Count | None = None
    critic_steps: Count | None = None
    penalty: NotNegative | None = None
    fid_every: Count | None = None
    fid_samples: Annotated[int, Field(strict=True, ge=2)] | None = None
    fid_features: Literal[64, 192, 768, 2048] | None = None
    sample_grids: Annotated[bool, Field(strict=True)] | None = None

    @field_validator("schedule", "warmup", mode="before")
    @classmethod
    def _readable(cls, value: Any, about: ValidationInfo) -> str:
        try:
            return as_schedule(value) if about.field_name == "schedule" else as_warmup(value)
        except ParameterError as error:
            raise ValueError(str(error)) from error

    def given(self) -> dict[str, Any]:
        """The settings that are given here, by name."""
        values = {name: getattr(self, name) for name in StudySettings.model_fields}
        return {name: value for name, value in values.items() if value is not None}


_COMMON = frozenset({"batch_sizes", "set", "arms", "steps", "seeds", "seed", "dtype"})
_TRAINING = _COMMON | {"epochs", "time_limit", "early_stopping", "schedule", "warmup", "average"}
MEASURE_KEYS: Mapping[Measure, frozenset[str]] = {
    "compare": _TRAINING | {"target_loss", "target_on", "diagnostics", "diagnostics_damping"},
    "gan": _TRAINING | {"critic_steps", "penalty", "fid_every", "fid_samples", "fid_features", "sample_grids"},
    "fisher-error": _COMMON | {"layer", "trained_with", "fisher", "every"},
}
"""The settings that each kind of study has a use for."""


def merged(*levels: StudySettings) -> StudySettings:
    """The settings of all levels, the later one winning; the task's options are merged one by one."""
    values: dict[str, Any] = {}
    options: dict[str, Any] = {}
    for level in levels:
        values |= level.given()
        options |= level.set or {}
    return StudySettings(**{**values, "set": options or None})
