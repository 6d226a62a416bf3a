"""Locks between processes: a wait is said, has an end, and heeds Ctrl-C; the system releases those of the dead."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from ngbench.errors import OutputError

__all__ = ["LOCK_FILE", "PATIENCE", "directory_taken", "locked"]

logger = logging.getLogger(__name__)

NOTICE = 5.0
"""Seconds after which a wait is said."""

PATIENCE = 120.0
"""Seconds after which it ends."""

LOCK_FILE = ".ngbench.lock"
"""Lies in a directory into which one process writes."""

_POLL = 0.1


@contextmanager
def locked(path: Path, patience: Callable[[], float] = lambda: PATIENCE, *, remove: bool = False) -> Iterator[None]:
    """Hold the lock on the file, which is made if it does not exist, as soon as no other process or thread does.

    Args:
        path: the file.
        patience: how many seconds to wait; asked again and again, so that a wait can be cut short.
        remove: whether the file is removed in the end.

    Raises:
        OutputError: it could not be had in that time, or the system refuses it.
    """
    # A lock of its own for each use, so that threads exclude each other as processes do.
    lock = FileLock(path, thread_local=False)
    begun, said = time.monotonic(), False
    while not _acquired(lock, path, min(_POLL, patience())):
        waited = time.monotonic() - begun
        if waited >= patience():
            raise OutputError(
                f"another process has kept the lock {str(path)!r} for {waited:.0f} s; "
                "end it if it is stopped or hangs, and give the same command again"
            )
        if waited >= NOTICE and not said:
            said = True
            logger.warning(
                "waiting for another process that holds the lock %s, for up to %.0f s", path, patience() - waited
            )
    try:
        yield
    finally:
        _release(lock, path, remove=remove)


@contextmanager
def directory_taken(directory: Path) -> Iterator[None]:
    """Keep other processes that take it, too, out of the directory.

    Raises:
        OutputError: one has taken it before, or the lock cannot be written.
    """
    path = directory / LOCK_FILE
    lock = FileLock(path, thread_local=False)
    if not _acquired(lock, path, 0):
        raise OutputError(
            f"another process is writing into the output directory {str(directory)!r}; "
            "wait until it has ended, or give another directory"
        )
    try:
        yield
    finally:
        _release(lock, path, remove=True)


def _release(lock: FileLock, path: Path, *, remove: bool) -> None:
    # Before it is released, so that nobody's file is removed; who gets one without a name tries again. Windows removes
    # no open file.
    if remove:
        with suppress(OSError):
            path.unlink()
    lock.release()


def _acquired(lock: FileLock, path: Path, seconds: float) -> bool:
    try:
        lock.acquire(timeout=seconds)
    except Timeout:
        return False
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"cannot lock {str(path)!r}: {reason}") from error
    return True
