"""What is wrong between the keys of a study: names that are not there, settings that have no use, measurements that
nothing makes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ngbench.errors import NgbenchError, UnknownNameError
from ngbench.experiments.studies.claims import At, Claim, Side, When
from ngbench.experiments.studies.models import RUNNERS, Cell, Scale, Study, StudyArm
from ngbench.experiments.studies.plan import axes_of, expand_arm, expand_arms, plan_cells
from ngbench.experiments.studies.settings import MEASURE_KEYS, StudySettings
from ngbench.records.claim_rule import Relation
from ngbench.records.quantities import Quantity, quantity_of

__all__ = ["find_faults"]

Path = tuple[str | int, ...]
_SCALES = ("smoke", "laptop", "full")
_BRACES = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class Fault:
    """Something wrong.

    Attributes:
        path: the keys that lead to it.
        message: what is wrong and what is allowed.
    """

    path: Path
    message: str


def find_faults(study: Study) -> Iterator[Fault]:
    """What is wrong with the study, as far as it can be told without looking at any plugin."""
    yield from _arms(study)
    yield from _repeated("panel", [panel.name for panel in study.panels], "panels", "name")
    yield from _repeated("claim", [claim.name for claim in study.claims], "claims", "name")
    names = [arm.name for arm in expand_arms(study)]
    panels = [panel.name for panel in study.panels]
    yield from _panels(study, names)
    for scale in _SCALES:
        yield from _scale(study, scale, names, panels)
    problems = [*_figure(study, names, panels)]
    for at, claim in enumerate(study.claims):
        problems += _claim(study, claim, ("claims", at), names, panels)
    yield from problems


def _unknown(kind: str, name: Any, allowed: Iterable[Any], path: Path) -> Iterator[Fault]:
    known = list(dict.fromkeys(map(str, allowed)))
    if str(name) not in known:
        yield Fault(path, str(UnknownNameError(kind, str(name), known)))


def _repeated(kind: str, names: list[str], *path: str) -> Iterator[Fault]:
    for at, name in enumerate(names):
        if name in names[:at]:
            yield Fault((path[0], at, *path[1:]), f"two {kind}s are called {name!r}")


def _arms(study: Study) -> Iterator[Fault]:
    runner = RUNNERS[study.measure]
    seen: set[str] = set()
    for at, arm in enumerate(study.arms):
        path: Path = ("arms", at)
        for other in RUNNERS.values():
            if other != runner and getattr(arm, other) is not None:
                yield Fault((*path, other), f"arms of a study that measures {study.measure} have {runner}")
        yield from _product(arm, path)
        if study.tune is None and arm.tune is not None:
            yield Fault((*path, "tune"), "the study has no tune section, so that nothing is searched")
        for expanded in expand_arm(arm, runner):
            if not expanded.runs:
                yield Fault(path, f"the arm {expanded.name!r} has no {runner}")
            if expanded.name in seen:
                yield Fault((*path, "name"), f"two arms are called {expanded.name!r}")
            seen.add(expanded.name)


def _product(arm: StudyArm, path: Path) -> Iterator[Fault]:
    axes = axes_of(arm)
    named = _BRACES.findall(arm.name)
    for name in named:
        if name not in axes:
            yield from _unknown("axis", name, axes, (*path, "name"))
    for axis in axes:
        if axis not in named:
            yield Fault((*path, "name"), f"the name must hold {{{axis}}}, to tell the arms of the product apart")


def _settings(study: Study, settings: StudySettings, path: Path, names: list[str]) -> Iterator[Fault]:
    useful = MEASURE_KEYS[study.measure]
    for key in settings.given():
        if key not in useful:
            yield Fault((*path, key), f"{key} has no use in a study that measures {study.measure}")
    for at, name in enumerate(settings.arms or ()):
        yield from _unknown("arm", name, names, (*path, "arms", at))
    if settings.layer == "all":
        yield Fault((*path, "layer"), "layer=all is not allowed, a study measures one layer, by number or name")


def _panels(study: Study, names: list[str]) -> Iterator[Fault]:
    yield from _settings(study, study.settings, ("settings",), names)
    for at, panel in enumerate(study.panels):
        path: Path = ("panels", at)
        yield from _settings(study, panel, path, names)
        for arm in panel.hyperparameters:
            yield from _unknown("arm", arm, names, (*path, "hyperparameters", arm))
        for size, by_arm in panel.by_batch_size.items():
            for arm in by_arm:
                yield from _unknown("arm", arm, names, (*path, "by_batch_size", size, arm))


def _scale(study: Study, name: str, names: list[str], panels: list[str]) -> Iterator[Fault]:
    scale: Scale = getattr(study.scales, name)
    path: Path = ("scales", name)
    yield from _settings(study, scale, path, names)
    chosen = scale.panels or ()
    for at, panel in enumerate(chosen):
        key = panel if isinstance(chosen, dict) else at
        yield from _unknown("panel", panel, panels, (*path, "panels", key))
    if isinstance(chosen, dict):
        for panel, settings in chosen.items():
            yield from _settings(study, settings, (*path, "panels", panel), names)
    if scale.tune not in (None, False) and study.tune is None:
        yield Fault((*path, "tune"), "the study has no tune section that this could change")
    if study.measure != "compare" and study.tune is not None:
        yield Fault(("tune",), f"tune has no use in a study that measures {study.measure}")
    if any(panel not in panels for panel in chosen):
        return
    for cell in plan_cells(study, name):  # type: ignore[arg-type]
        if not cell.arms:
            yield Fault(path, f"no arm is left in the panel {cell.panel.name!r}")
        if study.measure == "fisher-error" and cell.settings.steps is None:
            yield Fault(path, f"steps is missing: a study that measures {study.measure} has no other budget")


def _batch_sizes(study: Study, panel: str | None = None) -> set[int]:
    """All that any scale may run."""
    found: set[int] = set()
    for level in [study.settings, *(p for p in study.panels if panel in (None, p.name))]:
        found |= set(level.batch_sizes or ())
    for name in _SCALES:
        scale: Scale = getattr(study.scales, name)
        found |= set(scale.batch_sizes or ())
        if isinstance(scale.panels, dict):
            for other, settings in scale.panels.items():
                found |= set(settings.batch_sizes or ()) if panel in (None, other) else set()
    return found


def _known_batch_size(study: Study, panel: str | None, size: int, path: Path) -> Iterator[Fault]:
    # A panel without batch sizes has the task's own one, which only the plugin knows.
    known = _batch_sizes(study, panel)
    if known and size not in known:
        yield from _unknown("batch size", size, sorted(known), path)


def _measurement(study: Study, name: str, path: Path) -> Iterator[Fault | Quantity]:
    try:
        yield quantity_of(name, study.measure)
    except NgbenchError as error:
        yield Fault(path, str(error))


def _figure(study: Study, names: list[str], panels: list[str]) -> Iterator[Fault]:
    if study.figure.y != "samples":
        yield from _faults(_measurement(study, study.figure.y, ("figure", "y")))
    for row, cells in enumerate(study.figure.rows):
        for column, cell in enumerate(cells):
            if cell is not None:
                yield from _cell(study, cell, ("figure", "rows", row, column), names, panels)


def _faults(found: Iterable[Fault | Quantity]) -> Iterator[Fault]:
    return (one for one in found if isinstance(one, Fault))


def _cell(study: Study, cell: Cell, path: Path, names: list[str], panels: list[str]) -> Iterator[Fault]:
    yield from _unknown("panel", cell.panel, panels, (*path, "panel"))
    if cell.batch_size is not None:
        yield from _known_batch_size(study, cell.panel, cell.batch_size, (*path, "batch_size"))
    for at, arm in enumerate(cell.arms or ()):
        yield from _unknown("arm", arm, names, (*path, "arms", at))
    y, x = cell.y or study.figure.y, cell.x or study.figure.x
    if y == "samples":
        if study.measure != "gan":
            yield Fault((*path, "y"), "samples are drawn in a study that measures gan")
        elif cell.arm is None:
            yield Fault(path, "arm is missing: whose samples are to be drawn")
        else:
            yield from _unknown("arm", cell.arm, names, (*path, "arm"))
        return
    for found in _measurement(study, y, (*path, "y")):
        if isinstance(found, Fault):
            yield found
        elif not found.is_curve and x not in ("arm", "batch_size"):
            yield Fault((*path, "y"), f"{y} is one number for a run: x must be arm or batch_size, not {x}")
        elif study.measure == "fisher-error" and x in ("epoch", "seconds"):
            yield Fault(path, f"Fisher errors are measured by step: x must be step, arm or batch_size, not {x}")


def _claim(study: Study, claim: Claim, path: Path, names: list[str], panels: list[str]) -> Iterator[Fault]:
    for found in _measurement(study, claim.measurement, (*path, "measurement")):
        yield from [found] if isinstance(found, Fault) else _moment(claim.at, found, (*path, "at"))
    for at, panel in enumerate(claim.panels or ()):
        yield from _unknown("panel", panel, panels, (*path, "panels", at))
    for at, size in enumerate(claim.batch_sizes or ()):
        yield from _known_batch_size(study, None, size, (*path, "batch_sizes", at))
    for at, group in enumerate(claim.order or ()):
        for place, arm in enumerate([group] if isinstance(group, str) else group):
            own: Path = (*path, "order", at) if isinstance(group, str) else (*path, "order", at, place)
            yield from _unknown("arm", arm, names, own)
    for key in ("left", "right"):
        side = getattr(claim, key)
        if isinstance(side, Side):
            yield from _side(study, claim, side, (*path, key), names, panels)
        elif isinstance(side, str):
            yield from _unknown("arm", side, names, (*path, key))
        elif isinstance(side, tuple):
            for at, arm in enumerate(side):
                yield from _unknown("arm", arm, names, (*path, key, at))
    if claim.is_trend and len(_batch_sizes(study)) < 2:
        yield Fault((*path, "relation"), f"{claim.relation} needs a study with two batch sizes or more")
    if claim.relation is Relation.LEVEL and claim.left == claim.right:
        yield Fault((*path, "right"), "left and right are the same")


def _side(study: Study, claim: Claim, side: Side, path: Path, names: list[str], panels: list[str]) -> Iterator[Fault]:
    for key in ("arm", "divided_by", "minus"):
        if getattr(side, key) is not None:
            yield from _unknown("arm", getattr(side, key), names, (*path, key))
    if side.panel is not None:
        yield from _unknown("panel", side.panel, panels, (*path, "panel"))
    if side.batch_size is not None:
        yield from _known_batch_size(study, side.panel, side.batch_size, (*path, "batch_size"))
    if side.measurement is not None or side.at is not None:
        name = side.measurement or claim.measurement
        for found in _measurement(study, name, (*path, "measurement")):
            own: Path = (*path, "at") if side.at is not None else (*path, "measurement")
            yield from [found] if isinstance(found, Fault) else _moment(side.at or claim.at, found, own)


def _moment(at: When, measurement: Quantity, path: Path) -> Iterator[Fault]:
    if not measurement.is_curve and at != "final":
        yield Fault(path, f"{measurement} is one number for a run: leave out when it is taken")
    by_time = isinstance(at, At) and (at.seconds is not None or at.epoch is not None)
    if by_time and str(measurement) in ("error_1", "error_2"):
        yield Fault(path, f"{measurement} is measured by step: take it at a step, or final, best, mean or every")
