"""What a search found, as tables on the terminal, Markdown, JSON, and the file of the best hyper-parameters."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.text import Text

from ngbench.disk.files import write_text
from ngbench.escaping import markdown, terminal
from ngbench.experiments.search.plan import SearchPlan
from ngbench.experiments.search.samplers import SAMPLERS, settings
from ngbench.experiments.search.search import SearchResult
from ngbench.experiments.search.space import describe, plain
from ngbench.experiments.search.summary import LEAST_FOR_IMPORTANCE, ArmResult
from ngbench.plugins.parameters import format_value
from ngbench.records.record import Document, EnvironmentRecord, RunRecord
from ngbench.report.columns import Column, format_hyperparameters
from ngbench.report.exports import format_table
from ngbench.report.tables import print_columns
from ngbench.running.settings import FORMAT, VERSION
from ngbench.units import DASH, format_count, format_number, format_seconds, format_share

__all__ = [
    "describe_search",
    "format_search_markdown",
    "print_search",
    "search_document",
    "search_warnings",
    "write_best",
]

_COMMENT = "# Hyper-parameters found by ngbench tune: give this file to train or compare with --hyperparameters.\n"
_LONGEST = 60


def describe_search(plan: SearchPlan) -> list[str]:
    """What will be searched, in a line for each arm."""
    budget = ", ".join(f"{value} {name.replace('_', ' ')}" for name, value in plan.common["budget"].items())
    seeds = len(plan.common["seeds"])
    way = "highest" if plan.metric.direction == "maximize" else "lowest"
    lines = [
        f"search for the {way} {plan.metric}: sampler {plan.sampler} ({SAMPLERS[plan.sampler]}); a trial is "
        f"{'a run' if seeds == 1 else f'{seeds} runs'} of {budget}"
    ]
    for arm in plan.arms:
        space = plan.templates[arm.label].space
        searched = " ".join(f"{name}={describe(dimension)}" for name, dimension in space.items())
        lines.append(f"{arm.label}: {arm.trials} trials over {searched}")
    return lines


def print_search(plan: SearchPlan, result: SearchResult, console: Console) -> None:
    """Print what each arm's search found, how far the trials spread, which settings matter, and what it cost."""
    arms = list(result.arms.values())
    console.print(Text(terminal(_title(plan)), style="bold"))
    console.print()
    print_columns("Search", _overview(arms), console)
    for arm in arms:
        print_columns(_subtitle(arm), _settings(arm), console)
    for note in _notes(arms):
        console.print(Text(terminal(note), style="dim"))
    for warning in search_warnings(plan, result):
        console.print(Text.assemble(("Warning: ", "yellow"), terminal(warning)))


def format_search_markdown(plan: SearchPlan, result: SearchResult) -> str:
    """What :func:`print_search` prints, as Markdown with GitHub tables."""
    arms = list(result.arms.values())
    data = plan.data
    parts = [f"## {markdown(_title(plan))}"]
    parts += [f"- Data: {markdown(data['name'])} ({markdown(data['origin'])})\n- {markdown(describe_search(plan)[0])}"]
    parts += ["### Search", format_table(_overview(arms))]
    for arm in arms:
        parts += [f"### {markdown(_subtitle(arm))}", format_table(_settings(arm))]
    remarks = [f"- {markdown(note)}" for note in _notes(arms)]
    remarks += [f"- **Warning:** {markdown(warning)}" for warning in search_warnings(plan, result)]
    return "\n\n".join([*parts, "\n".join(remarks)]) + "\n"


def search_document(
    plan: SearchPlan, result: SearchResult, environment: EnvironmentRecord, runs: Sequence[RunRecord]
) -> Document:
    """The records of the trials, and what was found under the key ``tuning``."""
    found = {label: _arm_as_dict(arm) for label, arm in result.arms.items()}
    tuning = {**plan.common, "data": plan.data, "arms": found}
    return Document(environment=environment, runs=list(runs)).model_copy(update={"tuning": tuning})


def write_best(plan: SearchPlan, result: SearchResult, destination: str | Path) -> None:
    """Write the best hyper-parameters of each arm that has any, as ``--hyperparameters`` reads them.

    Raises:
        OutputError: the destination cannot be written.
    """
    common = plan.common
    content: dict[str, Any] = {"format": FORMAT, "version": VERSION, "task": common["task"]}
    content |= {"task_options": common["task_options"], "data": dict(plan.data)}
    content |= {key: common[key] for key in ("batch_size", "metric", "direction", "budget", "seeds", "sampler")}
    content["arms"] = {
        label: {
            "optimizer": arm.optimizer,
            "hyperparameters": dict(arm.hyperparameters),
            "searched": list(arm.searched),
            "score": arm.score,
            "trial": arm.trial,
            "trials": arm.trials,
            "diverged": arm.diverged,
            "cost": {"seconds": round(arm.seconds, 3), "steps": arm.steps},
        }
        for label, arm in result.arms.items()
        if arm.hyperparameters is not None
    }
    text = yaml.dump(content, Dumper=_Dumper, sort_keys=False, default_flow_style=None, width=120)
    write_text(_COMMENT + text, destination)


