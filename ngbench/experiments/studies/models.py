"""A study, as its YAML file says it.

What is wrong with one key alone is refused here, see :mod:`~ngbench.experiments.studies.references` for what
is wrong between keys and :mod:`~ngbench.experiments.studies.checking` for what only the plugins know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from ngbench.experiments.studies.claims import Claim, ScaleName, When
from ngbench.experiments.studies.settings import (
    Count,
    Measure,
    Name,
    NotNegative,
    Real,
    StudyPart,
    StudySettings,
    Values,
    mapping_or_list,
    mapping_or_word,
)

__all__ = [
    "NAME_PATTERN",
    "RUNNERS",
    "Cell",
    "Panel",
    "Scale",
    "SearchedRange",
    "Selector",
    "Space",
    "Study",
    "StudyArm",
    "Tune",
]

RUNNERS: Mapping[Measure, str] = {"compare": "optimizer", "gan": "players", "fisher-error": "approximation"}
"""The key of an arm that says what it is, for each kind of study."""

NAME_PATTERN = r"^[a-z0-9][a-z0-9.-]*$"
"""What a study may be called."""

_Plain = bool | int | float | str | None


class SearchedRange(StudyPart):
    """A range that a search draws from."""

    low: Real
    high: Real
    log: Annotated[bool, Field(strict=True)] = False

    @model_validator(mode="after")
    def _ordered(self) -> SearchedRange:
        if not self.low < self.high:
            raise ValueError(f"low={self.low} must be below high={self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"low={self.low} must be above 0 on a logarithmic scale")
        return self


Space = dict[
    Name,
    Annotated[
        Annotated[tuple[_Plain, ...], Field(min_length=1), Tag("list")] | Annotated[SearchedRange, Tag("mapping")],
        Discriminator(mapping_or_list),
    ],
]


class Tune(StudyPart):
    """A search for hyper-parameters before the comparison, with the same budget for each arm.

    Attributes:
        space: for each hyper-parameter the values, or the range, that are tried; the task's own grid if not given.
        trials: for each arm; the whole grid if not given.
        epochs: of a trial.
        steps: of a trial.
        metric: what is made small, such as ``training_loss`` or ``best_training_loss``.
    """

    space: Space | None = None
    trials: Count | None = None
    sampler: Literal["grid", "random", "tpe"] | None = None
    epochs: Count | None = None
    steps: Count | None = None
    metric: Name | None = None
    seed: Annotated[int, Field(strict=True, ge=0)] | None = None

    def merged(self, other: Tune | None) -> Tune:
        """With the keys that ``other`` gives in the place of these."""
        if other is None:
            return self
        given = {name: getattr(other, name) for name in Tune.model_fields if getattr(other, name) is not None}
        return self.model_copy(update=given)


class Selector(StudyPart):
    """Which published curve belongs to an arm, where several have the optimizer's name."""

    optimizer: Name
    position_pairs: Name | None = None


_Axis = Annotated[
    Annotated[tuple[_Plain, ...], Field(min_length=1), Tag("list")]
    | Annotated[dict[str | int | float, Values], Field(min_length=1), Tag("mapping")],
    Discriminator(mapping_or_list),
]
_PublishedName = Annotated[
    Annotated[Name, Tag("word")] | Annotated[Selector, Tag("mapping")], Discriminator(mapping_or_word)
]


class StudyArm(StudyPart):
    """What is compared: an optimizer, an approximation, or the optimizers of two players.

    Attributes:
        name: in braces, the axes of the product.
        hyperparameters: that are not the task's published ones or the defaults.
        published: the name that it has among the published curves; ``none`` has none.
        product: for each axis, the values of the hyper-parameter of that name, or labels and what they set.
        tune: what its search tries, where that differs from the other arms'.
    """

    name: Name
    optimizer: Name | None = None
    approximation: Name | None = None
    players: Name | None = None
    hyperparameters: Values = Field(default_factory=dict)
    published: _PublishedName | None = None
    product: dict[Name, _Axis] | None = None
    tune: Space | None = None


