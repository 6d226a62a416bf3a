"""What the user sees while runs go on: bars on a terminal, lines elsewhere, nothing when quiet. On stderr."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

from ngbench.errors import explain
from ngbench.escaping import terminal
from ngbench.records.endings import describe_ending
from ngbench.records.record import RunRecord
from ngbench.report.progress.pace import Pace
from ngbench.units import format_number, format_seconds

__all__ = ["LINES", "Reporter", "reporter_for"]

LINES = 20
"""That are written, at most, of what goes on where there is no terminal; of each of many runs :data:`_LEAST_LINES`."""
_LEAST_LINES = 4
_SETTING_UP = "setting up: data, model, operations of a step"
_WORDS = {
    "generator_loss": "generator",
    "critic_loss": "critic",
    "gradient_penalty": "penalty",
    "fid": "FID",
    "classifier_fid": "classifier-FID",
}
"""What a screen calls the numbers of a record."""


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

    def stage(self, what: str) -> None:
        """What is being done before there are runs, which only who waits at a terminal wants to know."""
        return

    def again(self, process: int, processes: int) -> None:
        """The runs are made again, each in another process, the so-manieth of so many."""
        self.note(f"the same in fresh processes, {process} of {processes}")

    @abstractmethod
    def group(self, records: Sequence[RunRecord], seed: int, seeds: int) -> None:
        """The runs of a seed, which is the so-manieth of so many, are about to be set up."""

    @abstractmethod
    def update(self, record: RunRecord) -> None:
        """A run was set up, finished an epoch, or ended."""

    @abstractmethod
    def step(self, record: RunRecord, step: int, steps: int, loss: float, seconds: float) -> None:
        """Within an epoch, a few times a second: steps of how many, the loss, training time since the run began."""


class _Silent(Reporter):
    def note(self, line: str) -> None:
        pass

    def group(self, records: Sequence[RunRecord], seed: int, seeds: int) -> None:
        pass

    def update(self, record: RunRecord) -> None:
        pass

    def step(self, record: RunRecord, step: int, steps: int, loss: float, seconds: float) -> None:
        pass


class _Whole:
    """How much is done of all runs, those of later seeds included."""

    def __init__(self) -> None:
        self._parts: dict[tuple[str, int], float] = {}
        self._pace = Pace()
        self._runs = 1
        self.seed = ""

    def begin(self, records: Sequence[RunRecord], seed: int, seeds: int) -> None:
        if seed == 1:
            self._parts, self._pace = {}, Pace()
        self._runs = len(records) * seeds
        self.seed = f"seed {seed} of {seeds}" if seeds > 1 else ""
        for record in records:
            self.set(record, _part(record))

    def set(self, record: RunRecord, part: float) -> None:
        self._parts[(record.label, record.seed)] = part

    @property
    def lines(self) -> int:
        """How many a run may write."""
        return max(LINES // self._runs, _LEAST_LINES)

    @property
    def time(self) -> str:
        """That passed, and that is left."""
        return self._pace.told(sum(self._parts.values()) / self._runs)


class _Lines(Reporter):
    """Some lines for each run, evenly spaced, and one for its end."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._whole = _Whole()
        self._shown: dict[tuple[str, int], int] = {}

    def group(self, records: Sequence[RunRecord], seed: int, seeds: int) -> None:
        self._whole.begin(records, seed, seeds)
        arms = f"{len(records)} arms, which take turns" if len(records) > 1 else records[0].label
        self.note(": ".join(filter(None, [self._whole.seed, arms, _SETTING_UP])))
        for record in records:
            self._shown[(record.label, record.seed)] = int(_part(record) * self._whole.lines)

    def update(self, record: RunRecord) -> None:
        part = _part(record)
        self._whole.set(record, part)
        if record.status != "running":
            found = ", ".join(filter(None, [_place(record), _numbers(record)]))
            self.note(f"{self._name(record)}: {found}: {_ending(record)}")
        elif self._is_due(record, part):
            self._tell(record, _place(record), _numbers(record))

    def step(self, record: RunRecord, step: int, steps: int, loss: float, seconds: float) -> None:
        part = _part(record, step, steps, seconds)
        self._whole.set(record, part)
        if step < steps and self._is_due(record, part):
            self._tell(record, _place(record, step, steps, seconds), _loss(record, loss))

    def _tell(self, record: RunRecord, place: str, numbers: str) -> None:
        self.note(f"{self._name(record)}: {place}, {numbers}; {self._whole.time}")

    def _name(self, record: RunRecord) -> str:
        return ", ".join(filter(None, [record.label, self._whole.seed]))

    def _mark(self, part: float) -> int:
        """How many lines are due: the first as soon as anything is done."""
        return int(part * self._whole.lines) + (part > 0)

    def _is_due(self, record: RunRecord, part: float) -> bool:
        key, mark = (record.label, record.seed), self._mark(part)
        due = mark > self._shown.get(key, 0)
        self._shown[key] = max(mark, self._shown.get(key, 0))
        return due


class _Drawn(Progress):
    """Bars, and a line below them."""

    below = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        yield Text(self.below, style="dim")


