"""What became of the claims of a study."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ngbench.records.experiments import Word
from ngbench.records.part import Count, Name, Number, Part, Seconds, Text, described

__all__ = [
    "BasisRecord",
    "ClaimKind",
    "ClaimPartRecord",
    "ClaimRecord",
    "ClaimVerdict",
    "OnPublishedRecord",
    "StudyRecord",
    "claim_kind_help",
]

claim_kind_help = {
    "theorem": "holds if the code is right, whatever the data: proven",
    "count": "of what is counted, such as operations: no seed changes it",
    "cost": "of seconds or bytes, on this machine",
    "approximation": "how near an approximation is to what it stands for",
    "training": "what training comes to",
}
ClaimKind = Annotated[
    Literal["theorem", "count", "cost", "approximation", "training"], Field(description=described(claim_kind_help))
]


class ClaimVerdict(Word):
    """What became of a claim of a study."""

    REPRODUCED = "reproduced"
    """The runs bear it out."""
    CONTRADICTED = "contradicted"
    """The runs show that it does not hold."""
    INCONCLUSIVE = "inconclusive"
    """What they show may be chance: more seeds would tell."""
    NOT_TESTED = "not tested"
    """They say nothing of it, for a reason."""

    @classmethod
    def _missing_(cls, value: object) -> ClaimVerdict | None:
        # What it was called before it had reasons.
        return cls.NOT_TESTED if value == "not tested at this scale" else None


class BasisRecord(Part):
    """What a verdict rests on.

    ``epochs`` are those of the shortest run; ``of_published`` says how many epochs of the published runs have as many
    examples, and ``published_epochs`` how many these had. ``estimates`` are of the curvature, the fewest of any arm
    that has one and does not estimate it in each step. ``settings`` says for each arm whose hyper-parameters it ran
    on: published, searched, given or defaults. ``data`` are the origins of the data.
    """

    seeds: Count
    epochs: Count | None = None
    of_published: Number = None
    published_epochs: Count | None = None
    estimates: Count | None = None
    settings: dict[Name, Name] = {}
    data: list[Name] = []


class OnPublishedRecord(Part):
    """The same claim, by the same rule, on the published curves in the place of the runs.

    ``here`` is after as many examples as the runs had, ``end`` at the end of the published runs; ``null`` where no such
    curve is published. ``horizon`` is the first published epoch from which they bear the claim out to their end;
    ``null`` where they do not.
    """

    here: ClaimVerdict | None = None
    end: ClaimVerdict | None = None
    horizon: Count | None = None


class ClaimPartRecord(Part):
    """A claim about one pair of arms at one place.

    ``effect`` is ``left - right`` where ``scale`` is ``difference``, and the geometric mean of ``left / right`` over
    seeds where it is ``ratio``; ``interval`` is its own, and ``tolerance`` on the same scale. ``n`` is how many seeds
    it rests on. ``note`` says why it was not tested.
    """

    subject: Text
    verdict: ClaimVerdict
    left: Number
    right: Number
    scale: Literal["difference", "ratio"] = "difference"
    effect: Number
    interval: tuple[Number, Number] | None
    n: Count | None
    tolerance: Number
    share: Number
    note: Text
    busy_machine: bool
    cells: list[Name] = []
    basis: BasisRecord | None = None
    published: OnPublishedRecord = OnPublishedRecord()

    @model_validator(mode="before")
    @classmethod
    def _as_it_was_called(cls, value: Any) -> Any:
        if isinstance(value, dict) and "difference" in value:
            return {("effect" if key == "difference" else key): found for key, found in value.items()}
        return value


class ClaimRecord(Part):
    """A claim of a study and what became of it, with all pairs of arms and places that it is about.

    ``cells`` counts the comparisons that it is about, ``cells_tested`` those that tested it, and ``pairs`` and
    ``pairs_tested`` the pairs of arms there. ``p_value`` is that of a decision either way. ``level`` is that of the
    tests, and ``interval`` has the confidence that belongs to it. ``seeds_needed`` says with how many seeds an
    inconclusive claim would be decided, if they came out like these; ``null`` where no number of them would.
    """

    study: Name
    claim: Text
    name: Name | None = None
    kind: ClaimKind | None = None
    holds: Literal["all", "any", "most"] = "all"
    verdict: ClaimVerdict
    reason: Text | None = None
    cells: Count = 0
    cells_tested: Count = 0
    pairs: Count = 0
    pairs_tested: Count = 0
    scale: Literal["difference", "ratio"] = "difference"
    interval: tuple[Number, Number] | None = None
    level: Number = None
    p_value: Number = None
    seeds_needed: Count | None = None
    observed: Number | Text = None
    tolerance: Number | Text = None
    basis: BasisRecord | None = None
    published: OnPublishedRecord = OnPublishedRecord()
    parts: list[ClaimPartRecord] = []

    @property
    def shown_name(self) -> str:
        """The claim's name in its study; its text where it has none."""
        return self.claim if self.name is None else self.name

    @property
    def in_part(self) -> bool:
        """Whether the verdict is about less than the claim: one pair contradicts a claim about all of them."""
        decides = {"all": ClaimVerdict.CONTRADICTED, "any": ClaimVerdict.REPRODUCED}.get(self.holds)
        decided = self.verdict in (ClaimVerdict.REPRODUCED, ClaimVerdict.CONTRADICTED)
        return decided and self.verdict is not decides and self.pairs_tested < self.pairs

    @property
    def shown_verdict(self) -> str:
        """The verdict, with what it covers where that is not all that the claim is about."""
        if not self.in_part:
            return str(self.verdict)
        if self.cells_tested < self.cells:
            return f"{self.verdict} on {self.cells_tested} of {self.cells} cells"
        return f"{self.verdict} on {self.pairs_tested} of {self.pairs} pairs"


class StudyRecord(Part):
    """A study that ``ngbench reproduce`` ran at one of its scales.

    ``definition`` is the study's YAML, ``figure`` a PNG in base64, where the figure is a part of the record. ``looks``
    are the numbers of seeds after which claims were judged; ``sequential`` says that seeds were added because some were
    open, which their levels take into account, and ``ended`` why no more were.
    """

    LEFT_OUT = frozenset({"figure"})

    study: Name
    title: Text | None
    source: Text | None
    question: Text | None
    scale: Name | None
    seconds: Seconds | None
    definition: Text | None
    claims: list[ClaimRecord]
    looks: list[Count] = []
    sequential: bool = False
    ended: Text | None = None
    figure: Text | None = None
