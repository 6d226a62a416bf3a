"""Every way in which code of others can end is in the record of its run."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ngbench.errors import DataError, PluginError
from ngbench.records.record import RunRecord
from ngbench.running.children import Child, Ended
from ngbench.running.config import RunConfig
from ngbench.running.failures import died
from ngbench.running.workers import LocalWorker, ProcessWorker

Configure = Callable[..., RunConfig]
RecordOf = Callable[[RunConfig], RunRecord]


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Ending:
    """A run whose first turn raises."""

    def __init__(self, record: RunRecord, error: BaseException) -> None:
        self.record, self.error = record, error

    def prepare(self) -> RunRecord:
        return self.record

    def turn(self, on_step: Any = None) -> RunRecord:
        raise self.error


def raising(error: BaseException) -> LocalWorker:
    return LocalWorker(lambda config, record: Ending(record, error))


def caused(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (RuntimeError("the knob\ncame off"), "failed", "RuntimeError: the knob came off"),
        (SystemExit(0), "failed", "SystemExit: 0"),
        (SystemExit(), "failed", "SystemExit"),
        (GeneratorExit(), "failed", "GeneratorExit"),
        (BaseException("odd"), "failed", "BaseException: odd"),
        (Unspeakable(), "failed", "Unspeakable"),
        (DataError("the pond is dry"), "failed", "the pond is dry"),
        (FloatingPointError("NaN"), "diverged", "FloatingPointError: NaN"),
        (MemoryError(), "out_of_memory", "MemoryError"),
        (caused(PluginError("it failed"), MemoryError()), "out_of_memory", "it failed"),
        (OSError(28, "No space left on device", "a.png"), "failed", "cannot write 'a.png': No space left on device"),
        (OSError(2, "No such file", "a"), "failed", "FileNotFoundError: [Errno 2] No such file: 'a'"),
    ],
)
def test_what_is_raised_becomes_a_status_and_a_sentence(
    configure: Configure, record_of: RecordOf, error: BaseException, status: str, message: str
) -> None:
    worker = raising(error)
    worker.begin(configure(), record_of(configure()))
    assert worker.prepared().status == "running"
    record = worker.turn()
    assert record is not None
    assert (record.status, record.message) == (status, message)


def test_messages_and_tracebacks_have_a_length(configure: Configure, record_of: RecordOf) -> None:
    worker = raising(ValueError("long " * 1_000_000))
    worker.begin(configure(), record_of(configure()))
    assert worker.prepared().status == "running"
    record = worker.turn()
    assert record is not None
    assert record.message is not None
    assert record.message.startswith("ValueError: long long")
    assert record.message.endswith("...")
    assert len(record.model_dump_json()) < 60_000


def test_ctrl_c_is_no_failure_of_the_run(configure: Configure, record_of: RecordOf) -> None:
    worker = raising(KeyboardInterrupt())
    worker.begin(configure(), record_of(configure()))
    assert worker.prepared().status == "running"
    with pytest.raises(KeyboardInterrupt):
        worker.turn()


@pytest.mark.parametrize(
    ("end", "status", "message"),
    [
        (Ended(0, False), "failed", "the process ended with code 0"),
        (Ended(None, False), "failed", "the process closed its connection"),
        (Ended(-9, False), "killed", "the process was killed (signal 9, SIGKILL)"),
        (Ended(-15, False), "killed", "the process was killed (signal 15, SIGTERM)"),
        (Ended(-9, True), "out_of_memory", "the system killed the process (signal 9), since memory ran out"),
        (Ended(-11, False), "failed", "the process ended by signal 11 (SIGSEGV)"),
        (Ended(-99, False), "failed", "the process ended by signal 99 (unknown)"),
    ],
)
def test_the_death_of_a_process_is_called_what_is_known_of_it(
    configure: Configure, record_of: RecordOf, end: Ended, status: str, message: str
) -> None:
    record = died(record_of(configure()), end)
    assert (record.status, record.message) == (status, message)


RUNS = """
    import os
    import signal
    import threading
    import time

    class Leaving:
        def __init__(self, record):
            self.record = record

        def prepare(self):
            return self.record

        def turn(self, on_step=None):
            how = self.record.label
            if how == "exits":
                os._exit(0)
            if how == "interrupts":
                raise KeyboardInterrupt
            if how == "garbles":
                for name in os.listdir("/proc/self/fd"):
                    if os.path.realpath(f"/proc/self/fd/{name}").partition(":")[0].endswith("socket"):
                        os.write(int(name), b"garbage, garbage, garbage")
            if how == "hangs up":
                os.closerange(3, 30)
            if how == "is killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if how == "writes":
                os.write(1, b"loud")
            threading.Thread(target=time.sleep, args=(1000,)).start()
            return self.record.model_copy(update={"status": "done"})

    class Rude:
        def __call__(self, config, record):
            return Leaving(record)
"""


HOW = {"exits": "failed", "interrupts": "failed", "hangs up": "failed", "is killed": "killed", "writes": "done"}
if Path("/proc/self/fd").exists():
    HOW["garbles"] = "failed"


def test_whatever_ends_a_process_ends_its_run_alone(
    configure: Configure,
    record_of: RecordOf,
    distribute: Callable[..., None],
    capfd: pytest.CaptureFixture[str],
) -> None:
    distribute("dist-rude", {"rude_runs": RUNS})
    from rude_runs import Rude  # type: ignore[import-not-found]

    worker = ProcessWorker(Rude)
    statuses = {}
    for how in HOW:
        worker.begin(configure(label=how), record_of(configure(label=how)))
        assert worker.prepared().status == "running"
        record = worker.turn()
        assert record is not None
        statuses[how] = record.status
    worker.close()
    assert statuses == HOW
    out, err = capfd.readouterr()
    assert out == ""
    assert "loud" in err
    assert "Traceback" not in err


class Telling:
    """A run that tells of its process, and of the process that this one came from."""

    def __init__(self, record: RunRecord) -> None:
        self.record = record.model_copy(update={"message": f"{os.getpid()} {os.getppid()}", "status": "done"})

    def prepare(self) -> RunRecord:
        return self.record


def telling() -> Callable[..., Any]:
    return lambda config, record: Telling(record)


def test_a_fresh_process_is_no_fork_and_makes_one_run(configure: Configure, record_of: RecordOf) -> None:
    worker = ProcessWorker(telling, fresh=True)
    found = []
    for _ in range(2):
        worker.begin(configure(), record_of(configure()))
        message = worker.prepared().message
        assert message is not None
        found.append(message.split())
    worker.close()
    assert found[0][0] != found[1][0]
    assert {parent for _, parent in found} == {str(os.getpid())}


def test_memory_is_said_to_have_run_out_only_where_the_system_counted_it(
    monkeypatch: pytest.MonkeyPatch, distribute: Callable[..., None]
) -> None:
    from ngbench.running import children

    distribute("dist-killed", {"killed_child": "import os\n\ndef serve(connection):\n    os.kill(os.getpid(), 9)\n"})
    from killed_child import serve  # type: ignore[import-not-found]

    for counts, known in ([3, 4], True), ([3, 3], False), ([None, None], False):
        found = iter(counts)
        monkeypatch.setattr(children, "memory_kills", lambda found=found: next(found))
        child = Child(serve)
        with pytest.raises(Ended) as caught:
            child.receive()
        assert (caught.value.exit_code, caught.value.out_of_memory) == (-signal.SIGKILL, known)
