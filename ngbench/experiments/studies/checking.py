"""What only the plugins know of a study: its tasks, optimizers, options, hyper-parameters and metrics. Loads torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from ngbench.adversarial_task import PLAYERS, AdversarialTask
from ngbench.arms import PlayersArm, resolve_pair
from ngbench.errors import NgbenchError, ParameterError, UnknownNameError, UsageError
from ngbench.experiments.studies.claims import ScaleName, Side
from ngbench.experiments.studies.loader import LoadedStudy
from ngbench.experiments.studies.models import SearchedRange, Study
from ngbench.experiments.studies.plan import PlannedArm, PlannedCell, expand_arms, plan_cells
from ngbench.plugins import registry
from ngbench.records.quantities import quantity_of
from ngbench.task import Task

__all__ = ["check_study", "players_arm"]

_Path = tuple[str | int, ...]


def check_study(loaded: LoadedStudy) -> None:
    """Refuse what the plugins would refuse of any scale of the study, before anything runs.

    Raises:
        StudyError: naming the file, the line and the key.
    """
    metrics: set[str] = set()
    for path, cell in _cells(loaded.study):
        try:
            task = registry.any_task(cell.panel.task, registry.task_options(cell.panel.task, cell.options))
        except UnknownNameError as error:
            raise loaded.error(("panels", _place(loaded.study, cell), "task"), str(error)) from error
        except NgbenchError as error:
            raise loaded.error(_options_path(loaded.study, path, cell, str(error)), str(error)) from error
        if isinstance(task, AdversarialTask) != (loaded.study.measure == "gan"):
            kind = "two players" if isinstance(task, AdversarialTask) else "one model"
            message = (
                f"task {cell.panel.task!r} trains {kind}, which a study that measures {loaded.study.measure} is not"
            )
            raise loaded.error(("panels", _place(loaded.study, cell), "task"), f"{message} about")
        if isinstance(task, Task):
            metrics |= {*task.metrics}
        for arm in cell.arms:
            try:
                _check_arm(loaded.study, arm, task, cell)
            except NgbenchError as error:
                raise loaded.error(_arm_path(loaded.study, arm, str(error)), str(error)) from error
    _check_space(loaded)
    _check_metrics(loaded, metrics)


def _cells(study: Study) -> Iterator[tuple[_Path, PlannedCell]]:
    for scale in get_args(ScaleName):
        for cell in plan_cells(study, scale):
            yield ("scales", scale), cell


def _place(study: Study, cell: PlannedCell) -> int:
    return [panel.name for panel in study.panels].index(cell.panel.name)


def _options_path(study: Study, path: _Path, cell: PlannedCell, message: str) -> _Path:
    """Where an option that the message names was given, the most special place first."""
    name, scale = cell.panel.name, study.scales.named(path[1])  # type: ignore[arg-type]
    places: list[tuple[_Path, dict[str, object] | None]] = []
    if isinstance(scale.panels, dict) and name in scale.panels:
        places.append(((*path, "panels", name, "set"), scale.panels[name].set))
    places.append(((*path, "set"), scale.set))
    places.append((("panels", _place(study, cell), "set"), cell.panel.set))
    places.append((("settings", "set"), study.settings.set))
    for place, options in places:
        for key in options or {}:
            if key in message:
                return (*place, key)
    return ("panels", _place(study, cell))


def _arm_path(study: Study, arm: PlannedArm, message: str) -> _Path:
    """Where a value that the message names was given: the panel, or the arm."""
    for at, panel in enumerate(study.panels):
        for key in panel.hyperparameters.get(arm.name, {}):
            if key in message:
                return ("panels", at, "hyperparameters", arm.name, key)
        for size, by_arm in panel.by_batch_size.items():
            for key in by_arm.get(arm.name, {}):
                if key in message:
                    return ("panels", at, "by_batch_size", size, arm.name, key)
    given = study.arms[arm.index]
    for key in given.hyperparameters:
        if key in message:
            return ("arms", arm.index, "hyperparameters", key)
    for axis, values in (given.product or {}).items():
        keys = {axis} if isinstance(values, tuple) else {key for part in values.values() for key in part}
        if any(key in message for key in keys):
            return ("arms", arm.index, "product", axis)
    return ("arms", arm.index)


def _check_arm(study: Study, arm: PlannedArm, task: Task | AdversarialTask, cell: PlannedCell) -> None:
    if isinstance(task, AdversarialTask):
        pair = resolve_pair(players_arm(arm), task, cell.batch_size or task.batch_size)
        registry.optimizer(pair.generator).resolve(pair.generator_hyperparameters)
        registry.optimizer(pair.critic).resolve(pair.critic_hyperparameters)
    elif study.measure == "fisher-error":
        registry.approximation(arm.runs, arm.hyperparameters)
    else:
        registry.effective_hyperparameters(registry.optimizer(arm.runs), task, arm.hyperparameters)


def players_arm(arm: PlannedArm) -> PlayersArm:
    """The arm as ``ngbench gan`` knows it.

    Raises:
        UsageError: a hyper-parameter does not say which player's it is.
    """
    names = tuple(arm.runs.split("+"))
    if len(names) == 1:
        return PlayersArm(arm.name, names, (arm.hyperparameters,))
    own: dict[str, dict[str, Any]] = {player: {} for player in PLAYERS}
    for key, value in arm.hyperparameters.items():
        player, _, rest = key.partition(".")
        if player not in own or not rest:
            raise UsageError(
                f"{key!r} does not say whose it is, it must be generator.{rest or key} or critic.{rest or key}"
            )
        own[player][rest] = value
    return PlayersArm(arm.name, names, tuple(own.values()))


def _check_space(loaded: LoadedStudy) -> None:
    """Refuse a search for hyper-parameters that an arm does not have, or for values that it does not allow."""
    study = loaded.study
    if study.tune is None:
        return
    for arm in expand_arms(study):
        plugin = registry.optimizer(arm.runs)
        space = arm.space if arm.space is not None else study.tune.space or {}
        path: _Path = ("arms", arm.index, "tune") if arm.space is not None else ("tune", "space")
        for key, values in space.items():
            ends = (values.low, values.high) if isinstance(values, SearchedRange) else values
            try:
                if key in arm.axes:
                    raise ParameterError(f"{key} tells the arm {arm.name!r} from the others, it cannot be searched")
                for value in ends:
                    plugin.convert({key: value})
            except NgbenchError as error:
                raise loaded.error((*path, key), str(error)) from error


def _check_metrics(loaded: LoadedStudy, metrics: set[str]) -> None:
    """Refuse a measurement of a metric that no task of the study has."""
    study = loaded.study

    def check(name: str, *path: str | int) -> None:
        metric = quantity_of(name, study.measure).metric
        if metric is not None and metric not in metrics:
            raise loaded.error(path, str(UnknownNameError("metric", metric, metrics)))

    for at, claim in enumerate(study.claims):
        check(claim.measurement, "claims", at, "measurement")
        for key in ("left", "right"):
            side = getattr(claim, key)
            if isinstance(side, Side) and side.measurement is not None:
                check(side.measurement, "claims", at, key, "measurement")
    for row, cells in enumerate(study.figure.rows):
        for column, cell in enumerate(cells):
            if cell is not None and cell.y not in (None, "samples"):
                check(str(cell.y), "figure", "rows", row, column, "y")
