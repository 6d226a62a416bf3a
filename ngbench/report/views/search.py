"""A search for hyper-parameters: what it found, how far its trials spread, which settings matter, and its cost."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

from ngbench.experiments.search.arm_results import FAILED_OUTCOMES, LEAST_FOR_IMPORTANCE, describe_search
from ngbench.experiments.search.ledger import trial_label
from ngbench.experiments.search.metrics import metric_in_words
from ngbench.experiments.search.space import describe_ascending
from ngbench.plugins.parameters import format_value
from ngbench.records.experiments import OutcomeName, RangeRecord, SearchedArmRecord, SearchRecord
from ngbench.records.record import Document
from ngbench.records.timing import busy_machine
from ngbench.report.blocks import (
    Axis,
    Block,
    Chart,
    Column,
    Curve,
    Fact,
    Facts,
    Heading,
    Measure,
    Notes,
    Series,
    Summary,
    Table,
    Warnings,
)
from ngbench.units import (
    DASH,
    enumerated,
    format_count,
    format_hyperparameters,
    format_number,
    format_seconds,
    format_share,
)

__all__ = ["headline", "view"]

_LONGEST = 60


def view(document: Document, *, reference: str | None = None, target_loss: float | None = None) -> list[Block]:
    """What was searched, what each arm's search found, how far the trials spread, and what it cost."""
    assert document.search is not None
    search, arms, data = document.search, document.search.arms, document.search.data
    return [
        Heading(f"Hyper-parameters for {search.task}", format_hyperparameters(search.task_options)),
        Facts([Fact("data", f"{data.name} ({data.origin})"), Fact("search", describe_search(search))]),
        Table("Search", _overview(arms)),
        *_chart(search),
        *(Table(_subtitle(label, arm), _settings(arm)) for label, arm in arms.items()),
        Notes([*_notes([*arms.values()])]),
        Summary(_conclusions(search)),
        Warnings([*search.warnings, *busy_machine(document.runs, "trial")]),
    ]


def _conclusions(search: SearchRecord) -> list[str]:
    best, none = [], []
    for label, arm in search.arms.items():
        if arm.score is None or arm.hyperparameters is None:
            none.append(f"No trial of {label} has a value.")
        else:
            found = {name: arm.hyperparameters[name] for name in arm.searched}
            best.append(f"{label} {format_number(arm.score, 4)} with {format_hyperparameters(found)}")
    return ([f"Best {metric_in_words(search.metric)}: {enumerated(best)}."] if best else []) + none


def _chart(search: SearchRecord) -> Iterator[Chart]:
    """The value of each trial, and the best until then; nothing where no trial has a value."""
    choose, series = min if search.direction == "minimize" else max, []
    for label, arm in search.arms.items():
        found = [(trial.trial, trial.value) for trial in arm.trials if trial.value is not None]
        at, values = {"trial": [number for number, _ in found]}, [value for _, value in found]
        curves = {"value": Curve(at, values), "best": Curve(at, [*accumulate(values, choose)])}
        series.append(Series(label, 1, curves if found else {}))
    if any(one.views for one in series):
        metric = metric_in_words(search.metric)
        yield Chart(
            name="trials",
            caption="Each trial that has a value; best: of this trial and those before it.",
            axes=[Axis("trial", "trial", integer=True)],
            measures=[Measure("best", f"best {metric}"), Measure("value", metric)],
            series=series,
            panels={"value": "each trial", "best": "best so far"},
            label=metric,
            about=[" ".join([search.task, format_hyperparameters(search.task_options)]).strip()],
        )


def _subtitle(label: str, arm: SearchedArmRecord) -> str:
    if arm.trial is None:
        return f"{label}: no trial has a value"
    return f"{label}: best is trial {arm.trial + 1} (record {trial_label(label, arm.trial)})"


def _overview(arms: Mapping[str, SearchedArmRecord]) -> list[Column]:
    found = [*arms.values()]

    def quartile(arm: SearchedArmRecord, at: int) -> str:
        return DASH if arm.quartiles is None else format_number(arm.quartiles[at], 4)

    def ended(*names: OutcomeName) -> list[int]:
        return [sum(arm.outcomes.get(name, 0) for name in names) for arm in found]

    columns = [
        Column("arm", list(arms), left=True),
        Column("trials", [_of(len(arm.trials), arm.planned) for arm in found], key="trials"),
        Column("best", [format_number(arm.score, 4) for arm in found], key="best"),
        Column("better\nquartile", [quartile(arm, 0) for arm in found], key="quartiles"),
        Column("median", [quartile(arm, 1) for arm in found], key="median"),
        Column("worse\nquartile", [quartile(arm, 2) for arm in found], key="quartiles"),
        Column("diverged", [str(count) for count in ended("diverged")], key="diverged"),
    ]
    for name, counts in (
        ("without\nvalue", ended("target_not_reached", "no_value")),
        ("failed", ended(*FAILED_OUTCOMES)),
    ):
        if any(counts):
            columns.append(Column(name, [str(count) for count in counts]))
    return [
        *columns,
        Column("training\ntime", [format_seconds(arm.seconds) for arm in found], key="seconds"),
        Column("steps", [format_count(arm.steps) for arm in found], key="steps"),
    ]


def _of(count: int, planned: int) -> str:
    return str(count) if count == planned else f"{count}/{planned}"


def _plain(dimension: list[Any] | RangeRecord) -> Any:
    return dimension.model_dump() if isinstance(dimension, RangeRecord) else dimension


def _settings(arm: SearchedArmRecord) -> list[Column]:
    names = list(arm.searched)
    found, importance = arm.hyperparameters, arm.importance
    searched = [describe_ascending(_plain(arm.searched[name])) for name in names]
    return [
        Column("setting", names, left=True),
        Column("best", [DASH if found is None else _shown(found[name]) for name in names]),
        Column("importance", [format_share(None if importance is None else importance[name]) for name in names]),
        Column("searched", [text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…" for text in searched], left=True),
    ]


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else format_value(value)


def _notes(arms: Sequence[SearchedArmRecord]) -> Iterator[str]:
    yield (
        "Quartiles: over the trials. A trial that diverged or has no value is worse than any number; "
        f"where one stands at a quartile, that is {DASH}."
    )
    if any(arm.importance is not None for arm in arms):
        yield (
            "Importance: the setting's part in being among the best tenth of the trials, or the best five (PED-ANOVA); "
            "diverged trials are the last."
        )
    else:
        yield f"Importance: not before {LEAST_FOR_IMPORTANCE} trials that differ."
    seconds, steps = math.fsum(arm.seconds for arm in arms), sum(arm.steps for arm in arms)
    repeated = sum(arm.repeated for arm in arms)
    more = f", {repeated} attempts that were cut off included" if repeated else ""
    yield f"Cost of the search: {format_seconds(seconds)} of training, {format_count(steps)} steps{more}."


def headline(document: Document) -> str:
    """The best trial of all arms."""
    assert document.search is not None
    search = document.search
    scored = [(arm.score, label) for label, arm in search.arms.items() if arm.score is not None]
    if not scored:
        return ""
    highest = search.direction == "maximize"
    value, label = (max if highest else min)(scored)
    way = "highest" if highest else "lowest"
    return f"{way} {metric_in_words(search.metric)} {format_number(value, 4)} ({label})"
