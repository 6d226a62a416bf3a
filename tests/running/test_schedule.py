from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ngbench.records.record import History, RunRecord, StepsRecord
from ngbench.running.config import RunConfig
from ngbench.running.run import OnStep
from ngbench.running.schedule import PlannedRun, execute
from ngbench.running.workers import Worker

Configure = Callable[..., RunConfig]
RecordOf = Callable[[RunConfig], RunRecord]


class Script(Worker):
    """Executes runs that last the given number of epochs; writes down who took a turn."""

    def __init__(self, log: list[str], epochs: int, interrupt_at: int | None = None) -> None:
        self.log, self.epochs, self.interrupt_at = log, epochs, interrupt_at
        self.closed = False

    def begin(self, config: RunConfig, record: RunRecord) -> None:
        self.record, self.taken = record, 0
        self.log.append(f"prepare {config.label}{config.seed}")

    def prepared(self) -> RunRecord:
        return self.record

    def turn(self, on_step: OnStep | None = None) -> RunRecord | None:
        self.log.append(f"{self.record.label}{self.record.seed}")
        self.taken += 1
        if self.taken == self.interrupt_at:
            raise KeyboardInterrupt
        if on_step is not None:
            on_step(self.taken, self.epochs, 0.5, 1.0)
        status = "done" if self.taken >= self.epochs else "running"
        self.record = self.record.model_copy(update={"status": status})
        return self.record

    def close(self) -> None:
        self.closed = True


