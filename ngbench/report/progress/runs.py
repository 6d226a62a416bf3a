"""What the user sees while runs go on: bars on a terminal, lines elsewhere, nothing when quiet. On stderr."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from ngbench.errors import explain
from ngbench.escaping import terminal
from ngbench.records.endings import describe_ending
from ngbench.records.record import RunRecord

__all__ = ["Reporter", "reporter_for"]


class Reporter(ABC):
    """Shows progress; a context that is entered before the first run and left after the last."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __enter__(self) -> Reporter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def note(self, line: str) -> None:
        """Say something about the runs as a whole."""
        self._console.print(Text(terminal(line)), highlight=False, soft_wrap=True)

    @abstractmethod
    def group(self, records: Sequence[RunRecord]) -> None:
        """The runs of one seed are about to be set up."""

    @abstractmethod
    def update(self, record: RunRecord) -> None:
        """A run was set up, finished an epoch, or ended."""

    @abstractmethod
    def step(self, record: RunRecord, step: int, steps: int, loss: float) -> None:
        """Within an epoch, a few times a second."""


class _Silent(Reporter):
    def note(self, line: str) -> None:
        pass

    def group(self, records: Sequence[RunRecord]) -> None:
        pass

    def update(self, record: RunRecord) -> None:
        pass

    def step(self, record: RunRecord, step: int, steps: int, loss: float) -> None:
        pass


class _Lines(Reporter):
    """One line for each epoch."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._shown: dict[tuple[str, int], int] = {}

    def group(self, records: Sequence[RunRecord]) -> None:
        pass

    def update(self, record: RunRecord) -> None:
        key, epochs = (record.label, record.seed), len(record.history.epoch)
        if epochs > self._shown.get(key, 0):
            self._shown[key] = epochs
            self.note(f"{_name(record)}: {_epoch(record)}, {_numbers(record)}")
        if record.status != "running":
            self.note(f"{_name(record)}: {_ending(record)}")

    def step(self, record: RunRecord, step: int, steps: int, loss: float) -> None:
        pass


class _Bars(Reporter):
    """One bar for each run of the present seed.

    Drawing happens only when there is news, between steps: a thread that draws would steal time from them.
    """

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._progress = Progress(
            TextColumn("{task.fields[name]}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[epoch]}", markup=False),
            TextColumn("{task.fields[numbers]}", markup=False),
            console=console,
            auto_refresh=False,
        )
        self._bars: dict[tuple[str, int], TaskID] = {}

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bars:
            self._progress.refresh()
            self._progress.stop()

    def note(self, line: str) -> None:
        super().note(line)
        if self._bars:
            self._progress.refresh()

    def group(self, records: Sequence[RunRecord]) -> None:
        self._progress.start()
        for record in records:
            self._bars[(record.label, record.seed)] = self._progress.add_task(
                "", total=None, name=_name(record), epoch="preparing", numbers=""
            )
        self._progress.refresh()

    def update(self, record: RunRecord) -> None:
        total = _total(record)
        over = record.status != "running"
        completed = float(total or 1) if over and record.status == "done" else _completed(record)
        self._progress.update(
            self._bars[(record.label, record.seed)],
            total=total if total is not None or not over else 1.0,
            completed=completed,
            epoch=_ending(record) if over else _epoch(record),
            numbers=_numbers(record),
        )
        self._progress.refresh()

    def step(self, record: RunRecord, step: int, steps: int, loss: float) -> None:
        within = step if record.budget.steps is not None and record.budget.epochs is None else step / steps
        self._progress.update(
            self._bars[(record.label, record.seed)],
            completed=_completed(record) + within,
            epoch=f"{_epoch(record)} + {step}/{steps} steps",
            numbers=f"{_loss_name(record)} {loss:.5g}",
        )
        self._progress.refresh()


class _Dispensable(Reporter):
    """Passes everything on, until that fails once: what shows runs is not worth a run."""

    def __init__(self, console: Console, reporter: Reporter) -> None:
        super().__init__(console)
        self._reporter = reporter

    def __enter__(self) -> Reporter:
        self._try(lambda: self._reporter.__enter__())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._try(lambda: self._reporter.__exit__(kind, error, trace))

    def note(self, line: str) -> None:
        self._try(lambda: self._reporter.note(line))

    def group(self, records: Sequence[RunRecord]) -> None:
        self._try(lambda: self._reporter.group(records))

    def update(self, record: RunRecord) -> None:
        self._try(lambda: self._reporter.update(record))

    def step(self, record: RunRecord, step: int, steps: int, loss: float) -> None:
        self._try(lambda: self._reporter.step(record, step, steps, loss))

    def _try(self, show: Callable[[], object]) -> None:
        try:
            show()
        except Exception as error:
            self._reporter = _Silent(self._console)
            print(f"Warning: progress is no longer shown: {terminal(explain(error)[0])}", file=sys.stderr)


def reporter_for(console: Console, *, quiet: bool) -> Reporter:
    """The reporter that suits where ``console`` writes to; if it fails it says so, and the runs go on."""
    if quiet:
        return _Silent(console)
    return _Dispensable(console, _Bars(console) if console.is_terminal else _Lines(console))


def _name(record: RunRecord) -> str:
    return f"{record.label} seed {record.seed}"


def _total(record: RunRecord) -> float | None:
    return record.budget.steps if record.budget.epochs is None else record.budget.epochs


def _completed(record: RunRecord) -> float:
    history = record.history
    if record.budget.epochs is not None:
        return len(history.epoch)
    return history.step[-1] if history.step else 0


def _epoch(record: RunRecord) -> str:
    of = "" if record.budget.epochs is None else f"/{record.budget.epochs}"
    return f"epoch {len(record.history.epoch)}{of}"


def _loss_name(record: RunRecord) -> str:
    return "train" if record.adversarial is None else "generator_loss"


def _numbers(record: RunRecord) -> str:
    history = record.history
    if not history.epoch:
        return ""
    shown = {_loss_name(record): history.train_loss[-1]}
    if record.adversarial is None:
        shown["validation"] = history.validation_loss[-1]
    shown |= {name: values[-1] for name, values in history.metrics.items()}
    parts = [f"{name} {'–' if value is None else format(value, '.5g')}" for name, value in shown.items()]
    return " ".join([*parts, f"{history.elapsed_seconds[-1]:.1f} s"])


def _ending(record: RunRecord) -> str:
    message = f": {record.message}" if record.message else ""
    return f"{describe_ending(record)}{message}"
