"""A search: several processes take trials from one storage until all are over.

It may be asked for any number of times on one storage, at the same time or one after the other, on one machine or on
several: each call does what is left and returns the result of the whole.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from ngbench.arms import file_slug
from ngbench.disk import files
from ngbench.disk.files import write_text
from ngbench.errors import NgbenchError, OutputError
from ngbench.experiments.runs import SilentObserver
from ngbench.experiments.search.arm_results import ArmResult, summarise_arm
from ngbench.experiments.search.crew import Crew, SearchObserver
from ngbench.experiments.search.ledger import Ledger, trial_label
from ngbench.experiments.search.plan import SearchPlan, plan_search
from ngbench.experiments.search.request import SearchOptions, SearchRequest
from ngbench.experiments.search.results import introduce_search, search_document
from ngbench.experiments.search.storage import SharedStorage
from ngbench.experiments.search.trials import KeptProcess
from ngbench.plugins import registry
from ngbench.records.documents import dump
from ngbench.records.environment import describe_environment
from ngbench.records.record import Document, RunRecord
from ngbench.records.store import Store
from ngbench.running.session import one_interrupt
from ngbench.running.workers import Worker
from ngbench.spelling import argument

__all__ = ["BEST_FILE", "SearchResult", "search"]

STORAGE_FILE = "trials.journal"
BEST_FILE = "hyperparameters.yaml"
SEARCH_FILE = "search.json"


@dataclass(frozen=True)
class SearchResult:
    """What a search found so far.

    Attributes:
        document: of it, with the records of the runs: of all processes where they are kept, else of this one.
        arms: what was found for each, by label.
        interrupted: whether the user stopped it; another call does what is left.
        problem: why records could not be written or read, if that is so.
    """

    document: Document
    arms: Mapping[str, ArmResult]
    interrupted: bool = False
    problem: NgbenchError | None = None

    @property
    def has_best(self) -> bool:
        """Whether any trial has a value."""
        return any(arm.hyperparameters is not None for arm in self.arms.values())

    @property
    def error(self) -> NgbenchError | None:
        """That no trial of an arm has a value, if that is so."""
        empty = [arm for arm in self.arms.values() if arm.hyperparameters is None and arm.trials]
        if not empty:
            return None
        texts = [f"{arm.label} ({_outcomes(arm)})" for arm in empty]
        return NgbenchError(
            f"no trial has a value for {'; '.join(texts)}: search other values, or give a larger budget"
        )


def _outcomes(arm: ArmResult) -> str:
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in sorted(arm.outcomes.items()))


def search(
    request: SearchRequest,
    *,
    reporter: SearchObserver | None = None,
    make_worker: Callable[[SearchPlan], Worker] = lambda plan: KeptProcess(),
) -> SearchResult:
    """Search for the hyper-parameters of the arms, each with the same number of trials.

    Args:
        request: what is asked for.
        reporter: told what happens.
        make_worker: makes a worker, which makes the runs of one trial after another.

    Raises:
        UsageError: whatever the user can put right, before any trial is run.
        OutputError: the storage cannot be written any more.
    """
    options, reporter = request.options, reporter or SilentObserver()
    # A plugin that prints must not write into what goes to standard output.
    with redirect_stdout(sys.stderr):
        plan = plan_search(request)
    environment = describe_environment(registry.providers())
    environment.threads = plan.threads
    if options.output is not None:
        _refuse_others(options.output, options.storage, plan)
    with _trials(options) as path, one_interrupt(), redirect_stdout(sys.stderr):
        ledger = Ledger(SharedStorage(path), plan.arms, plan.common, plan.metric.direction)
        reporter.begun(plan)
        for line in plan.introduction:
            reporter.note(line)
        for line in introduce_search(plan):
            reporter.note(line)
        if options.output is None and options.storage is None:
            reporter.note(f"nothing is kept of the trials: {argument('output')} or {argument('storage')} would")
        store = None if options.output is None else Store(options.output, environment, resume=True)
        workers = min(options.workers, sum(arm.trials for arm in plan.arms))
        if workers < options.workers:
            reporter.note(f"{workers} of the {options.workers} workers are used, one for each trial")
        crew = Crew(plan, ledger, store, reporter)
        interrupted = crew.work([make_worker(plan) for _ in range(workers)])
        arms = {arm.label: _summary(plan, ledger, arm.label, arm.trials) for arm in plan.arms}
    problem: NgbenchError | None = crew.keeper.problem
    runs: Sequence[RunRecord] = list(crew.keeper.records.values())
    if store is not None:
        try:
            runs = [run for run in store.recorded() if run.label in _labels(plan)]
        except NgbenchError as error:
            problem = problem or error
    document = search_document(plan, arms, environment, runs)
    if options.output is not None:
        try:
            # The runs have files of their own beside it.
            write_text(dump(document.model_copy(update={"runs": []})), options.output / SEARCH_FILE)
        except OutputError as error:
            problem = problem or error
    return SearchResult(document, arms, interrupted, problem)


def _summary(plan: SearchPlan, ledger: Ledger, label: str, trials: int) -> ArmResult:
    template = plan.templates[label]
    return summarise_arm(
        ledger.attempts(label),
        template.space,
        plan.metric.direction,
        label=label,
        optimizer=template.optimizer,
        hyperparameters=template.hyperparameters,
        planned=trials,
    )


def _labels(plan: SearchPlan) -> set[str]:
    return {trial_label(arm.label, number) for arm in plan.arms for number in range(arm.trials)}


@contextmanager
def _trials(options: SearchOptions) -> Iterator[Path]:
    """The file of the trials; one that lasts as long as the search, where nothing is to be kept."""
    if options.storage is not None:
        yield options.storage
    elif options.output is not None:
        files.make_directory(options.output)
        yield options.output / STORAGE_FILE
    else:
        with TemporaryDirectory(prefix="ngbench-tune-") as scratch:
            yield Path(scratch) / STORAGE_FILE


def _refuse_others(directory: Path, storage: Path | None, plan: SearchPlan) -> None:
    """Refuse an output directory that holds anything but this search.

    Raises:
        OutputError: naming it, and what it holds.
    """
    if not files.is_directory(directory):
        return
    known = {BEST_FILE, SEARCH_FILE, *(f"{STORAGE_FILE}{end}" for end in ("", ".claim", ".lock"))}
    if storage is not None and storage.parent.absolute() == directory.absolute():
        known |= {path.name for path in files.entries(directory) if path.name.startswith(storage.name)}
    slugs = set(map(file_slug, _labels(plan)))
    for path in files.entries(directory):
        record = path.name.rpartition("-seed")[0]
        if path.name in known or record in slugs or path.name.endswith(".part"):
            continue
        raise OutputError(
            f"the output directory {str(directory)!r} holds {path.name!r}, which is not of this search; give another"
        )
