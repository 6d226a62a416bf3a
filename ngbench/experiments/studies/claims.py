"""The claims of a study, as they are written: which measurements of which arms, when, and how they should lie."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from ngbench.errors import ParameterError
from ngbench.experiments.studies.settings import Count, Name, Positive, Real, StudyPart, mapping_or_word, shape_of
from ngbench.records.claim_rule import Holds, Relation, parse_tolerance
from ngbench.records.quantities import Quantity, quantity_of
from ngbench.records.statistics import FEWEST_ESTIMATES
from ngbench.records.studies import ClaimKind

__all__ = ["SCALES", "At", "Claim", "Moment", "ScaleName", "Side", "When", "moment_of", "moment_text"]

ScaleName = Literal["smoke", "laptop", "full"]
SCALES: tuple[ScaleName, ...] = get_args(ScaleName)
Moment = Literal["final", "best", "mean", "every"]
WHOLE_RUN: Moment = "final"
_SHARE = r"^(100|[1-9]?[0-9](\.[0-9]+)?)%$"


class At(StudyPart):
    """When a measurement is taken, where that is more than one word; one of the first four keys is given.

    Attributes:
        epoch: at its end.
        step: at the last point not after it.
        seconds: of training, linear between points; ``equal`` is when the first of the two runs ended.
        every: at so many per cent of all points.
        after: leave out points up to this step (epoch, if there are no steps).
    """

    epoch: Count | None = None
    step: Count | None = None
    seconds: Literal["equal"] | Positive | None = None
    every: Annotated[str, Field(pattern=_SHARE)] | None = None
    after: Count | None = None

    @model_validator(mode="after")
    def _one(self) -> At:
        given = [name for name in ("epoch", "step", "seconds", "every") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("it must name one of epoch, step, seconds, every")
        if self.after is not None and self.every is None:
            raise ValueError("after belongs to every: {every: 95%, after: 20}")
        return self

    @property
    def share(self) -> float:
        """Of the points that must lie in the claim's region, between 0 and 1."""
        return float((self.every or "100%").rstrip("%")) / 100


When = Annotated[Annotated[Moment, Tag("word")] | Annotated[At, Tag("mapping")], Discriminator(mapping_or_word)]


