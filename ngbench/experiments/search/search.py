"""A search: several processes take trials from one storage until all are over.

``search`` may be called, or ``ngbench tune`` be started, any number of times on one storage, at the same time or one
after the other, on one machine or on several: each call does what is left and returns the result of the whole.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ngbench.errors import NgbenchError, OutputError
from ngbench.experiments.search.ledger import Busy, Claim, Ledger, Outcome
from ngbench.experiments.search.plan import SearchPlan, SearchRequest, plan_search
from ngbench.experiments.search.samplers import format_point
from ngbench.experiments.search.storage import SharedStorage
from ngbench.experiments.search.summary import ArmResult, summarise_arm
from ngbench.experiments.search.trials import Keeper, KeptProcess, run_trial
from ngbench.experiments.search.workers import HEARTBEAT_SECONDS
from ngbench.records.environment import describe_environment
from ngbench.records.record import EnvironmentRecord, RunRecord
from ngbench.records.store import Store
from ngbench.running.executors import Executor

__all__ = [
    "ArmResult",
    "Reporter",
    "SearchPlan",
    "SearchRequest",
    "SearchResult",
    "TrialNews",
    "open_ledger",
    "plan_search",
    "run_search",
    "search",
]

_FIRST_WAIT, _LONGEST_WAIT = 0.1, 5.0


@dataclass(frozen=True)
class TrialNews:
    """A trial that ended in this process.

    Attributes:
        arm: the arm's label.
        number: of the trial, from 0.
        planned: how many trials the arm has.
        settings: what it tried, as text.
        outcome: what came of it.
        counts: whether the trial is over with it.
    """

    arm: str
    number: int
    planned: int
    settings: str
    outcome: Outcome
    counts: bool


class Reporter(Protocol):
    """Told what happens; its methods are called by one thread at a time."""

    def note(self, line: str) -> None:
        """Something about the search as a whole."""

    def ended(self, news: TrialNews) -> None:
        """A trial ended in this process."""


class _Silent:
    def note(self, line: str) -> None:
        pass

    def ended(self, news: TrialNews) -> None:
        pass


@dataclass(frozen=True)
class SearchResult:
    """What a search found so far.

    Attributes:
        arms: by label, in the order asked for.
        interrupted: whether the user stopped it; another call does what is left.
        records: of the runs that this call made.
        problem: why records could not be written, if that is so.
    """

    arms: Mapping[str, ArmResult]
    interrupted: bool = False
    records: Sequence[RunRecord] = field(default_factory=tuple)
    problem: OutputError | None = None


def search(
    request: SearchRequest,
    *,
    storage: Path,
    output: Path | None = None,
    workers: int = 1,
    reporter: Reporter | None = None,
) -> SearchResult:
    """Search for the hyper-parameters of the arms, each with the same number of trials.

    Args:
        request: what is asked for.
        storage: the file of the trials; one that exists is gone on with.
        output: directory of a record for each trial and seed; ``None`` keeps none.
        workers: how many trials run at the same time, each in a process of its own.
        reporter: told what happens.

    Raises:
        UsageError: whatever the user can put right, before any trial is run.
        OutputError: the storage cannot be written any more.
    """
    # A plugin that prints must not write into what goes to standard output.
    with redirect_stdout(sys.stderr):
        plan = plan_search(request, workers=workers)
    return run_search(plan, open_ledger(plan, storage), output=output, workers=workers, reporter=reporter)


def open_ledger(plan: SearchPlan, storage: Path) -> Ledger:
    """The trials of the search in that file, which is made if it does not exist.

    Raises:
        UsageError: it cannot be used, or is that of another search, naming what differs.
    """
    return Ledger(SharedStorage(storage), plan.arms, plan.common, plan.metric.direction)


def run_search(
    plan: SearchPlan,
    ledger: Ledger,
    *,
    output: Path | None = None,
    workers: int = 1,
    reporter: Reporter | None = None,
    environment: EnvironmentRecord | None = None,
    make_executor: Callable[[], Executor] = KeptProcess,
) -> SearchResult:
    """As :func:`search`, of what is planned already.

    Args:
        plan: what will be searched.
        ledger: its trials.
        output: directory of the records.
        workers: how many trials run at the same time.
        reporter: told what happens.
        environment: goes into the records.
        make_executor: makes where the runs of one worker are executed.
    """
    store = None
    if output is not None:
        environment = describe_environment() if environment is None else environment
        environment.threads = plan.threads
        store = Store(output, environment, resume=True)
    reporter = reporter or _Silent()
    trials = sum(arm.trials for arm in plan.arms)
    if trials < workers:
        reporter.note(f"{trials} of the {workers} workers are used, one for each trial")
        workers = trials
    crew = _Crew(plan, ledger, store, reporter)
    interrupted = crew.work([make_executor() for _ in range(workers)])
    arms = {}
    for arm in plan.arms:
        template = plan.templates[arm.label]
        arms[arm.label] = summarise_arm(
            ledger.attempts(arm.label),
            template.space,
            plan.metric.direction,
            label=arm.label,
            optimizer=template.optimizer,
            hyperparameters=template.hyperparameters,
            planned=arm.trials,
        )
    return SearchResult(arms, interrupted, list(crew.keeper.records.values()), crew.keeper.problem)


class _Crew:
    """The workers of this process: a thread for each, which waits for the process that trains."""

    def __init__(self, plan: SearchPlan, ledger: Ledger, store: Store | None, reporter: Reporter) -> None:
        self._plan = plan
        self._ledger = ledger
        self._reporter = reporter
        self._planned = {arm.label: arm.trials for arm in plan.arms}
        self._stopping = threading.Event()
        self._over = threading.Event()
        self._telling = threading.Lock()
        self._claims: dict[int, Claim] = {}
        self._waiting = False
        self._error: BaseException | None = None
        self.keeper = Keeper(store, self._stopping)

    def work(self, executors: Sequence[Executor]) -> bool:
        """Run trials until all are over, here and elsewhere.

        Returns:
            Whether the user stopped it.
        """
        threads = [threading.Thread(target=self._serve, args=(executor,)) for executor in executors]
        signs = threading.Thread(target=self._give_signs, daemon=True)
        interrupted = False
        try:
            for thread in (*threads, signs):
                thread.start()
            while any(thread.is_alive() for thread in threads) and not self._stopping.is_set():
                self._stopping.wait(0.1)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            everything_over = not any(thread.is_alive() for thread in threads)
            if not everything_over:
                self._stopping.set()
                self._ledger.hurry()
            while any(thread.is_alive() for thread in threads):
                for executor in executors:
                    if isinstance(executor, KeptProcess):
                        executor.kill()
                for thread in threads:
                    thread.join(0.1)
            self._over.set()
            for executor in executors:
                executor.end() if isinstance(executor, KeptProcess) else executor.close()
        if self._error is not None:
            raise self._error
        return interrupted

    def _serve(self, executor: Executor) -> None:
        try:
            wait = _FIRST_WAIT
            while not self._stopping.is_set():
                claim = self._ledger.claim()
                if isinstance(claim, Claim):
                    wait = _FIRST_WAIT
                    self._run(claim, executor)
                elif not claim.running:
                    return
                else:
                    self._tell_waiting(claim)
                    self._stopping.wait(wait)
                    wait = min(2 * wait, _LONGEST_WAIT)
        except BaseException as error:
            self._error = self._error or error
            self._stopping.set()

    def _run(self, claim: Claim, executor: Executor) -> None:
        outcome = Outcome("interrupted")
        template = self._plan.templates[claim.arm]
        self._claims[claim.identifier] = claim
        try:
            self._waiting = False
            if not self._stopping.is_set():
                outcome = run_trial(template.planned(claim), self._plan.metric, executor, self.keeper, self._stopping)
        finally:
            del self._claims[claim.identifier]
            counts = self._ledger.finish(claim, outcome)
        shown = format_point(template.space, claim.point)
        news = TrialNews(claim.arm, claim.number, self._planned[claim.arm], shown, outcome, counts)
        with self._telling:
            self._reporter.ended(news)

    def _tell_waiting(self, busy: Busy) -> None:
        with self._telling:
            if not self._waiting and not self._claims:
                self._waiting = True
                trials = "a trial" if busy.running == 1 else f"{busy.running} trials"
                self._reporter.note(f"waiting for {trials} of other processes")

    def _give_signs(self) -> None:
        while not self._over.wait(HEARTBEAT_SECONDS):
            for claim in list(self._claims.values()):
                # What is wrong with the storage is said when the trial ends.
                with suppress(NgbenchError):
                    self._ledger.sign(claim)