ByArm = dict[Name, Values]


class Panel(StudySettings):
    """A task with its options.

    Attributes:
        title: as it is shown.
        hyperparameters: of single arms, on top of their own.
        by_batch_size: likewise, for a batch size.
    """

    name: Annotated[str, Field(strict=True, pattern=r"^[a-z0-9][a-z0-9_.-]*$")]
    title: Name | None = None
    task: Name
    hyperparameters: ByArm = Field(default_factory=dict)
    by_batch_size: dict[Count, ByArm] = Field(default_factory=dict)

    @property
    def shown(self) -> str:
        """The title, else the name."""
        return self.title or self.name


_Panels = Annotated[
    Annotated[tuple[Name, ...], Tag("list")] | Annotated[dict[Name, StudySettings], Tag("mapping")],
    Discriminator(mapping_or_list),
]
_Search = Annotated[
    Annotated[Literal[False], Tag("word")] | Annotated[Tune, Tag("mapping")], Discriminator(mapping_or_word)
]


class Scale(StudySettings):
    """How much of the study is run.

    Attributes:
        minutes: that it takes.
        panels: only these, or further settings of single ones.
        tune: keys of the search that differ; ``false`` leaves the search out.
        skip: why nothing runs.
    """

    minutes: NotNegative
    panels: _Panels | None = None
    tune: _Search | None = None
    skip: Name | None = None

    @field_validator("panels", mode="before")
    @classmethod
    def _no_settings_is_empty(cls, value: Any) -> Any:
        return {name: part or {} for name, part in value.items()} if isinstance(value, dict) else value


class Scales(StudyPart):
    """The three sizes of a study: seconds for a test, minutes on a laptop, and as published."""

    smoke: Scale
    laptop: Scale
    full: Scale

    def named(self, name: ScaleName) -> Scale:
        """The scale of that name."""
        found: Scale = getattr(self, name)
        return found


class Cell(StudyPart):
    """One place of the figure; what is not given is the figure's.

    Attributes:
        x: ``arm`` draws bars, ``batch_size`` a point for each batch size, the others curves.
        y: a measurement, or ``samples``.
        arm: whose samples.
        at: what is taken where x is an arm or a batch size.
    """

    panel: Name
    batch_size: Count | None = None
    x: Literal["epoch", "step", "seconds", "batch_size", "arm"] | None = None
    y: Name | None = None
    log: Annotated[bool, Field(strict=True)] | None = None
    xlim: tuple[Real, Real] | None = None
    ylim: tuple[Real, Real] | None = None
    title: Name | None = None
    arms: tuple[Name, ...] | None = None
    arm: Name | None = None
    at: When | None = None


class Figure(StudyPart):
    """The layout of the original: rows of cells; ``null`` leaves a place empty."""

    x: Literal["epoch", "step", "seconds", "batch_size", "arm"] = "epoch"
    y: Name = "training_loss"
    log: Annotated[bool, Field(strict=True)] = False
    rows: Annotated[tuple[Annotated[tuple[Cell | None, ...], Field(min_length=1)], ...], Field(min_length=1)]


class Published(StudyPart):
    """Which published curves are drawn beside those of the runs."""

    figure: Name


class Study(StudyPart):
    """A study. ``settings`` hold everywhere, unless a panel or a scale says otherwise."""

    study: Annotated[str, Field(strict=True, pattern=NAME_PATTERN)]
    title: Name
    source: Name
    question: Name
    measure: Measure
    panels: Annotated[tuple[Panel, ...], Field(min_length=1)]
    arms: Annotated[tuple[StudyArm, ...], Field(min_length=1)]
    settings: StudySettings = StudySettings()
    scales: Scales
    tune: Tune | None = None
    figure: Figure
    published: Published | None = None
    claims: tuple[Claim, ...] = ()

    def panel(self, name: str) -> Panel:
        """The panel of that name."""
        return next(panel for panel in self.panels if panel.name == name)
