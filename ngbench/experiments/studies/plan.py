"""From what a study says to the comparisons that are made: products of arms written out, settings merged."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ngbench.experiments.studies.claims import ScaleName
from ngbench.experiments.studies.models import RUNNERS, Panel, Selector, Space, Study, StudyArm, Tune
from ngbench.experiments.studies.settings import StudySettings, merged
from ngbench.values import format_value

__all__ = ["PlannedArm", "PlannedCell", "axes_of", "expand_arm", "expand_arms", "plan_cells", "search_of"]


@dataclass(frozen=True)
class PlannedArm:
    """One arm, its product written out.

    Attributes:
        name: as tables and claims call it.
        runs: the optimizer, approximation or players.
        hyperparameters: that are given for it.
        axes: those of them that tell it from the other arms of a product: no search may change them.
        published: which published curve is its own; ``None`` for none.
        space: what its search tries, if that is its own.
        index: its place in the study's list of arms.
        searched: that a search or a file of its results found, in the place of those given.
    """

    name: str
    runs: str
    hyperparameters: Mapping[str, Any]
    axes: Mapping[str, Any] = field(default_factory=dict)
    published: Selector | None = None
    space: Space | None = None
    index: int = 0
    searched: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PlannedCell:
    """One comparison: a panel with one batch size.

    Attributes:
        panel: the panel.
        batch_size: ``None`` is the task's own.
        arms: with the hyper-parameters that they have here.
        settings: of the study, the panel and the scale together.
        searched_in: where what was searched stands, if anything was.
    """

    panel: Panel
    batch_size: int | None
    arms: tuple[PlannedArm, ...]
    settings: StudySettings
    searched_in: Path | None = None

    def with_searched(self, found: Mapping[str, Mapping[str, Any]], where: Path) -> PlannedCell:
        """With what was found for its arms, by name, there."""
        return replace(self, arms=tuple(_with(arm, found.get(arm.name, {})) for arm in self.arms), searched_in=where)

    @property
    def options(self) -> Mapping[str, Any]:
        """The task's own options."""
        return self.settings.set or {}


def _with(arm: PlannedArm, found: Mapping[str, Any]) -> PlannedArm:
    searched = {name: value for name, value in found.items() if name not in arm.axes}
    given = {name: value for name, value in arm.hyperparameters.items() if name not in searched}
    return replace(arm, hyperparameters=given, searched={**arm.searched, **searched})


def axes_of(arm: StudyArm) -> dict[str, dict[str, dict[str, Any]]]:
    """For each axis of the arm's product, for each label, what it sets.

    >>> axes_of(StudyArm(name="{damping}", optimizer="kfac", product={"damping": [0.1, None]}))
    {'damping': {'0.1': {'damping': 0.1}, 'none': {'damping': None}}}
    """
    found = {}
    for axis, values in (arm.product or {}).items():
        if isinstance(values, tuple):
            found[axis] = {format_value(value): {axis: value} for value in values}
        else:
            found[axis] = {format_value(label): dict(settings) for label, settings in values.items()}
    return found


def expand_arm(arm: StudyArm, runner: str, index: int = 0) -> Iterator[PlannedArm]:
    """The arms that an arm of the file stands for, one for each combination of its axes.

    Args:
        arm: of the file.
        runner: the key that says what it is: ``optimizer``, ``approximation`` or ``players``.
        index: its place in the file.
    """
    axes = axes_of(arm)
    for labels in itertools.product(*axes.values()):
        name = arm.name
        settings: dict[str, Any] = {}
        for (axis, values), label in zip(axes.items(), labels, strict=True):
            name = name.replace(f"{{{axis}}}", label)
            settings |= values[label]
        runs = str(settings.pop(runner, getattr(arm, runner) or ""))
        given = {**arm.hyperparameters, **settings}
        yield PlannedArm(name, runs, given, settings, _selector(arm, runs), arm.tune, index)


def _selector(arm: StudyArm, runs: str) -> Selector | None:
    if isinstance(arm.published, Selector):
        return arm.published
    name = arm.published or runs
    return None if name in ("none", "") else Selector(optimizer=name)


def expand_arms(study: Study) -> list[PlannedArm]:
    """All arms of the study, products written out."""
    runner = RUNNERS[study.measure]
    return [found for index, arm in enumerate(study.arms) for found in expand_arm(arm, runner, index)]


def plan_cells(study: Study, scale: ScaleName) -> list[PlannedCell]:
    """The comparisons that the study makes at a scale, in the order of its panels; none where the scale is skipped."""
    chosen = study.scales.named(scale)
    if chosen.skip is not None:
        return []
    arms = expand_arms(study)
    names = [panel.name for panel in study.panels] if chosen.panels is None else list(chosen.panels)
    own = chosen.panels if isinstance(chosen.panels, dict) else {}
    cells = []
    for name in names:
        panel = study.panel(name)
        settings = merged(study.settings, panel, chosen, own.get(name, StudySettings()))
        for batch_size in settings.batch_sizes or (None,):
            here = tuple(_here(arm, panel, batch_size) for arm in arms if _runs_here(arm, settings, panel))
            cells.append(PlannedCell(panel, batch_size, here, settings))
    return cells


def _runs_here(arm: PlannedArm, settings: StudySettings, panel: Panel) -> bool:
    # The arms of a panel are all that it has, the scale may leave some of them out.
    return (settings.arms is None or arm.name in settings.arms) and (panel.arms is None or arm.name in panel.arms)


def _here(arm: PlannedArm, panel: Panel, batch_size: int | None) -> PlannedArm:
    by_batch_size = panel.by_batch_size.get(batch_size, {}) if batch_size is not None else {}
    given = {**arm.hyperparameters, **panel.hyperparameters.get(arm.name, {}), **by_batch_size.get(arm.name, {})}
    return replace(arm, hyperparameters=given)


def search_of(study: Study, scale: ScaleName) -> Tune | None:
    """The search that comes before each comparison at the scale; ``None`` for none."""
    own = study.scales.named(scale).tune
    if study.tune is None or own is False:
        return None
    return study.tune.merged(own)
