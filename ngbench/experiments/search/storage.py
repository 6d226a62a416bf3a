"""The file in which processes share the trials of a search: SQLite, or a journal in the manner of Optuna."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ngbench.disk import locks
from ngbench.disk.files import check_destination
from ngbench.disk.reading import MEBIBYTE, open_regular
from ngbench.errors import NgbenchError, OutputError, ParameterError, RecordError, describe
from ngbench.experiments.search.journal import mend

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

__all__ = ["SharedStorage"]

SUFFIXES = {
    "SQLite": (".db", ".sqlite", ".sqlite3"),
    "journal": (".journal", ".log", ".jsonl"),
}
_SQLITE_HEAD = b"SQLite format 3\x00"
_FOLLOWS = ".claim"

# Our own processes exclude each other before Optuna is asked; these are for those of other programs, and of the dead.
_SQLITE_TIMEOUT = 10.0
_JOURNAL_GRACE = 5
_HURRY = 5.0
_LONGEST_JOURNAL = 1024 * MEBIBYTE


class SharedStorage:
    """An Optuna storage whose every use is one step, which no other process can get between.

    Optuna's own operations are atomic one by one. What a claim needs is several of them, so all go through
    :meth:`exclusive`, which holds a lock on a file beside the storage. The system releases it when a process dies.

    Args:
        path: the file; it is made if it does not exist.

    Raises:
        ParameterError: its suffix is none of :data:`SUFFIXES`.
        OutputError: it cannot be written, or another process keeps it.
        RecordError: it is no storage of its kind.
    """

    def __init__(self, path: Path) -> None:
        import optuna

        self.path = path
        kind = next((kind for kind, suffixes in SUFFIXES.items() if path.suffix.lower() in suffixes), None)
        if kind is None:
            known = "; ".join(f"{', '.join(suffixes)} for {kind}" for kind, suffixes in SUFFIXES.items())
            raise ParameterError(f"storage {str(path)!r} has none of the known suffixes ({known})")
        check_destination(path)
        self._is_journal = kind == "journal"
        self._lock = path.with_name(path.name + _FOLLOWS)
        self._hurried = False
        # What it would say of each trial, and of the study made for each proposal, is said elsewhere.
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with self._held(), self._explained(), self.reading():
            self._storage = self._open_journal() if self._is_journal else self._open_sqlite()

    @contextmanager
    def exclusive(self) -> Iterator[BaseStorage]:
        """The storage, for as long as no other process uses it.

        Raises:
            OutputError: it cannot be read or written, or another process keeps it.
        """
        with self._held(), self._explained():
            # Since the last time a process may have been killed while it wrote.
            if self._is_journal:
                self._mend()
            yield self._storage

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Around what Optuna makes of the content, which may be anything.

        Raises:
            RecordError: it is more than Optuna can make sense of.
        """
        import sqlalchemy.exc
        from optuna.exceptions import StorageInternalError

        try:
            yield
        except (NgbenchError, OSError, sqlalchemy.exc.SQLAlchemyError, StorageInternalError, sqlite3.Error):
            raise
        except Exception as error:
            # Optuna checks nothing of what it reads, so that this is whatever the content leads it to.
            raise RecordError(
                f"the storage {str(self.path)!r} is corrupt or of another version of Optuna ({describe(error)})"
            ) from error

    def hurry(self) -> None:
        """From now on, wait for other processes for a few seconds at most: somebody wants this one to end."""
        self._hurried = True

    @contextmanager
    def _held(self) -> Iterator[None]:
        with locks.locked(self._lock, lambda: min(_HURRY, locks.PATIENCE) if self._hurried else locks.PATIENCE):
            yield

    def _open_journal(self) -> BaseStorage:
        from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock, JournalStorage

        self._read_head(0)
        if self.path.exists() and self.path.stat().st_size > _LONGEST_JOURNAL:
            raise RecordError(
                f"the storage {str(self.path)!r} is longer than the {_LONGEST_JOURNAL // MEBIBYTE} MiB that are allowed"
            )
        lock = JournalFileSymlinkLock(str(self.path), grace_period=_JOURNAL_GRACE)
        # It passes over half a line at the end; what stands before is a journal if this succeeds.
        storage = JournalStorage(JournalFileBackend(str(self.path), lock_obj=lock))
        self._mend()
        return storage

    def _mend(self) -> None:
        if not mend(self.path):
            raise RecordError(f"the storage {str(self.path)!r} is corrupt: its last line is no line of a journal")

    def _open_sqlite(self) -> BaseStorage:
        from optuna.storages import RDBStorage, get_storage
        from sqlalchemy.pool import QueuePool

        head = self._read_head(len(_SQLITE_HEAD))
        if head and head != _SQLITE_HEAD:
            raise RecordError(f"the storage {str(self.path)!r} is no SQLite database")
        path = self.path.absolute()

        def connect() -> sqlite3.Connection:
            return sqlite3.connect(path, timeout=_SQLITE_TIMEOUT, check_same_thread=False)

        # A path in a URL would be read as one: it ends at a question mark, and Optuna fills in what is in braces.
        # The storage keeps finished trials in memory, which no one changes any more.
        return get_storage(RDBStorage("sqlite://", engine_kwargs={"creator": connect, "poolclass": QueuePool}))

    def _read_head(self, length: int) -> bytes:
        """The first bytes of the file, which is a regular one; none if it does not exist."""
        try:
            descriptor = open_regular(self.path)
        except FileNotFoundError:
            return b""
        try:
            return os.read(descriptor, length)
        finally:
            os.close(descriptor)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turns what a damaged or full storage leads to into a sentence."""
        import sqlalchemy.exc
        from optuna.exceptions import StorageInternalError

        try:
            yield
        except (sqlalchemy.exc.SQLAlchemyError, StorageInternalError, sqlite3.Error) as error:
            cause = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
            cause = getattr(cause, "orig", None) or cause
            text = " ".join(str(cause).split())
            raise OutputError(f"the storage {str(self.path)!r} cannot be used: {text}") from error
        except OSError as error:
            raise OutputError(f"the storage {str(self.path)!r} cannot be used: {error.strerror or error}") from error
