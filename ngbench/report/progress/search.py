"""What the user sees while a search goes on: a line for each trial, and a bar for each arm on a terminal. On stderr."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.text import Text

from ngbench.escaping import terminal
from ngbench.experiments.search.crew import TrialNews
from ngbench.experiments.search.plan import SearchPlan
from ngbench.report.progress.pace import Pace
from ngbench.units import format_number, format_seconds

__all__ = ["SearchProgress"]


class SearchProgress:
    """Shows the progress of a search; a context that is entered before it begins.

    Args:
        console: where to.
        quiet: show nothing.
        introduction: what is to be known before the first trial, a line each.
    """

    def __init__(self, console: Console, *, quiet: bool, introduction: Iterable[str] = ()) -> None:
        self._introduction = introduction
        self._console = console
        self._quiet = quiet
        self._best: dict[str, float] = {}
        self._bars: dict[str, TaskID] = {}
        self._progress: Progress | None = None
        if console.is_terminal and not quiet:
            self._progress = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TextColumn("{task.fields[best]}", markup=False),
                console=console,
                # A thread that draws would take time from the processes that train.
                auto_refresh=False,
            )

    def __enter__(self) -> SearchProgress:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.refresh()
            self._progress.stop()

    def begun(self, plan: SearchPlan) -> None:
        """The search is about to begin."""
        for line in self._introduction:
            self.note(line)
        self._metric = plan.metric
        self._planned, self._over = sum(arm.trials for arm in plan.arms), 0
        self._pace = Pace()
        self._pace.told(0.0)
        if self._progress is not None:
            for arm in plan.arms:
                self._bars[arm.label] = self._progress.add_task(arm.label, total=arm.trials, best="")

    def note(self, line: str) -> None:
        """Say something about the search as a whole."""
        if self._quiet:
            return
        console = self._console if self._progress is None else self._progress.console
        console.print(Text(terminal(line)), highlight=False, soft_wrap=True)
        if self._progress is not None:
            self._progress.refresh()

    def ended(self, news: TrialNews) -> None:
        """A trial ended in this process."""
        outcome = news.outcome
        if outcome.value is not None:
            before = self._best.get(news.arm, outcome.value)
            choose = min if self._metric.direction == "minimize" else max
            self._best[news.arm] = choose(before, outcome.value)
        said = (
            f"{self._metric} {format_number(outcome.value, 4)}"
            if outcome.value is not None
            else outcome.name.replace("_", " ")
        )
        more = f", {outcome.message}" if outcome.message else ""
        again = "" if news.counts else ", to be run again"
        self._over += news.counts
        self.note(
            f"{news.arm}: trial {news.number + 1} of {news.planned}: {news.settings}: {said}{more}, "
            f"{format_seconds(outcome.seconds)}{again}; {self._pace.told(self._over / self._planned)}"
        )
        if self._progress is not None:
            best = self._best.get(news.arm)
            self._progress.update(
                self._bars[news.arm],
                advance=1 if news.counts else 0,
                best="" if best is None else f"best {format_number(best, 4)}",
            )
            self._progress.refresh()
