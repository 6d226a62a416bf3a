"""What experiments find beside their runs: searches, studies, checks of a baseline, of a machine and of plugins."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ngbench.errors import NgbenchError, NotComparableError, RegressionError
from ngbench.records.part import AtLeastOne, Count, Name, Number, Part, Seconds, Text, described

__all__ = [
    "BudgetRecord",
    "CheckRecord",
    "CheckStatus",
    "ComparedRecord",
    "ConformanceRecord",
    "DoctorRecord",
    "FindingRecord",
    "FindingState",
    "GateRecord",
    "OutcomeName",
    "PluginRecord",
    "ProblemRecord",
    "RangeRecord",
    "SearchRecord",
    "SearchedArmRecord",
    "TrialRecord",
    "Verdict",
    "Word",
    "outcome_help",
]

OutcomeName = Literal[
    "done",
    "diverged",
    "target_not_reached",
    "no_value",
    "failed",
    "out_of_memory",
    "killed",
    "lost",
    "interrupted",
    "running",
]

outcome_help: dict[OutcomeName, str] = {
    "done": "has a value",
    "diverged": "the run of a seed diverged",
    "target_not_reached": "the run of a seed did not reach the target loss",
    "no_value": "the metric does not exist for the run of a seed",
    "failed": "an error in the optimizer or the task; the message says which",
    "out_of_memory": "the device or the machine ran out of memory; tried once more, for it may have been crowded",
    "killed": "the process that ran it was killed; run again with the same point",
    "lost": "killed as often as it is tried",
    "interrupted": "stopped by the user; run again with the same point",
    "running": "being run",
}


class Word(str, Enum):
    """One of some words; shown, it is the word."""

    def __str__(self) -> str:
        return str(self.value)


class BudgetRecord(Part):
    """When a run ends: at whichever of its limits comes first. ``early_stopping`` counts epochs without a new lowest
    loss, or score of a GAN."""

    LEFT_OUT = frozenset({"epochs", "steps", "time_limit_seconds", "early_stopping"})

    epochs: AtLeastOne | None = None
    steps: AtLeastOne | None = None
    time_limit_seconds: Seconds | None = None
    early_stopping: AtLeastOne | None = None


class SearchedDataRecord(Part):
    """The data of a search; as in a run's ``data``."""

    name: Name
    origin: Literal["original", "generated", "stand-in"]
    digest: Name


class RangeRecord(Part):
    """A hyper-parameter that is searched between two bounds, which are included."""

    low: float
    high: float
    log: bool


class TrialRecord(Part):
    """A trial of an arm: what it tried and what came of it. ``seconds`` are of training, over all seeds."""

    trial: Count
    settings: dict[Name, Any]
    outcome: Annotated[OutcomeName, Field(description=described(outcome_help))]
    value: Number
    message: Text | None
    seconds: Seconds
    steps: Count


class SearchedArmRecord(Part):
    """What the search found for an arm.

    ``hyperparameters`` are all those of the best trial, defaults included; ``null`` if no trial has a value, and so are
    ``score`` and ``trial``. ``quartiles`` of the trials' values go from good to bad; one among trials without a value
    is ``null``. ``importance`` has for each setting its part in being among the best (PED-ANOVA), from 0 to 1.
    ``at_edge`` names the settings whose best value is at an end of what was tried. ``repeated`` counts attempts that
    were cut off and made again; ``seconds`` and ``steps`` count these too.
    """

    optimizer: Name
    hyperparameters: dict[Name, Any] | None
    searched: dict[Name, list[Any] | RangeRecord]
    score: Number
    trial: Count | None
    planned: Count
    outcomes: dict[OutcomeName, Count]
    quartiles: tuple[Number, Number, Number] | None
    importance: dict[Name, float] | None
    at_edge: list[Name]
    seconds: Seconds
    steps: Count
    repeated: Count
    trials: list[TrialRecord]


class SearchRecord(Part):
    """What ``ngbench tune`` found. All arms have the same budget for each trial, the same seeds and the same metric."""

    task: Name
    task_options: dict[Name, Any]
    data: SearchedDataRecord
    batch_size: AtLeastOne
    dtype: Name
    device: Name
    budget: BudgetRecord
    target_loss: Number
    seeds: list[int]
    metric: Name
    direction: Literal["minimize", "maximize"]
    sampler: Name
    sampler_seed: int
    conditions: dict[Name, Any] = {}
    arms: dict[Name, SearchedArmRecord]
    warnings: list[Text] = []


class Verdict(Word):
    """What a comparison with a baseline comes to."""

    BETTER = "better"
    """Better by more than the limit, beyond doubt."""
    WORSE = "worse"
    """Worse by more than the limit, beyond doubt; or a number that exists no longer."""
    SAME = "same"
    """Within the limit on either side, beyond doubt."""
    INCONCLUSIVE = "inconclusive"
    """The interval reaches over the limit, or the data support none: more rounds or seeds would tell."""