class Side(StudyPart):
    """One side of a claim: a measurement of an arm, or two arms' ratio or difference.

    Attributes:
        arm: whose measurement.
        divided_by: the arm whose measurement divides it.
        minus: the arm whose measurement is taken from it.
        times: a factor.
        panel: where, if not in each panel of the claim.
        batch_size: likewise.
        at: when, if not when the claim says.
        measurement: what, if not what the claim says.
    """

    arm: Name
    divided_by: Name | None = None
    minus: Name | None = None
    times: Real | None = None
    panel: Name | None = None
    batch_size: Count | None = None
    at: When | None = None
    measurement: Name | None = None

    @model_validator(mode="after")
    def _one_operation(self) -> Side:
        if self.divided_by is not None and self.minus is not None:
            raise ValueError("a side has divided_by or minus, not both")
        return self

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms that it needs."""
        return tuple(arm for arm in (self.arm, self.divided_by, self.minus) if arm is not None)

    @property
    def is_plain(self) -> bool:
        """Whether it is the measurement of an arm and a factor at most."""
        return self.divided_by is None and self.minus is None


Left = Annotated[
    Annotated[Name, Tag("word")]
    | Annotated[tuple[Name, ...], Field(min_length=1), Tag("list")]
    | Annotated[Side, Tag("mapping")],
    Discriminator(lambda value: "word" if shape_of(value) == "number" else shape_of(value)),
]
Right = Annotated[
    Annotated[Name, Tag("word")]
    | Annotated[Real, Tag("number")]
    | Annotated[tuple[Name, ...], Field(min_length=1), Tag("list")]
    | Annotated[Side, Tag("mapping")],
    Discriminator(shape_of),
]
Group = Annotated[
    Annotated[Name, Tag("word")] | Annotated[tuple[Name, ...], Field(min_length=1), Tag("list")],
    Discriminator(lambda value: "list" if shape_of(value) == "list" else "word"),
]

_OF_APPROXIMATIONS = ("error_1", "error_2", "iterations", "energy_gap", "exact_angle", "exact_distance")
_TRENDS = ("falls_with_batch_size", "rises_with_batch_size")


class Claim(StudyPart):
    """A claim: the difference ``left - right`` of a measurement lies in the region that ``relation`` names.

    Attributes:
        name: unique in the study.
        says: the sentence that it stands for.
        measurement: see :mod:`ngbench.records.quantities`.
        at: when.
        left: an arm, several (each of them), or a side.
        relation: the region, see :class:`ngbench.records.claim_rule.Relation`; or a trend over batch sizes.
        right: an arm, several, a side, or a number; none for a trend.
        order: instead of those three: each group of arms below the next.
        tolerance: a number, or per cent of what is on the right.
        panels: where the claim is made; everywhere if not given.
        batch_sizes: likewise.
        scales: where it can be tested.
        holds: how many of the pairs of arms and places must come out.
        kind: what sort of claim it is; by default the measurement tells.
        estimates: of the curvature, that an arm which has one needs for a claim about training.
    """

    name: Name
    says: Name
    measurement: Name
    at: When = WHOLE_RUN
    left: Left | None = None
    relation: Relation | Literal["falls_with_batch_size", "rises_with_batch_size"] | None = None
    right: Right | None = None
    order: tuple[Group, ...] | None = None
    tolerance: Annotated[float, Field(ge=0)] | Annotated[str, Field(strict=True)] = 0.0
    panels: tuple[Name, ...] | None = None
    batch_sizes: tuple[Count, ...] | None = None
    scales: tuple[ScaleName, ...] = ("laptop", "full")
    holds: Holds = "all"
    kind: ClaimKind | None = None
    estimates: Count = FEWEST_ESTIMATES

    @field_validator("tolerance")
    @classmethod
    def _readable(cls, value: float | str) -> float | str:
        try:
            parse_tolerance(value)
        except ParameterError as error:
            raise ValueError(str(error)) from error
        return value

    @model_validator(mode="after")
    def _complete(self) -> Claim:
        if self.order is not None:
            if self.left is not None or self.right is not None or self.relation is not None:
                raise ValueError("order stands instead of left, relation and right")
            if len(self.order) < 2:
                raise ValueError("order needs two groups of arms or more")
            return self
        if self.left is None or self.relation is None:
            raise ValueError("a claim needs left, relation and right, or order")
        if self.is_trend and self.right is not None:
            raise ValueError(f"{self.relation} needs no right")
        if not self.is_trend and self.right is None:
            raise ValueError("a claim needs left, relation and right, or order")
        if self.relation is Relation.LEVEL and parse_tolerance(self.tolerance).amount == 0:
            raise ValueError("level needs a tolerance above 0")
        return self

    @property
    def shown_kind(self) -> ClaimKind:
        """What sort of claim it is."""
        return self.kind or _kind_of(quantity_of(self.measurement))

    @property
    def is_trend(self) -> bool:
        """Whether it is about how a measurement changes as the batch grows."""
        return self.relation in _TRENDS


def _kind_of(quantity: Quantity) -> ClaimKind:
    if quantity.form in ("seconds_to_target", "epochs_to_target", "diverged"):
        return "training"
    if quantity.exact:
        return "count"
    if quantity.unit in ("seconds", "bytes"):
        return "cost"
    return "approximation" if quantity.form in _OF_APPROXIMATIONS else "training"


def moment_text(at: Moment | At) -> str:
    """The moment in words.

    >>> moment_text(At(epoch=5)), moment_text("best")
    ('epoch 5', 'best')
    """
    if not isinstance(at, At):
        return at
    given = ((name, getattr(at, name)) for name in ("epoch", "step", "seconds", "every"))
    return next(f"{name} {value}" for name, value in given if value is not None)


def moment_of(at: Moment | At) -> At | Moment:
    """``every`` as the mapping it is short for; anything else as it is."""
    return At(every="100%") if at == "every" else at