class Notes:
    """Writes down the statuses that it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.steps: list[tuple[str, int]] = []

    def group(self, records: Sequence[RunRecord], seed: int, seeds: int) -> None:
        self.told.append(f"group of {len(records)}")

    def update(self, record: RunRecord) -> None:
        self.told.append(f"{record.label}{record.seed} {record.status}")

    def again(self, process: int, processes: int) -> None:
        self.told.append(f"process {process} of {processes}")

    def step(self, record: RunRecord, step: int, steps: int, loss: float, seconds: float) -> None:
        self.steps.append((record.label, step))


def planned(configure: Configure, record_of: RecordOf, label: str, seed: int = 0) -> PlannedRun:
    config = configure(label=label, seed=seed)
    return PlannedRun(config, record_of(config))


def test_arms_take_turns_and_each_round_begins_with_another(configure: Configure, record_of: RecordOf) -> None:
    log: list[str] = []
    workers = {"a": Script(log, 3), "b": Script(log, 3), "c": Script(log, 2)}
    notes = Notes()
    runs = [planned(configure, record_of, label) for label in "abc"]
    records, interrupted = execute([runs], workers, notes)
    assert log == ["prepare a0", "prepare b0", "prepare c0", *["a0", "b0", "c0"], *["b0", "c0", "a0"], *["a0", "b0"]]
    assert [(record.label, record.status) for record in records] == [("a", "done"), ("b", "done"), ("c", "done")]
    assert not interrupted
    assert all(worker.closed for worker in workers.values())
    assert notes.steps[:3] == [("a", 1), ("b", 1), ("c", 1)]


def test_a_turn_within_an_epoch_is_no_news(configure: Configure, record_of: RecordOf) -> None:
    class Halves(Script):
        """Two turns make an epoch."""

        def turn(self, on_step: OnStep | None = None) -> RunRecord | None:
            record = super().turn(on_step)
            return None if self.taken % 2 else record

    log: list[str] = []
    notes = Notes()
    execute([[planned(configure, record_of, label) for label in "ab"]], {k: Halves(log, 4) for k in "ab"}, notes)
    assert log[2:] == ["a0", "b0", "b0", "a0", "a0", "b0", "b0", "a0"]
    assert notes.told[3:] == ["b0 running", "a0 running", "b0 done", "a0 done"]


def test_the_runs_of_a_seed_are_set_up_beside_each_other(configure: Configure, record_of: RecordOf) -> None:
    class Waiting(Script):
        """Writes down when it is waited for."""

        def prepared(self) -> RunRecord:
            self.log.append(f"wait for {self.record.label}{self.record.seed}")
            return super().prepared()

    log: list[str] = []
    groups = [[planned(configure, record_of, label, seed) for label in "ab"] for seed in (0, 1)]
    execute(groups, {k: Waiting(log, 1) for k in "ab"}, Notes())
    assert [line for line in log if " " in line] == [
        *("prepare a0", "prepare b0", "wait for a0", "wait for b0"),
        *("prepare a1", "prepare b1", "wait for a1", "wait for b1"),
    ]


def test_seeds_follow_each_other(configure: Configure, record_of: RecordOf) -> None:
    log: list[str] = []
    groups = [[planned(configure, record_of, label, seed) for label in "ab"] for seed in (0, 1)]
    records, _ = execute(groups, {"a": Script(log, 1), "b": Script(log, 1)}, Notes())
    assert log == ["prepare a0", "prepare b0", "a0", "b0", "prepare a1", "prepare b1", "a1", "b1"]
    assert [(record.label, record.seed) for record in records] == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]


def test_an_interrupt_keeps_what_was_finished(configure: Configure, record_of: RecordOf) -> None:
    log: list[str] = []
    workers = {"a": Script(log, 1), "b": Script(log, 9, interrupt_at=2)}
    notes = Notes()
    groups = [[planned(configure, record_of, label, seed) for label in "ab"] for seed in (0, 1)]
    records, interrupted = execute(groups, workers, notes)
    assert interrupted
    assert [(record.label, record.seed, record.status) for record in records] == [
        ("a", 0, "done"),
        ("b", 0, "interrupted"),
    ]
    assert notes.told[-1] == "b0 interrupted"
    assert all(worker.closed for worker in workers.values())


def test_a_run_that_is_over_takes_no_turn(configure: Configure, record_of: RecordOf) -> None:
    log: list[str] = []
    over = planned(configure, record_of, "a")
    over = replace(over, record=over.record.model_copy(update={"status": "done"}))
    records, _ = execute(
        [[over, planned(configure, record_of, "b")]], {"a": Script(log, 1), "b": Script(log, 1)}, Notes()
    )
    assert log == ["prepare b0", "b0"]
    assert [record.label for record in records] == ["a", "b"]


class Timed(Script):
    """Each of its runs takes another time, and ends as it is told."""

    def __init__(self, log: list[str], *endings: str) -> None:
        super().__init__(log, 1)
        self.endings = list(endings)

    def turn(self, on_step: OnStep | None = None) -> RunRecord | None:
        record = super().turn(on_step)
        assert record is not None
        steps = StepsRecord(seconds=[float(len(self.log))], kind=["plain"])
        history = History(epoch=[1], step=[1], train_loss=[0.5], validation_loss=[0.5], elapsed_seconds=[1.0])
        changes = {"steps": steps, "history": history, "status": self.endings.pop(0), "message": "it rained"}
        return record.model_copy(update=changes)


def test_runs_are_made_again_by_turns_and_their_times_kept_apart(configure: Configure, record_of: RecordOf) -> None:
    log: list[str] = []
    notes = Notes()
    groups = [[planned(configure, record_of, label, seed) for label in "ab"] for seed in (0, 1)]
    workers = {label: Timed(log, *["done"] * 6) for label in "ab"}
    records, _ = execute(groups, workers, notes, processes=3)
    assert log[:12] == ["prepare a0", "prepare b0", "a0", "b0"] * 3
    assert [record.seed for record in records] == [0, 0, 1, 1]
    for at, record in enumerate(records):
        times = [one.steps.seconds[0] for one in record.processes]
        assert times == [12 * (at // 2) + 3 + at % 2 + 4 * process for process in range(3)]
        assert [made.train_loss for made in record.restarts] == [0.5, 0.5]
    assert [line for line in notes.told if "process" in line] == ["process 2 of 3", "process 3 of 3"] * 2


def test_what_went_wrong_in_another_process_is_said_of_the_run(configure: Configure, record_of: RecordOf) -> None:
    log: list[str] = []
    runs = [planned(configure, record_of, label) for label in "ab"]
    workers = {"a": Timed(log, "done", "killed"), "b": Timed(log, "diverged")}
    (killed, diverged), _ = execute([runs], workers, Notes(), processes=3)
    assert (killed.status, killed.message) == ("killed", "in process 2 of 3: it rained")
    assert (diverged.status, diverged.restarts) == ("diverged", [])


def test_what_has_been_made_again_is_not_made_once_more(configure: Configure, record_of: RecordOf) -> None:
    log: list[str] = []
    (first,), _ = execute(
        [[planned(configure, record_of, "a")]], {"a": Timed(log, "done", "done")}, Notes(), processes=2
    )
    config = configure(label="a", seed=0)
    resumed = PlannedRun(replace(config, resume=True), first, record_of(config))
    (found,), _ = execute([[resumed]], {"a": Timed(log, "done")}, Notes(), processes=3)
    assert log == ["prepare a0", "a0"] * 3
    assert found.restarts[0] == first.restarts[0]
    assert len(found.restarts) == 2