class ComparedRecord(Part):
    """One metric of one arm, beside the baseline.

    ``metric`` is named as the user named it, ``arm`` is a label or a layer. ``low`` and ``high`` are the ends of the
    interval of ``current - baseline``, and ``n`` is how many rounds or seeds it rests on; ``limit`` is the largest
    difference that is no regression. All are in ``unit``. A status has no numbers and no threshold.
    """

    metric: Name
    arm: Text
    verdict: Verdict
    baseline: Number = None
    current: Number = None
    relative_change: Number = None
    low: Number = None
    high: Number = None
    n: Count | None = None
    limit: Number = None
    unit: Literal["seconds", "bytes", "number", "ratio"]
    threshold: Name | None = None
    note: Text | None = None

    def __str__(self) -> str:
        return f"{self.metric} of {self.arm}"


class ProblemRecord(Part):
    """Something that could not be compared, and why, in words that go after the subject and a colon."""

    subject: Text
    reason: Text

    def __str__(self) -> str:
        return f"{self.subject}: {self.reason}"


_NAMED = 3


class GateRecord(Part):
    """What ``ngbench check`` found; ``exit_code`` is the one it ends with, unless what it found was accepted.

    ``history`` is the number of records in whose course something may have drifted. ``baseline`` and ``current`` of
    what is compared are then the ends of the line through them.
    """

    LEFT_OUT = frozenset({"history"})

    comparisons: list[ComparedRecord]
    not_comparable: list[ProblemRecord] = []
    notes: list[Text] = []
    fail_on_inconclusive: bool = False
    history: Count | None = None
    exit_code: Count = 0

    @model_validator(mode="after")
    def _exit_code_follows(self) -> GateRecord:
        self.exit_code = 0 if self.error is None else self.error.exit_code
        return self

    @property
    def regressions(self) -> list[ComparedRecord]:
        """What makes the check fail."""
        failing = {Verdict.WORSE, Verdict.INCONCLUSIVE} if self.fail_on_inconclusive else {Verdict.WORSE}
        return [compared for compared in self.comparisons if compared.verdict in failing]

    @property
    def error(self) -> NgbenchError | None:
        """What ends the command: a regression, else something that could not be compared, else nothing.

        A regression comes first: a renamed arm must not hide that another one got slower.
        """
        if self.regressions:
            # What is worse comes first, so that the few that are named are these.
            parts = [
                f"{verdict}: {_first(named, ', ')}"
                for verdict in (Verdict.WORSE, Verdict.INCONCLUSIVE)
                if (named := [str(found) for found in self.regressions if found.verdict is verdict])
            ]
            return RegressionError("; ".join(parts))
        if self.not_comparable:
            return NotComparableError(f"cannot be compared: {_first(list(map(str, self.not_comparable)), '; ')}")
        return None


def _first(texts: list[str], separator: str) -> str:
    """The first few; the report names all."""
    shown = separator.join(texts[:_NAMED])
    return f"{shown} and {len(texts) - _NAMED} more" if len(texts) > _NAMED else shown


class FindingState(Word):
    """How much a finding matters."""

    GOOD = "good"
    """As it should be."""
    NOTE = "note"
    """Worth knowing: it limits what can be measured here, or could not be found out."""
    BAD = "bad"
    """Measurements, or what they need, suffer from it."""


class FindingRecord(Part):
    """One thing that ``ngbench doctor`` looked at: a fact, what to do next, and the numbers and names behind it.

    ``topic`` is the same words on every machine.
    """

    topic: Name
    state: FindingState
    fact: Text
    advice: Text
    values: dict[Name, Any] = {}


class DoctorRecord(Part):
    """What ``ngbench doctor`` found of the machine."""

    findings: list[FindingRecord]


CheckStatus = Literal["passed", "failed", "not applicable"]


class CheckRecord(Part):
    """What came of one check of a plugin, with the numbers that were measured.

    ``message`` is what was seen; what is wrong and what to do; or why the check does not apply.
    """

    name: Name
    status: CheckStatus
    message: Text
    values: dict[Name, Number] = {}


class PluginRecord(Part):
    """All checks of one plugin, in their order; ``failed`` names those that failed.

    ``distribution`` provides it; ``null`` of one that is named by its place.
    """

    plugin: Name
    kind: Literal["optimizer", "task", "approximation"]
    distribution: Name | None
    failed: list[Name] = []
    checks: list[CheckRecord]

    @model_validator(mode="after")
    def _failed_follow(self) -> PluginRecord:
        self.failed = [check.name for check in self.checks if check.status == "failed"]
        return self


class ConformanceRecord(Part):
    """What ``ngbench check-plugin`` found."""

    plugins: list[PluginRecord]