class _Dumper(yaml.SafeDumper):
    """Writes tuples as lists, and no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_representer(tuple, _Dumper.represent_list)


def search_warnings(plan: SearchPlan, result: SearchResult) -> Iterator[str]:
    """What makes the result less than it seems, and what to do."""
    yield from plan.warnings
    for label, arm in result.arms.items():
        if arm.trials < arm.planned:
            yield f"{label}: {arm.trials} of {arm.planned} trials are over; the same command does the others"
        if arm.edges and arm.hyperparameters is not None:
            found = ", ".join(f"{name}={format_value(arm.hyperparameters[name])}" for name in arm.edges)
            yield f"{label}: {found} is at the edge of what was searched, there may be a better value beyond it"
        failed = next((a for a in arm.attempts if a.outcome.name == "failed"), None)
        if failed is not None:
            count = arm.outcomes["failed"]
            trials = "a trial" if count == 1 else f"{count} trials"
            yield f"{label}: {trials} failed, such as {failed.number} with: {failed.outcome.message}"


def _title(plan: SearchPlan) -> str:
    options = format_hyperparameters(dict(plan.common["task_options"]))
    return " ".join(["Hyper-parameters for", plan.common["task"], options]).strip()


def _subtitle(arm: ArmResult) -> str:
    return f"{arm.label}: no trial has a value" if arm.trial is None else f"{arm.label}: best is trial {arm.trial}"


def _overview(arms: Sequence[ArmResult]) -> list[Column]:
    def quartile(arm: ArmResult, at: int) -> str:
        return DASH if arm.quartiles is None else format_number(arm.quartiles[at], 4)

    columns = [
        Column("arm", [arm.label for arm in arms], left=True),
        Column("trials", [_of(arm.trials, arm.planned) for arm in arms]),
        Column("best", [format_number(arm.score, 4) for arm in arms]),
        Column("better\nquartile", [quartile(arm, 0) for arm in arms]),
        Column("median", [quartile(arm, 1) for arm in arms]),
        Column("worse\nquartile", [quartile(arm, 2) for arm in arms]),
        Column("diverged", [str(arm.diverged) for arm in arms]),
    ]
    missed = [arm.outcomes["target_not_reached"] + arm.outcomes["no_value"] for arm in arms]
    if any(missed):
        columns.append(Column("without\nvalue", [str(count) for count in missed]))
    if any(arm.failed for arm in arms):
        columns.append(Column("failed", [str(arm.failed) for arm in arms]))
    return [
        *columns,
        Column("training\ntime", [format_seconds(arm.seconds) for arm in arms]),
        Column("steps", [format_count(arm.steps) for arm in arms]),
    ]


def _of(count: int, planned: int) -> str:
    return str(count) if count == planned else f"{count}/{planned}"


def _settings(arm: ArmResult) -> list[Column]:
    names = list(arm.searched)
    best = [DASH if arm.hyperparameters is None else _shown(arm.hyperparameters[name]) for name in names]
    importance = arm.importance
    searched = [describe(arm.searched[name]) for name in names]
    return [
        Column("setting", names, left=True),
        Column("best", best),
        Column("importance", [format_share(None if importance is None else importance[name]) for name in names]),
        Column("searched", [text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…" for text in searched], left=True),
    ]


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else format_value(value)


def _notes(arms: Sequence[ArmResult]) -> Iterator[str]:
    yield "Quartiles: over the trials; one that diverged or has no value is worse than any number, and shown as —."
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


def _arm_as_dict(arm: ArmResult) -> Mapping[str, Any]:
    return {
        "optimizer": arm.optimizer,
        "hyperparameters": None if arm.hyperparameters is None else dict(arm.hyperparameters),
        "searched": {name: plain(dimension) for name, dimension in arm.searched.items()},
        "score": arm.score,
        "trial": arm.trial,
        "planned": arm.planned,
        "outcomes": dict(arm.outcomes),
        "quartiles": arm.quartiles,
        "importance": None if arm.importance is None else dict(arm.importance),
        "at_edge": list(arm.edges),
        "seconds": arm.seconds,
        "steps": arm.steps,
        "repeated": arm.repeated,
        "trials": [
            {
                "trial": attempt.number,
                "settings": settings(arm.searched, attempt.point),
                "outcome": attempt.outcome.name,
                "value": attempt.outcome.value,
                "message": attempt.outcome.message,
                "seconds": attempt.outcome.seconds,
                "steps": attempt.outcome.steps,
            }
            for attempt in arm.attempts
        ],
    }
