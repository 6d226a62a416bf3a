"""How a comparison of a study runs: as ``compare``, ``gan`` or ``fisher-error`` would run it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console

from ngbench.arms import ArmSpec
from ngbench.cli.fisher_error_progress import FisherErrorProgress
from ngbench.cli.progress import Reporter, reporter_for
from ngbench.disk import files
from ngbench.errors import RecordError
from ngbench.escaping import terminal
from ngbench.experiments.comparison import compare, compare_players
from ngbench.experiments.fisher_error.measure import measure_fisher_errors
from ngbench.experiments.fisher_error.request import FisherErrorOptions, FisherErrorRequest
from ngbench.experiments.runs import Place
from ngbench.experiments.search.crew import TrialNews
from ngbench.experiments.search.plan import SearchPlan
from ngbench.experiments.search.request import SearchOptions, SearchRequest
from ngbench.experiments.search.search import search
from ngbench.experiments.search.trials import KeptProcess
from ngbench.experiments.studies.checking import players_arm
from ngbench.experiments.studies.evaluation import CellRuns
from ngbench.experiments.studies.models import Range, Study, Tune
from ngbench.experiments.studies.plan import PlannedArm, PlannedCell
from ngbench.plugins import registry
from ngbench.records.quantities import ArmRun
from ngbench.records.record import RunRecord
from ngbench.records.statistics import FAILED
from ngbench.records.store import Store
from ngbench.running.executors import Executor, InProcess, TaskHost
from ngbench.running.option_fields import options_of
from ngbench.running.request import AdversarialOptions, AdversarialRequest, Request, RunOptions
from ngbench.running.samples import DIRECTORY
from ngbench.running.session import one_interrupt
from ngbench.running.settings import Settings as Tuned

__all__ = ["Conditions", "RanCell", "batch_size_of", "cell_name", "run_cell"]

AnyOptions = TypeVar("AnyOptions", bound=RunOptions)

_UNSUCCESSFUL = FAILED | {"interrupted"}


@dataclass(frozen=True)
class Conditions:
    """How all comparisons of a command run.

    Attributes:
        resume: go on with what the directories hold.
        seeds: in the place of what the study says.
        data_dir: where data sets live.
        device: where to compute.
        threads: on the CPU.
        tuned: a file of hyper-parameters, for panels of its task.
        own_processes: each arm in a process of its own.
        count_operations: whether to count the operations of steps, which takes as long as some steps.
        quiet: show no progress.
    """

    resume: bool = False
    seeds: int | None = None
    data_dir: Path | None = None
    device: str = "auto"
    threads: int | None = None
    tuned: Tuned | None = None
    own_processes: bool = True
    count_operations: bool = True
    quiet: bool = False

    @contextmanager
    def watched(self) -> Iterator[Reporter]:
        """Shows the progress of runs; only the first Ctrl-C counts, and what plugins print is no result."""
        with (
            one_interrupt(),
            redirect_stdout(sys.stderr),
            reporter_for(Console(stderr=True), quiet=self.quiet) as reporter,
        ):
            yield reporter

    def note(self, line: str) -> None:
        """Say something, on stderr."""
        if not self.quiet:
            print(terminal(line), file=sys.stderr)


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
        return any(record.status in _UNSUCCESSFUL for record in self.records)


def batch_size_of(cell: PlannedCell) -> int:
    """The batch size of the comparison: the study's, else the task's."""
    if cell.batch_size is not None:
        return cell.batch_size
    task = cell.panel.task
    return registry.any_task(task, registry.task_options(task, cell.options)).batch_size


def cell_name(cell: PlannedCell) -> str:
    """The comparison's directory, ``PANEL-BATCH``."""
    return f"{cell.panel.name}-{batch_size_of(cell)}"


