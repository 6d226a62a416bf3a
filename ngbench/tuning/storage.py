"""The file in which processes share the trials of a search: SQLite, or a journal in the manner of Optuna."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from ngbench.errors import OutputError, ParameterError, RecordError
from ngbench.files import check_destination

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

__all__ = ["SUFFIXES", "SharedStorage"]

SUFFIXES = {
    "SQLite": (".db", ".sqlite", ".sqlite3"),
    "journal": (".journal", ".log", ".jsonl"),
}
_SQLITE_TIMEOUT = 120.0
_SQLITE_HEAD = b"SQLite format 3\x00"
_FOLLOWS = ".claim"


class SharedStorage:
    """An Optuna storage whose every use is one step, which no other process can get between.

    Optuna's own operations are atomic one by one. What a claim needs is several of them, so all go through
    :meth:`exclusive`, which holds a lock on a file beside the storage. The system releases it when a process dies.

    Args:
        path: the file; it is made if it does not exist.

    Raises:
        ParameterError: its suffix is none of :data:`SUFFIXES`.
        OutputError: it cannot be written.
        RecordError: it is no storage of its kind.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        kind = next((kind for kind, suffixes in SUFFIXES.items() if path.suffix.lower() in suffixes), None)
        if kind is None:
            known = "; ".join(f"{', '.join(suffixes)} for {kind}" for kind, suffixes in SUFFIXES.items())
            raise ParameterError(f"storage {str(path)!r} has none of the known suffixes ({known})")
        check_destination(path)
        self._lock = path.with_name(path.name + _FOLLOWS)
        with self._held():
            self._storage = self._open(kind)

    @contextmanager
    def exclusive(self) -> Iterator[BaseStorage]:
        """The storage, for as long as no other process uses it.

        Raises:
            OutputError: it cannot be read or written.
            RecordError: it is corrupt.
        """
        with self._held(), self._explained():
            yield self._storage

    @contextmanager
    def _held(self) -> Iterator[None]:
        try:
            # One lock for each use, so that threads exclude each other as processes do.
            lock = FileLock(self._lock, thread_local=False)
            lock.acquire()
        except OSError as error:
            raise OutputError(f"cannot lock {str(self._lock)!r}: {error.strerror or error}") from error
        try:
            yield
        finally:
            lock.release()

    def _open(self, kind: str) -> BaseStorage:
        import optuna
        from optuna.storages import RDBStorage, get_storage
        from optuna.storages.journal import JournalFileBackend, JournalStorage

        # What it would say of each trial, and of the study made for each proposal, is said elsewhere.
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with self._explained():
            if kind == "journal":
                return JournalStorage(JournalFileBackend(str(self.path)))
            self._check_sqlite()
            # It keeps finished trials in memory, which no one changes any more.
            return get_storage(
                RDBStorage(
                    f"sqlite:///{self.path.absolute()}", engine_kwargs={"connect_args": {"timeout": _SQLITE_TIMEOUT}}
                )
            )

    def _check_sqlite(self) -> None:
        if self.path.exists() and self.path.stat().st_size:
            with self.path.open("rb") as file:
                if file.read(len(_SQLITE_HEAD)) != _SQLITE_HEAD:
                    raise RecordError(f"the storage {str(self.path)!r} is no SQLite database")

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
        except (ValueError, KeyError, AssertionError) as error:
            raise RecordError(f"the storage {str(self.path)!r} is corrupt ({type(error).__name__}: {error})") from error
