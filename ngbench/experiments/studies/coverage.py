"""All that the claims of a study are about: the cells that ran, those that did not, and the published runs of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ngbench.experiments.studies.cells import batch_size_of
from ngbench.experiments.studies.claims import ScaleName
from ngbench.experiments.studies.models import Study
from ngbench.experiments.studies.pairs import CellRuns
from ngbench.experiments.studies.plan import PlannedCell, plan_cells
from ngbench.experiments.studies.published import PublishedArm, published_arm

__all__ = ["all_cells"]


def all_cells(study: Study, scale: ScaleName, ran: Sequence[CellRuns], ended: str = "") -> list[CellRuns]:
    """The cells that the study has at its full scale, with the runs that were made at another one.

    A cell with a batch size that the full scale has not stands in the place of one that it has.

    Args:
        study: whose.
        scale: at which it ran.
        ran: what was made, in the order in which it was planned.
        ended: why the rest was not, if the study ended early.
    """
    planned = plan_cells(study, scale)
    whole = plan_cells(study, "full") or planned
    found = []
    for at, cell in enumerate(planned):
        here = ran[at] if at < len(ran) else _without_runs(cell, ended)
        there = [other for other in whole if other.panel.name == cell.panel.name]
        missing = {arm.name for other in there for arm in other.arms} - set(here.arms)
        absent = {arm: f"{arm} does not run at this scale" for arm in missing}
        found.append(
            replace(
                here,
                arms={**here.arms, **dict.fromkeys(missing, ())},
                absent={**here.absent, **absent},
                published=_published(study, [cell, *there], here.batch_size),
            )
        )
    for name in dict.fromkeys(cell.panel.name for cell in whole):
        own = [cell.batch_size for cell in found if cell.panel == name]
        others = [cell for cell in whole if cell.panel.name == name and batch_size_of(cell) not in own]
        stand_ins = len(own) - sum(batch_size_of(cell) in own for cell in whole if cell.panel.name == name)
        found += [_not_run(study, cell) for cell in others[max(stand_ins, 0) :]]
    return found


def _not_run(study: Study, cell: PlannedCell) -> CellRuns:
    here = _without_runs(cell, "")
    why = f"{here.name} does not run at this scale"
    return replace(here, absent=dict.fromkeys(here.arms, why), published=_published(study, [cell], here.batch_size))


def _without_runs(cell: PlannedCell, why: str) -> CellRuns:
    arms = [arm.name for arm in cell.arms]
    return CellRuns(
        cell.panel.name, batch_size_of(cell), dict.fromkeys(arms, ()), dict.fromkeys(arms, why) if why else {}
    )


def _published(study: Study, cells: Sequence[PlannedCell], batch_size: int) -> Mapping[str, PublishedArm]:
    """The published runs of the arms of these cells of a panel."""
    if study.published is None:
        return {}
    figure = study.published.figure
    found = {
        arm.name: published_arm(figure, cell.panel.task, batch_size, arm.published)
        for cell in cells
        for arm in cell.arms
        if arm.published is not None
    }
    return {name: arm for name, arm in found.items() if arm is not None}
