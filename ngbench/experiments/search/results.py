"""What a search found, as a document, and as the file of the best hyper-parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ngbench.disk.files import write_text
from ngbench.experiments.search.arm_results import ArmResult, describe_search
from ngbench.experiments.search.plan import SearchPlan
from ngbench.experiments.search.samplers import settings
from ngbench.experiments.search.space import describe_ascending, plain
from ngbench.plugins.run_parameters import RUN_PARAMETERS
from ngbench.records.experiments import SearchedArmRecord, SearchRecord, TrialRecord
from ngbench.records.provenance import EnvironmentRecord
from ngbench.records.record import Document, RunRecord
from ngbench.running.best_settings import FORMAT, VERSION
from ngbench.units import counted, format_hyperparameters

__all__ = ["introduce_search", "search_document", "write_best"]

_COMMENT = "# Hyper-parameters found by ngbench tune: give this file to train or compare with --hyperparameters.\n"


def introduce_search(plan: SearchPlan) -> Iterator[str]:
    """What will be searched: what for, and a line for each arm."""
    yield f"search for {describe_search(_planned(plan))}"
    for arm in plan.arms:
        space = plan.templates[arm.label].space
        searched = " ".join(f"{name}={describe_ascending(plain(dimension))}" for name, dimension in space.items())
        yield f"{arm.label}: {counted(arm.trials, 'trial')} over {searched}"


def search_document(
    plan: SearchPlan, arms: Mapping[str, ArmResult], environment: EnvironmentRecord, runs: Sequence[RunRecord]
) -> Document:
    """The records of the trials, and what was found."""
    found = {
        "arms": {label: _arm_record(arm) for label, arm in arms.items()},
        "warnings": [*_warnings(plan, arms)],
    }
    search = _planned(plan).model_copy(update=found)
    return Document(environment=environment, runs=list(runs), search=search)


def _planned(plan: SearchPlan) -> SearchRecord:
    """What is searched, of which nothing is found yet."""
    common = {name: value for name, value in plan.common.items() if name != "version"}
    return SearchRecord.model_validate({**common, "data": plan.data, "arms": {}})


def write_best(document: Document, destination: str | Path) -> None:
    """Write the best hyper-parameters of each arm of a search that has any, as ``--hyperparameters`` reads them.

    Raises:
        OutputError: the destination cannot be written.
    """
    search = document.search
    assert search is not None
    content: dict[str, Any] = {"format": FORMAT, "version": VERSION}
    told = ("task", "task_options", "data", "batch_size", "metric", "direction", "budget", "seeds", "sampler")
    content |= {key: search.model_dump(include={key})[key] for key in told}
    # A rate that was found under a schedule is of no use without it.
    of_all = {one.name: search.conditions[one.name] for one in RUN_PARAMETERS if one.name in search.conditions}
    content["arms"] = {
        label: {
            "optimizer": arm.optimizer,
            "hyperparameters": {**of_all, **arm.hyperparameters},
            "searched": list(arm.searched),
            "score": arm.score,
            "trial": arm.trial,
            "trials": len(arm.trials),
            "diverged": arm.outcomes.get("diverged", 0),
            "cost": {"seconds": round(arm.seconds, 3), "steps": arm.steps},
        }
        for label, arm in search.arms.items()
        if arm.hyperparameters is not None
    }
    text = yaml.dump(content, Dumper=_Dumper, sort_keys=False, default_flow_style=None, width=120)
    write_text(_COMMENT + text, destination)


class _Dumper(yaml.SafeDumper):
    """Writes tuples as lists, and no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_representer(tuple, _Dumper.represent_list)


def _warnings(plan: SearchPlan, arms: Mapping[str, ArmResult]) -> Iterator[str]:
    """What makes the result less than it seems, and what to do."""
    yield from plan.warnings
    for label, arm in arms.items():
        if arm.trials < arm.planned:
            yield f"{label}: {arm.trials} of {arm.planned} trials are over; the same command does the others"
        if arm.edges and arm.hyperparameters is not None:
            found = format_hyperparameters({name: arm.hyperparameters[name] for name in arm.edges})
            yield f"{label}: {found} is at the edge of what was searched, there may be a better value beyond it"
        failed = next((a for a in arm.attempts if a.outcome.name == "failed"), None)
        if failed is not None:
            count = arm.outcomes["failed"]
            trials = "a trial" if count == 1 else f"{count} trials"
            yield f"{label}: {trials} failed, such as {failed.number} with: {failed.outcome.message}"


def _arm_record(arm: ArmResult) -> SearchedArmRecord:
    trials = [
        TrialRecord(
            trial=attempt.number,
            settings=settings(arm.searched, attempt.point),
            outcome=attempt.outcome.name,
            value=attempt.outcome.value,
            message=attempt.outcome.message,
            seconds=attempt.outcome.seconds,
            steps=attempt.outcome.steps,
        )
        for attempt in arm.attempts
    ]
    return SearchedArmRecord.model_validate(
        {
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
            "trials": trials,
        }
    )
