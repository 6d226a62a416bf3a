"""Who is shown the downloads of this process: nobody, until somebody asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

__all__ = ["Advance", "download_watched", "watch_downloads"]

Advance = Callable[[int], None]
"""Called with the number of bytes that have come since the last call."""

Watcher = Callable[[str, int, int | None], AbstractContextManager[Advance]]
"""From the name of a file, the bytes that are there already and those of the whole to what is told of the rest."""


@contextmanager
def _nobody(name: str, start: int, total: int | None) -> Iterator[Advance]:
    yield lambda count: None


_watcher: Watcher = _nobody


def watch_downloads(watcher: Watcher) -> None:
    """Show ``watcher`` every download of this process from now on."""
    global _watcher
    _watcher = watcher


def download_watched(name: str, start: int, total: int | None) -> AbstractContextManager[Advance]:
    """The context in which a file is downloaded.

    Args:
        name: of the file.
        start: bytes that are there already.
        total: bytes of the whole; ``None`` if nobody knows.
    """
    return _watcher(name, start, total)
