"""Which runs of several files are the same run, and which are one arm."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ngbench.records.record import RunRecord
from ngbench.report.page.record_files import Source
from ngbench.units import format_hyperparameters

__all__ = ["Found", "label_arms", "without_repeats"]

_MOST_DIFFERENCES = 3


@dataclass(frozen=True)
class Found:
    """A run, where it was found, and what it holds besides."""

    run: RunRecord
    source: Source


def without_repeats(runs: Sequence[Found]) -> tuple[list[Found], list[str]]:
    """Each run once: of equal ones the first, of an earlier and a later state of one run the later.

    Returns:
        The runs, and what was left out in sentences.
    """
    kept: list[Found] = []
    repeated = 0
    remarks: list[str] = []
    for found in runs:
        at = next((at for at, other in enumerate(kept) if _same(found.run, other.run)), None)
        if at is None:
            kept.append(found)
            continue
        other = kept[at]
        if _content(found.run) == _content(other.run):
            repeated += 1
            continue
        if _progress(found.run) > _progress(other.run):
            kept[at], other = found, other
        else:
            other = found
        remarks.append(
            f"An earlier state of {other.run.label} with seed {other.run.seed} is left out ({other.source.file})."
        )
    if repeated:
        remarks.insert(0, f"{repeated} {'run was' if repeated == 1 else 'runs were'} given twice and counted once.")
    return kept, remarks


def _same(one: RunRecord, other: RunRecord) -> bool:
    """Whether both are states of one run: the same settings and seed, and one history begins with the other."""
    if (one.label, one.seed) != (other.label, other.seed) or _recipe(one) != _recipe(other):
        return False
    common = min(len(one.history.epoch), len(other.history.epoch))
    if not common:
        return one.started_at == other.started_at
    return all(
        getattr(one.history, key)[:common] == getattr(other.history, key)[:common]
        for key in ("train_loss", "elapsed_seconds")
    )


def _progress(run: RunRecord) -> tuple[int, bool]:
    return len(run.steps.seconds) or len(run.history.epoch), run.status not in ("running", "interrupted")


def _content(run: RunRecord) -> Any:
    return run.model_dump(exclude={"environment"})


def _recipe(run: RunRecord) -> dict[str, str]:
    """Every setting in which the runs of one arm agree."""
    settings = {
        "task": run.task,
        **{f"task {key}": value for key, value in run.task_options.items()},
        "data": run.data.digest,
        "optimizer": run.optimizer.name,
        **run.optimizer.hyperparameters,
        "batch_size": run.batch_size,
        "dtype": run.dtype,
        "device": run.device,
    }
    return {key: json.dumps(value, sort_keys=True, default=str) for key, value in settings.items()}


@dataclass
class _Group:
    recipe: dict[str, str]
    runs: list[Found] = field(default_factory=list)

    def admits(self, found: Found, recipe: dict[str, str], *, mixed: bool) -> bool:
        if self.recipe != recipe or found.run.seed in {other.run.seed for other in self.runs}:
            return False
        return mixed or self.runs[0].source.name == found.source.name


def label_arms(runs: Sequence[Found]) -> tuple[list[Found], list[str]]:
    """The runs with labels that tell arms apart, in their order.

    Runs of one label are one arm if their settings agree and their seeds differ. Otherwise the label is
    extended by the settings that differ, by where the runs were found, or by a number.

    Returns:
        The runs, and the labels that were extended in sentences.
    """
    renamed: dict[int, str] = {}
    remarks = []
    for label in dict.fromkeys(found.run.label for found in runs):
        groups = _groups([found for found in runs if found.run.label == label])
        if len(groups) == 1:
            continue
        names = [f"{label} ({suffix})" for suffix in _suffixes(groups)]
        remarks.append(f"The label {label} stands for {len(groups)} arms, shown as {', '.join(names)}.")
        renamed |= {id(found): name for group, name in zip(groups, names, strict=True) for found in group.runs}
    return [
        replace(found, run=found.run.model_copy(update={"label": renamed[id(found)]}))
        if id(found) in renamed
        else found
        for found in runs
    ], remarks


def _groups(runs: Sequence[Found]) -> list[_Group]:
    groups: list[_Group] = []
    for found in runs:
        recipe = _recipe(found.run)
        alike = [other for other in runs if _recipe(other.run) == recipe]
        # Seeds add up over files only where no seed was run twice: two repetitions of a comparison stay apart.
        mixed = len({other.run.seed for other in alike}) == len(alike)
        group = next((group for group in groups if group.admits(found, recipe, mixed=mixed)), None)
        if group is None:
            group = _Group(recipe)
            groups.append(group)
        group.runs.append(found)
    return groups


def _suffixes(groups: Sequence[_Group]) -> list[str]:
    settings = [_differences(group, groups) for group in groups]
    sources = [group.runs[0].source.name for group in groups]
    candidates: Iterator[list[str]] = iter(
        [settings, sources, [f"{one}; {other}" if one else other for one, other in zip(settings, sources, strict=True)]]
    )
    for found in candidates:
        if all(found) and len(set(found)) == len(found):
            return found
    return [f"{source} #{at}" for at, source in enumerate(sources, start=1)]


def _differences(group: _Group, groups: Sequence[_Group]) -> str:
    keys = dict.fromkeys(key for other in groups for key in other.recipe)
    differing = [key for key in keys if key in group.recipe and len({other.recipe.get(key) for other in groups}) > 1]
    shown = {key: json.loads(group.recipe[key]) for key in differing[:_MOST_DIFFERENCES]}
    if "data" in shown:
        shown["data"] = str(shown["data"])[:8]
    return format_hyperparameters(shown)
