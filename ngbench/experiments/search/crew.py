"""The workers of one process, which take trials from the ledger until all are over, here and elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from ngbench.errors import NgbenchError
from ngbench.experiments.search.ledger import Busy, Ledger, Outcome, TakenTrial
from ngbench.experiments.search.liveness import HEARTBEAT_SECONDS
from ngbench.experiments.search.plan import SearchPlan
from ngbench.experiments.search.samplers import format_point
from ngbench.experiments.search.trials import Keeper, KeptProcess, run_trial
from ngbench.records.store import Store
from ngbench.running.workers import Worker

__all__ = ["Crew", "SearchObserver", "TrialNews"]

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


class SearchObserver(Protocol):
    """Told what happens; its methods are called by one thread at a time."""

    def begun(self, plan: SearchPlan) -> None:
        """The search is about to begin."""

    def note(self, line: str) -> None:
        """Something about the search as a whole."""

    def ended(self, news: TrialNews) -> None:
        """A trial ended in this process."""


class Crew:
    """The workers of this process: a thread for each, which waits for the process that trains.

    Args:
        plan: what is searched.
        ledger: its trials.
        store: keeps the records, if anything does.
        reporter: told what happens.

    Attributes:
        keeper: has the records of the runs that were made.
    """

    def __init__(self, plan: SearchPlan, ledger: Ledger, store: Store | None, reporter: SearchObserver) -> None:
        self._plan = plan
        self._ledger = ledger
        self._reporter = reporter
        self._planned = {arm.label: arm.trials for arm in plan.arms}
        self._stopping = threading.Event()
        self._over = threading.Event()
        self._telling = threading.Lock()
        self._claims: dict[int, TakenTrial] = {}
        self._waiting = False
        self._error: BaseException | None = None
        self.keeper = Keeper(store, self._stopping)

    def work(self, workers: Sequence[Worker]) -> bool:
        """Run trials until all are over, here and elsewhere.

        Returns:
            Whether the user stopped it.
        """
        threads = [threading.Thread(target=self._serve, args=(worker,)) for worker in workers]
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
                for worker in workers:
                    if isinstance(worker, KeptProcess):
                        worker.kill()
                for thread in threads:
                    thread.join(0.1)
            self._over.set()
            for worker in workers:
                worker.end() if isinstance(worker, KeptProcess) else worker.close()
        if self._error is not None:
            raise self._error
        return interrupted

    def _serve(self, worker: Worker) -> None:
        try:
            wait = _FIRST_WAIT
            while not self._stopping.is_set():
                claim = self._ledger.claim()
                if isinstance(claim, TakenTrial):
                    wait = _FIRST_WAIT
                    self._run(claim, worker)
                elif not claim.running:
                    return
                else:
                    self._tell_waiting(claim)
                    self._stopping.wait(wait)
                    wait = min(2 * wait, _LONGEST_WAIT)
        except BaseException as error:
            self._error = self._error or error
            self._stopping.set()

    def _run(self, claim: TakenTrial, worker: Worker) -> None:
        outcome = Outcome("interrupted")
        template = self._plan.templates[claim.arm]
        self._claims[claim.identifier] = claim
        try:
            self._waiting = False
            if not self._stopping.is_set():
                outcome = run_trial(template.planned(claim), self._plan.metric, worker, self.keeper, self._stopping)
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
