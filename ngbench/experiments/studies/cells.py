"""How a comparison of a study runs: as ``compare``, ``gan`` or ``fisher-error`` would run it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from ngbench.arms import ArmSpec
from ngbench.disk import files
from ngbench.experiments.comparison import compare, compare_players
from ngbench.experiments.fisher_error.measure import measure_fisher_errors
from ngbench.experiments.fisher_error.request import FisherErrorOptions, FisherErrorRequest
from ngbench.experiments.runs import ExperimentObserver, Place, SilentObserver
from ngbench.experiments.search.crew import TrialNews
from ngbench.experiments.search.plan import SearchPlan
from ngbench.experiments.search.request import SearchOptions, SearchRequest
from ngbench.experiments.search.search import search
from ngbench.experiments.search.trials import KeptProcess
from ngbench.experiments.studies.checking import players_arm
from ngbench.experiments.studies.claims import ScaleName
from ngbench.experiments.studies.models import SearchedRange, Study, Tune
from ngbench.experiments.studies.pairs import CellRuns
from ngbench.experiments.studies.plan import PlannedCell, search_of
from ngbench.experiments.studies.settings import Measure
from ngbench.plugins import registry
from ngbench.records.quantities import ArmRun
from ngbench.records.record import RunRecord
from ngbench.records.statistics import FAILED
from ngbench.running.best_settings import ArmSettings
from ngbench.running.best_settings import Settings as Tuned
from ngbench.running.option_fields import options_of
from ngbench.running.request import AdversarialOptions, AdversarialRequest, Request, RunOptions
from ngbench.running.samples import DIRECTORY
from ngbench.running.workers import LocalWorker, RunStarter, Worker

__all__ = ["Conditions", "RanCell", "batch_size_of", "run_cell", "runs_by_arm"]

_Options = TypeVar("_Options", bound=RunOptions)


def _unwatched(measure: Measure) -> AbstractContextManager[ExperimentObserver]:
    return nullcontext(SilentObserver())


@dataclass(frozen=True)
class Conditions:
    """How all comparisons run.

    Attributes:
        resume: go on with what the directories hold.
        seeds: in the place of what the study says.
        until_decided: add seeds until every claim is decided, or there are as many as a claim may need.
        minutes: of a study, that adding seeds must not exceed.
        data_dir: where data sets live.
        device: where to compute.
        threads: on the CPU.
        tuned: a file of hyper-parameters, for panels of its task.
        own_processes: each arm in a process of its own.
        count_operations: whether to count the operations of steps, which takes as long as some steps.
        watch: opens, for each comparison, what is told of its runs.
    """

    resume: bool = False
    seeds: int | None = None
    until_decided: bool = False
    minutes: float | None = None
    data_dir: Path | None = None
    device: str = "auto"
    threads: int | None = None
    tuned: Tuned | None = None
    own_processes: bool = True
    count_operations: bool = True
    watch: Callable[[Measure], AbstractContextManager[ExperimentObserver]] = _unwatched


@dataclass(frozen=True)
class RanCell:
    """A comparison that is over.

    Attributes:
        runs: by arm, as claims see them.
        records: in the order in which they were planned.
        directory: of the records.
    """

    runs: CellRuns
    records: Sequence[RunRecord]
    directory: Path

    @property
    def interrupted(self) -> bool:
        """Whether the user stopped it."""
        return any(record.status == "interrupted" for record in self.records)

    @property
    def failed(self) -> bool:
        """Whether a run did not do what was asked."""
        return any(record.status in FAILED | {"interrupted"} for record in self.records)


def batch_size_of(cell: PlannedCell) -> int:
    """The batch size of the comparison: the study's, else the task's."""
    if cell.batch_size is not None:
        return cell.batch_size
    task = cell.panel.task
    return registry.any_task(task, registry.task_options(task, cell.options)).batch_size


def run_cell(study: Study, scale: ScaleName, cell: PlannedCell, directory: Path, conditions: Conditions) -> RanCell:
    """Make the runs of a comparison, after the search for its hyper-parameters if there is one.

    Args:
        study: that it belongs to.
        scale: at which it runs.
        cell: what to run.
        directory: of the study; the records get a directory in it, ``PANEL-BATCH``.
        conditions: how to run.

    Raises:
        UsageError: whatever the user can put right.
        KeyboardInterrupt: the user stopped the search; what is finished is in its storage.
    """
    batch_size = batch_size_of(cell)
    own = directory / f"{cell.panel.name}-{batch_size}"
    place = Place(own, conditions.resume, f"{study.study}, {cell.panel.shown}, batch {batch_size}")
    tune = search_of(study, scale)
    with conditions.watch(study.measure) as observer:
        observer.note(f"{study.study} ({scale}): {cell.panel.shown}, {len(cell.arms)} arms")
        cell = _with_file(cell, conditions, observer)
        if tune is not None:
            cell = _tuned(cell, tune, directory / "tune" / f"{own.name}.journal", conditions, observer)
        place.check()
        if study.measure == "fisher-error":
            records = _measure(cell, place, conditions, observer)
        else:
            records = _compare(study.measure, cell, place, conditions, observer)
    return RanCell(CellRuns(cell.panel.name, batch_size, runs_by_arm(study, cell, records)), records, own)


def runs_by_arm(study: Study, cell: PlannedCell, records: Sequence[RunRecord]) -> dict[str, list[ArmRun]]:
    """The runs of each arm of the comparison; each record has all arms where approximations were measured."""
    if study.measure == "fisher-error":
        return {arm.name: [ArmRun(record, arm.name) for record in records] for arm in cell.arms}
    return {arm.name: [ArmRun(record) for record in records if record.label == arm.name] for arm in cell.arms}


def _with_file(cell: PlannedCell, conditions: Conditions, observer: ExperimentObserver) -> PlannedCell:
    """The arms with what the file of hyper-parameters says of them; what tells the arms of a product apart stays."""
    tuned = conditions.tuned
    if tuned is None or tuned.task != cell.panel.task:
        return cell
    found = {arm.name: tuned.for_arm(arm.name, arm.runs) for arm in cell.arms}
    used = {name: settings for name, settings in found.items() if settings is not None}
    observer.note(f"hyper-parameters of {', '.join(used) or 'no arm'}: from {tuned.path}")
    return cell.with_searched(used, tuned.path)


def _seeds(cell: PlannedCell, conditions: Conditions) -> int:
    return conditions.seeds or cell.settings.seeds or 1


def _options(kind: type[_Options], cell: PlannedCell, conditions: Conditions) -> _Options:
    """What the study, and whoever runs it, ask of the runs."""
    known = options_of(kind)
    given = {name: getattr(cell.settings, name, None) for name in known}
    if (interval := given.pop("diagnostics", None)) is not None:
        given |= {"diagnostics": True, "diagnostics_interval": interval}
    given |= {"batch_size": batch_size_of(cell), "seeds": _seeds(cell, conditions), "data_dir": conditions.data_dir}
    given |= {"device": conditions.device, "threads": conditions.threads}
    if isinstance(layer := given.get("layer"), int):
        given["layer"] = f"number:{layer}"
    asked = {name: value for name, value in given.items() if name in known and value is not None}
    return kind(count_operations=conditions.count_operations, **asked)


def _specs(cell: PlannedCell) -> list[ArmSpec]:
    return [ArmSpec(arm.name, arm.runs, {**arm.hyperparameters, **arm.searched}) for arm in cell.arms]


def _request(cell: PlannedCell, conditions: Conditions) -> Request:
    return Request(cell.panel.task, _specs(cell), cell.options, _options(RunOptions, cell, conditions))


def _with_origins(request: Request, cell: PlannedCell) -> Request:
    """The same request, which says of hyper-parameters that were searched that they were."""
    if cell.searched_in is None:
        return request
    given = [
        replace(spec, hyperparameters=arm.hyperparameters) for spec, arm in zip(request.arms, cell.arms, strict=True)
    ]
    found = {arm.name: ArmSettings(arm.name, arm.runs, arm.searched) for arm in cell.arms}
    return replace(request, arms=given, tuned=Tuned(cell.searched_in, cell.panel.task, found))


def _compare(
    measure: Measure, cell: PlannedCell, place: Place, conditions: Conditions, observer: ExperimentObserver
) -> Sequence[RunRecord]:
    assert place.directory is not None
    how: dict[str, Any] = {"place": place, "observer": observer, "own_processes": conditions.own_processes}
    if measure == "gan":
        request = AdversarialRequest(
            task=cell.panel.task,
            arms=[players_arm(arm) for arm in cell.arms],
            task_options=cell.options,
            options=_options(AdversarialOptions, cell, conditions),
            samples=None if cell.settings.sample_grids is False else place.directory.absolute() / DIRECTORY,
        )
        ran = compare_players(request, **how)
    else:
        ran = compare(_with_origins(_request(cell, conditions), cell), **how)
    if ran.problem is not None:
        raise ran.problem
    return ran.document.runs


def _measure(
    cell: PlannedCell, place: Place, conditions: Conditions, observer: ExperimentObserver
) -> Sequence[RunRecord]:
    """A run for each seed; one that the directory holds is not made again."""
    request = FisherErrorRequest(
        task=cell.panel.task,
        approximations=_specs(cell),
        task_options=cell.options,
        options=_options(FisherErrorOptions, cell, conditions),
    )
    ran = measure_fisher_errors(request, place=place, observer=observer, own_processes=conditions.own_processes)
    if ran.problem is not None:
        raise ran.problem
    return ran.document.runs


class _SearchLines:
    """Tells of a search, a line for each trial."""

    def __init__(self, observer: ExperimentObserver) -> None:
        self.note = observer.note

    def begun(self, plan: SearchPlan) -> None:
        pass

    def ended(self, news: TrialNews) -> None:
        self.note(f"tuning {news.arm}: trial {news.number + 1} of {news.planned}, {news.settings}")


def _tuned(
    cell: PlannedCell, tune: Tune, storage: Path, conditions: Conditions, observer: ExperimentObserver
) -> PlannedCell:
    """The comparison with the best hyper-parameters that a search of equal budgets finds for each arm.

    An arm without a sound trial keeps its own.
    """
    spaces: dict[str, Mapping[str, Any]] = {
        arm.name: {name: _dimension(values) for name, values in (arm.space or tune.space or {}).items()}
        for arm in cell.arms
    }
    whole = _request(cell, conditions)
    fixed = [
        replace(arm, hyperparameters={k: v for k, v in arm.hyperparameters.items() if k not in spaces[arm.label]})
        for arm in whole.arms
    ]
    asked = replace(whole.options, early_stopping=None, diagnostics=False, seeds=1)
    if tune.epochs is not None or tune.steps is not None:
        asked = replace(asked, epochs=tune.epochs, steps=tune.steps)
    request = SearchRequest(
        run=replace(whole, arms=fixed, options=asked),
        spaces={name: space for name, space in spaces.items() if space},
        options=SearchOptions(
            sampler=tune.sampler,
            trials=tune.trials,
            metric=tune.metric or "training_loss",
            sampler_seed=tune.seed or 0,
            storage=storage,
        ),
    )
    files.make_directory(storage.parent)
    make_worker = _kept_process if conditions.own_processes else _here
    result = search(request, reporter=_SearchLines(observer), make_worker=make_worker)
    if result.interrupted:
        raise KeyboardInterrupt
    found = {}
    for name, arm in result.arms.items():
        if arm.hyperparameters is None:
            observer.note(f"warning: no trial of {name} came to an end; it keeps its hyper-parameters")
        else:
            found[name] = {searched: arm.hyperparameters[searched] for searched in arm.searched}
    return cell.with_searched(found, storage)


def _kept_process(plan: SearchPlan) -> Worker:
    return KeptProcess()


def _here(plan: SearchPlan) -> Worker:
    return LocalWorker(RunStarter(plan.problem))


def _dimension(values: Any) -> Any:
    return values.model_dump() if isinstance(values, SearchedRange) else list(values)
