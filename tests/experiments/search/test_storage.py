"""A storage survives kills, lies where it was named, and is refused in a sentence if it is not ours."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from filelock import FileLock

from ngbench.disk import locks
from ngbench.errors import OutputError, RecordError, UsageError
from ngbench.experiments.search import ledger as ledger_module
from ngbench.experiments.search import storage as storage_module
from ngbench.experiments.search.ledger import Busy, Ledger, Outcome, TakenTrial
from ngbench.experiments.search.liveness import this_worker
from ngbench.experiments.search.storage import SharedStorage

Open = Callable[..., Ledger]
DONE = Outcome("done", 1.0, None, 2.0, 10)


def run(ledger: Ledger, trials: int) -> None:
    for _ in range(trials):
        claim = ledger.claim()
        assert isinstance(claim, TakenTrial)
        ledger.finish(claim, DONE)


@pytest.fixture
def dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is claimed is claimed by a process that does not exist any more."""
    worker = {**this_worker(), "started": 1.0}
    monkeypatch.setattr(ledger_module, "this_worker", lambda: worker)


def test_a_journal_survives_a_cut_at_any_byte(
    tmp_path: Path, open_ledger: Open, dead: None, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "trials.journal"
    ledger = open_ledger(path, trials=3)
    run(ledger, 1)
    lasting = path.read_bytes()
    run(ledger, 1)
    content = path.read_bytes()
    points = {attempt.number: dict(attempt.point) for attempt in ledger.attempts("a")}
    for cut in range(200):
        rest, next_byte = content[: len(content) - cut], content[len(content) - cut :][:1]
        path.write_bytes(rest)
        caplog.clear()
        run(open_ledger(path, trials=3), 1)
        is_half = not rest.endswith(b"\n") and next_byte != b"\n"
        assert ("is cut off" in caplog.text) == is_half, cut
        found = open_ledger(path, trials=3).attempts("a")
        over = {attempt.number: dict(attempt.point) for attempt in found if attempt.counts}
        assert {number: over.get(number) for number in points} == points, cut
        assert path.read_bytes().startswith(lasting), cut


@pytest.mark.parametrize(
    "tail", [b'{"op_code":4,"worker_id":"x', b"{", b"\0" * 700, b'{"op_code":5,"a":"' + b"x" * 70_000]
)
def test_half_a_line_of_a_killed_process_does_not_hurt_one_that_is_at_work(
    tmp_path: Path, open_ledger: Open, tail: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "trials.journal"
    ledger = open_ledger(path, trials=3)
    run(ledger, 1)
    with path.open("ab") as file:
        file.write(tail)
    run(ledger, 1)
    assert f"only {len(tail)} bytes of it" in caplog.text
    run(open_ledger(path, trials=3), 1)
    assert ledger.claim() == Busy(0)


def test_a_journal_of_nothing_but_half_a_line_begins_anew(tmp_path: Path, open_ledger: Open) -> None:
    path = tmp_path / "trials.journal"
    path.write_bytes(b'{"op_code":0,"worker')
    run(open_ledger(path, trials=1), 1)


@pytest.mark.parametrize("text", ["my notes", '{"op_code":1,\n"my', "[1]", '{"mine": 1}'])
def test_a_file_that_is_no_journal_keeps_its_end(tmp_path: Path, text: str) -> None:
    path = tmp_path / "notes.log"
    path.write_text(text)
    with pytest.raises(RecordError, match="corrupt"):
        SharedStorage(path)
    assert path.read_text() == text


@pytest.mark.parametrize("suffix", [".db", ".journal"])
@pytest.mark.parametrize(
    "name",
    [
        "what?x=1",
        "a?b",
        "p%41q",
        "p%20q",
        "m?mode=memory&x=",
        "a{b}",
        "{SCHEMA_VERSION}",
        "c#d",
        "file:e",
        "f g",
        "ü",
        "@",
    ],
)
def test_the_trials_lie_in_the_file_that_was_named(
    tmp_path: Path, open_ledger: Open, monkeypatch: pytest.MonkeyPatch, name: str, suffix: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(name + suffix)
    run(open_ledger(path, trials=1), 1)
    assert {entry.name for entry in tmp_path.iterdir()} == {path.name, f"{path.name}.claim"}
    assert [attempt.counts for attempt in open_ledger(path.absolute(), trials=1).attempts("a")] == [True]


CHANGES = {
    "newer version": "UPDATE alembic_version SET version_num = 'v99.0.0.a'",
    "unknown state": "UPDATE trials SET state = 'DREAMING'",
    "no parameters": "DELETE FROM trial_params",
    "parameter of another": "UPDATE trial_params SET param_name = 'x' || param_name",
    "text as parameter": "UPDATE trial_params SET param_value = 'much'",
    "choice out of range": "UPDATE trial_params SET param_value = 17",
    "distribution null": "UPDATE trial_params SET distribution_json = 'null'",
    "other distribution": """UPDATE trial_params SET distribution_json =
        '{"name": "FloatDistribution", "attributes": {"low": 0.0, "high": 9.0, "step": null, "log": false}}'""",
    "text as value": "UPDATE trial_values SET value = 'much'",
    "infinite value": "UPDATE trial_values SET value_type = 'INF_POS', value = NULL",
    "no value": "DELETE FROM trial_values",
    "marks null": "UPDATE trial_user_attributes SET value_json = 'null'",
    "marks list": "UPDATE trial_user_attributes SET value_json = '[]'",
    "marks huge": "UPDATE trial_user_attributes SET value_json = '1" + "0" * 400 + "'",
    "marks deep": "UPDATE trial_user_attributes SET value_json = '" + "[" * 100_000 + "'",
    "no marks": "DELETE FROM trial_user_attributes",
    "no result": "DELETE FROM trial_user_attributes WHERE key = 'result'",
    "result unknown": """UPDATE trial_user_attributes SET value_json =
        '{"outcome": {"name": "dreamt", "message": null, "seconds": 1, "steps": 1}, "counts": true}'
        WHERE key = 'result'""",
    "worker null": """UPDATE trial_user_attributes SET
        value_json = '{"host": null, "pid": "x"}' WHERE key = 'worker'""",
    "worker huge": """UPDATE trial_user_attributes SET
        value_json = '{"host": "x", "pid": 99999999999999999999, "started": 1}' WHERE key = 'worker'""",
    "sign text": "UPDATE trial_user_attributes SET value_json = '\"now\"' WHERE key = 'last_sign'",
    "identity null": "UPDATE study_user_attributes SET value_json = 'null'",
    "identity text": "UPDATE study_user_attributes SET value_json = '\"mine\"'",
    "identity list": """UPDATE study_user_attributes SET value_json = '{"search": [1], "arm": null}'""",
    "two directions": "INSERT INTO study_directions (direction, study_id, objective) VALUES ('MAXIMIZE', 1, 1)",
    "no table": "DROP TABLE trials",
}


@pytest.mark.parametrize("change", list(CHANGES))
def test_a_database_that_was_changed_is_refused_in_a_sentence(
    tmp_path: Path, open_ledger: Open, dead: None, change: str
) -> None:
    path = tmp_path / "trials.db"
    ledger = open_ledger(path, trials=4)
    run(ledger, 2)
    ledger.claim()
    with sqlite3.connect(path) as connection:
        connection.execute(CHANGES[change])
    connection.close()
    begun = time.monotonic()
    with pytest.raises(UsageError, match=r"the storage '.*trials\.db' ") as raised:
        open_ledger(path, trials=4).claim()
    assert "\n" not in str(raised.value)
    assert time.monotonic() - begun < 60


LINES = [
    "[1]",
    "5",
    "null",
    "{}",
    "x",
    '{"op_code":99}',
    '{"op_code":"x","worker_id":"y"}',
    '{"op_code":0,"worker_id":"y","study_name":["b"],"directions":"x"}',
    '{"op_code":4,"worker_id":"y","study_id":0,"datetime_start":5}',
    '{"op_code":4,"worker_id":"y","study_id":0,"datetime_start":null}',
    '{"op_code":6,"worker_id":"y","trial_id":2,"state":1,"values":["x"],"datetime_complete":"2026-01-01T00:00:00"}',
    '{"op_code":6,"worker_id":"y","trial_id":2,"state":1,"values":[1.0],"datetime_complete":"2026-01-01T00:00:00"}',
    '{"op_code":8,"worker_id":"y","trial_id":2,"user_attr":{"trial":null}}',
    '{"op_code":8,"worker_id":"y","trial_id":2,"user_attr":{"worker":7}}',
    '{"op_code":2,"worker_id":"y","study_id":0,"user_attr":{"ngbench":[1]}}',
    "[" * 100_000,
    "1" * 5000,
    "\0" * 100,
    "é" * 10,
]


@pytest.mark.parametrize("line", LINES, ids=lambda line: line[:40])
def test_a_journal_with_a_line_of_somebody_else_is_refused_in_a_sentence(
    tmp_path: Path, open_ledger: Open, line: str
) -> None:
    path = tmp_path / "trials.journal"
    ledger = open_ledger(path, trials=4)
    run(ledger, 2)
    ledger.claim()
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    with pytest.raises(RecordError, match=r"the storage '.*trials\.journal' ") as raised:
        open_ledger(path, trials=4).claim()
    assert "\n" not in str(raised.value)
    # Nor does it take down one that has the journal open but with a sentence.
    with suppress(RecordError):
        ledger.attempts("a")


def test_a_journal_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "trials.journal"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(RecordError, match="longer than the 1024 MiB"):
        SharedStorage(path)


@pytest.mark.skipif(os.name == "nt", reason="has no named pipes")
def test_what_is_no_file_is_no_storage(storage_path: Path) -> None:
    os.mkfifo(storage_path)
    with pytest.raises(OutputError, match="it is a pipe, not a file"):
        SharedStorage(storage_path)


def test_a_database_that_another_program_keeps_is_given_up(
    tmp_path: Path, open_ledger: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_module, "_SQLITE_TIMEOUT", 0.2)
    path = tmp_path / "trials.db"
    open_ledger(path)
    connection = sqlite3.connect(path)
    try:
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(OutputError, match="database is locked"):
            open_ledger(path).claim()
    finally:
        connection.close()


def test_what_a_killed_process_left_of_the_lock_of_a_journal_is_taken_away(
    tmp_path: Path, open_ledger: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_module, "_JOURNAL_GRACE", 3)
    path = tmp_path / "trials.journal"
    run(open_ledger(path, trials=2), 1)
    (tmp_path / "trials.journal.lock").symlink_to(path)
    run(open_ledger(path, trials=2), 1)


def test_a_wait_for_another_process_is_said_and_ends(
    storage_path: Path, open_ledger: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(locks, "NOTICE", 0.2)
    monkeypatch.setattr(locks, "PATIENCE", 0.6)
    claim_file = storage_path.with_name(storage_path.name + ".claim")
    with FileLock(claim_file), pytest.raises(OutputError, match=r"has kept the lock '.*\.claim' for"):
        open_ledger(storage_path)
    assert caplog.text.count("waiting for another process that holds the lock") == 1
    run(open_ledger(storage_path, trials=1), 1)


def test_a_wait_that_ends_well_is_said_only_if_it_was_long(
    storage_path: Path, open_ledger: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(locks, "NOTICE", 60.0)
    ledger = open_ledger(storage_path, trials=1)
    lock = FileLock(storage_path.with_name(storage_path.name + ".claim"), thread_local=False)
    lock.acquire()
    threading.Timer(0.3, lock.release).start()
    run(ledger, 1)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_who_is_told_to_hurry_does_not_wait_any_longer(
    tmp_path: Path, open_ledger: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_module, "_HURRY", 0.3)
    path = tmp_path / "trials.journal"
    ledger = open_ledger(path, trials=1)
    threading.Timer(0.3, ledger.hurry).start()
    with FileLock(path.with_name(path.name + ".claim")), pytest.raises(OutputError, match="has kept the lock"):
        ledger.claim()


def test_a_storage_in_a_directory_that_went_away(storage_path: Path, open_ledger: Open) -> None:
    storage = storage_path.parent / "gone" / storage_path.name
    storage.parent.mkdir()
    ledger = open_ledger(storage)
    shutil.rmtree(storage.parent)
    with pytest.raises(OutputError, match="cannot"):
        ledger.claim()