def run_cell(study: Study, cell: PlannedCell, tune: Tune | None, directory: Path, conditions: Conditions) -> RanCell:
    """Make the runs of a comparison, after the search for its hyper-parameters if there is one.

    Args:
        study: that it belongs to.
        cell: what to run.
        tune: the search.
        directory: of the study; the records get a directory in it.
        conditions: how to run.

    Raises:
        UsageError: whatever the user can put right.
    """
    own = directory / cell_name(cell)
    marks = {"study": f"{study.study}, {cell.panel.shown}, batch {batch_size_of(cell)}"}
    cell = _with_file(cell, conditions)
    if study.measure == "fisher-error":
        return _run_fisher_error(cell, own, marks, conditions)
    if tune is not None:
        cell = _tuned(cell, tune, directory / "tune" / f"{own.name}.journal", conditions)
    place = Place(own, conditions.resume, marks)
    place.check()
    with conditions.watched() as observer:
        if study.measure == "gan":
            ran = compare_players(
                _gan_request(cell, own, conditions),
                place=place,
                observer=observer,
                own_processes=conditions.own_processes,
            )
        else:
            ran = compare(
                _request(cell, conditions), place=place, observer=observer, own_processes=conditions.own_processes
            )
    if ran.problem is not None:
        raise ran.problem
    records = ran.document.runs
    arms = {arm.name: [ArmRun(record) for record in records if record.label == arm.name] for arm in cell.arms}
    return RanCell(CellRuns(cell.panel.name, batch_size_of(cell), arms), records, own)


def _with_file(cell: PlannedCell, conditions: Conditions) -> PlannedCell:
    """The arms with what the file of hyper-parameters says of them; what tells the arms of a product apart stays."""
    tuned = conditions.tuned
    if tuned is None or tuned.task != cell.panel.task:
        return cell
    arms, used = [], []
    for arm in cell.arms:
        found = tuned.for_arm(arm.name, arm.runs)
        used += [arm.name] if found is not None else []
        arms.append(replace(arm, hyperparameters={**arm.hyperparameters, **(found or {}), **arm.axes}))
    conditions.note(f"hyper-parameters of {', '.join(used) or 'no arm'}: from {tuned.path}")
    return replace(cell, arms=tuple(arms))


def _seeds(cell: PlannedCell, conditions: Conditions) -> int:
    return conditions.seeds or cell.settings.seeds or 1


def _options(kind: type[AnyOptions], cell: PlannedCell, conditions: Conditions) -> AnyOptions:
    """What the study, and the command, ask of the runs."""
    known = options_of(kind)
    given = {name: getattr(cell.settings, name, None) for name in known}
    if (interval := given.pop("diagnostics", None)) is not None:
        given |= {"diagnostics": True, "diagnostics_interval": interval}
    given |= {"batch_size": batch_size_of(cell), "seeds": _seeds(cell, conditions), "data_dir": conditions.data_dir}
    given |= {"device": conditions.device, "threads": conditions.threads}
    asked = {name: value for name, value in given.items() if name in known and value is not None}
    return kind(count_operations=conditions.count_operations, **asked)


def _request(cell: PlannedCell, conditions: Conditions) -> Request:
    arms = [ArmSpec(arm.name, arm.runs, arm.hyperparameters) for arm in cell.arms]
    return Request(cell.panel.task, arms, cell.options, _options(RunOptions, cell, conditions))


def _gan_request(cell: PlannedCell, directory: Path, conditions: Conditions) -> AdversarialRequest:
    return AdversarialRequest(
        task=cell.panel.task,
        arms=[players_arm(arm) for arm in cell.arms],
        task_options=cell.options,
        options=_options(AdversarialOptions, cell, conditions),
        samples=None if cell.settings.sample_grids is False else directory.absolute() / DIRECTORY,
    )


def _run_fisher_error(cell: PlannedCell, directory: Path, marks: Mapping[str, Any], conditions: Conditions) -> RanCell:
    settings = cell.settings
    request = FisherErrorRequest(
        task=cell.panel.task,
        approximations=[ArmSpec(arm.name, arm.runs, arm.hyperparameters) for arm in cell.arms],
        task_options=cell.options,
        options=_options(FisherErrorOptions, cell, conditions),
    )
    place = Place(directory, conditions.resume, marks)
    place.check()
    records: list[RunRecord] = []
    for seed in range(settings.seed or 0, (settings.seed or 0) + _seeds(cell, conditions)):
        record = _measured(replace(request, options=replace(request.options, seed=seed)), place, conditions)
        records.append(record)
        if record.status == "interrupted":
            break
    arms = {arm.name: [ArmRun(record, arm.name) for record in records] for arm in cell.arms}
    return RanCell(CellRuns(cell.panel.name, batch_size_of(cell), arms), records, directory)