class _Bars(Reporter):
    """One bar for each run of the present seed.

    Drawing happens only when there is news, between steps: a thread that draws would steal time from them.
    """

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        label = Column(no_wrap=True, max_width=max(console.width // 4, 12), overflow="ellipsis")
        self._progress = _Drawn(
            TextColumn("{task.fields[name]}", markup=False, table_column=label),
            BarColumn(bar_width=12 if console.width < 100 else 24),
            TextColumn("{task.fields[place]}", markup=False),
            TextColumn("{task.fields[numbers]}", markup=False),
            console=console,
            auto_refresh=False,
        )
        self._whole = _Whole()
        self._bars: dict[tuple[str, int], TaskID] = {}

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bars:
            self._draw()
            self._progress.stop()

    def note(self, line: str) -> None:
        super().note(line)
        if self._bars:
            self._progress.refresh()

    def stage(self, what: str) -> None:
        self.note(f"{what} …")

    def group(self, records: Sequence[RunRecord], seed: int, seeds: int) -> None:
        self._progress.start()
        for bar in self._bars.values():
            self._progress.remove_task(bar)
        self._whole.begin(records, seed, seeds)
        self._bars = {
            (record.label, record.seed): self._progress.add_task(
                "", total=1.0, name=terminal(record.label), place="", numbers=""
            )
            for record in records
        }
        for record in records:
            over = record.status != "running"
            self._set(record, _part(record), _ending(record) if over else _SETTING_UP, "")

    def update(self, record: RunRecord) -> None:
        over = record.status != "running"
        self._set(record, _part(record), _ending(record) if over else _place(record), _numbers(record))
        if over and record.status != "done":
            self.note(f"{', '.join(filter(None, [record.label, self._whole.seed]))}: {_ending(record)}")

    def step(self, record: RunRecord, step: int, steps: int, loss: float, seconds: float) -> None:
        part = _part(record, step, steps, seconds)
        self._set(record, part, _place(record, step, steps, seconds), _loss(record, loss))

    def _set(self, record: RunRecord, part: float, place: str, numbers: str) -> None:
        self._whole.set(record, part)
        bar = self._bars[(record.label, record.seed)]
        self._progress.update(bar, completed=part, place=place, numbers=numbers)
        self._draw()

    def _draw(self) -> None:
        self._progress.below = ", ".join(filter(None, [self._whole.seed, self._whole.time]))
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

    def stage(self, what: str) -> None:
        self._try(lambda: self._reporter.stage(what))

    def group(self, records: Sequence[RunRecord], seed: int, seeds: int) -> None:
        self._try(lambda: self._reporter.group(records, seed, seeds))

    def update(self, record: RunRecord) -> None:
        self._try(lambda: self._reporter.update(record))

    def step(self, record: RunRecord, step: int, steps: int, loss: float, seconds: float) -> None:
        self._try(lambda: self._reporter.step(record, step, steps, loss, seconds))

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


def _part(record: RunRecord, step: int = 0, steps: int = 1, seconds: float | None = None) -> float:
    """How much of a run is done, between 0 and 1: as far as the first of its limits says.

    Args:
        record: as of its last epoch.
        step: steps since then.
        steps: of an epoch.
        seconds: training time so far; as of the last epoch by default.
    """
    if record.status != "running":
        return 1.0
    budget, history = record.budget, record.history
    parts = [0.0]
    if budget.epochs is not None:
        parts.append((len(history.epoch) + step / steps) / budget.epochs)
    if budget.steps is not None:
        parts.append((_steps_taken(record) + step) / budget.steps)
    if budget.time_limit_seconds is not None:
        parts.append(_seconds(record, seconds) / budget.time_limit_seconds)
    return min(1.0, max(parts))


def _steps_taken(record: RunRecord) -> int:
    return record.history.step[-1] if record.history.step else 0


def _seconds(record: RunRecord, seconds: float | None) -> float:
    elapsed = record.history.elapsed_seconds
    return (elapsed[-1] if elapsed else 0.0) if seconds is None else seconds


def _place(record: RunRecord, step: int = 0, steps: int = 0, seconds: float | None = None) -> str:
    """Where a run is, of how much; see :func:`_part`."""
    budget, epochs = record.budget, len(record.history.epoch)
    if budget.epochs is None and budget.steps is not None:
        place = f"step {_steps_taken(record) + step} of {budget.steps}"
    else:
        of = "" if budget.epochs is None else f" of {budget.epochs}"
        place = f"epoch {epochs + (step > 0)}{of}" + (f", step {step} of {steps}" if step else "")
    if budget.time_limit_seconds is None:
        return place
    return f"{place}, {_seconds(record, seconds):.0f} s of {format_seconds(budget.time_limit_seconds)}"


def _loss(record: RunRecord, loss: float) -> str:
    return f"{'train' if record.adversarial is None else 'generator'} {format_number(loss, 4)}"


def _numbers(record: RunRecord) -> str:
    """The numbers of the last epoch."""
    history = record.history
    if not history.epoch:
        return ""
    shown = {"train" if record.adversarial is None else "generator": history.train_loss[-1]}
    if record.adversarial is None:
        shown["validation"] = history.validation_loss[-1]
    shown |= {_WORDS.get(name, name): values[-1] for name, values in history.metrics.items()}
    return ", ".join(f"{name} {format_number(value, 4)}" for name, value in shown.items())


def _ending(record: RunRecord) -> str:
    message = f": {record.message}" if record.message else ""
    return f"{describe_ending(record)}{message}"