def _measured(request: FisherErrorRequest, place: Place, conditions: Conditions) -> RunRecord:
    """The record of one seed: the one that the directory holds, else made and kept there."""
    assert place.directory is not None
    for record in _recorded(place.directory, conditions):
        if record.seed == request.options.seed and record.status in ("done", "diverged"):
            _refuse_other(record, request, place.directory)
            return record
    with conditions.watched() as observer:
        ran = measure_fisher_errors(
            request, observer=FisherErrorProgress(observer), own_processes=conditions.own_processes
        )
    (record,) = ran.document.runs
    # Each seed goes on in the directory of the one before.
    Store(place.directory, ran.document.environment, resume=True, marks=place.marks).write(record)
    return record


def _recorded(directory: Path, conditions: Conditions) -> list[RunRecord]:
    if not conditions.resume or not files.is_directory(directory):
        return []
    from ngbench.records.environment import describe_environment

    return Store(directory, describe_environment(), resume=True).recorded()


def _refuse_other(record: RunRecord, request: FisherErrorRequest, directory: Path) -> None:
    """Refuse to take a measurement for that of another study, or of another version of this one."""
    held = (record.model_extra or {}).get("fisher_error", {})
    options = registry.task_options(request.task, request.task_options)
    there = (record.task, record.task_options, record.batch_size, record.budget.get("steps"))
    here = (request.task, options, request.options.batch_size, request.options.steps)
    names = list(held.get("approximations", {})) if isinstance(held, dict) else []
    wanted = [arm.label for arm in request.approximations]
    steps = [step for step in range(1, request.options.steps + 1) if (step - 1) % request.options.every == 0]
    same_steps = record.status == "diverged" or held.get("steps") == steps
    if there != here or names != wanted or not same_steps:
        raise RecordError(
            f"{str(directory)!r} holds another measurement with seed {record.seed} than the one to be resumed; "
            "give another output directory"
        )


class _Lines:
    """Tells of a search, a line for each trial."""

    def __init__(self, conditions: Conditions) -> None:
        self._reporter = reporter_for(Console(stderr=True), quiet=conditions.quiet)

    def note(self, line: str) -> None:
        self._reporter.note(line)

    def begun(self, plan: SearchPlan) -> None:
        pass

    def ended(self, news: TrialNews) -> None:
        self._reporter.note(f"tuning {news.arm}: trial {news.number + 1} of {news.planned}, {news.settings}")


def _tuned(cell: PlannedCell, tune: Tune, storage: Path, conditions: Conditions) -> PlannedCell:
    """The comparison with the best hyper-parameters that a search of equal budgets finds for each arm.

    An arm without a sound trial keeps its own.

    Raises:
        KeyboardInterrupt: the user stopped the search; what is finished is in its storage.
    """
    spaces = {
        arm.name: {name: _dimension(values) for name, values in (arm.space or tune.space or {}).items()}
        for arm in cell.arms
    }
    fixed = [
        ArmSpec(
            arm.name,
            arm.runs,
            {name: value for name, value in arm.hyperparameters.items() if name not in spaces[arm.name]},
        )
        for arm in cell.arms
    ]
    whole = _request(cell, conditions)
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
    make_executor = _kept_process if conditions.own_processes else _here_executor
    result = search(request, reporter=_Lines(conditions), make_executor=make_executor)
    if result.interrupted:
        raise KeyboardInterrupt
    arms = []
    for arm in cell.arms:
        best = result.arms[arm.name].hyperparameters
        if best is None:
            conditions.note(f"warning: no trial of {arm.name} came to an end; it keeps its hyper-parameters")
        arms.append(_with_best(arm, best or {}))
    return replace(cell, arms=tuple(arms))


def _kept_process(plan: SearchPlan) -> Executor:
    return KeptProcess()


def _here_executor(plan: SearchPlan) -> Executor:
    return InProcess(TaskHost(plan.problem))


def _dimension(values: Any) -> Any:
    return values.model_dump() if isinstance(values, Range) else list(values)


def _with_best(arm: PlannedArm, best: Mapping[str, Any]) -> PlannedArm:
    return replace(arm, hyperparameters={**arm.hyperparameters, **best})
