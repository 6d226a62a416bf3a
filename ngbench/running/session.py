"""What surrounds the making of runs, whatever is run: interrupts."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["one_interrupt"]


class _Once:
    """Handles the first interrupt, and ignores those after it."""

    def __init__(self, before: Any) -> None:
        self._before = before

    def __call__(self, number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if callable(self._before):
            self._before(number, frame)
        raise KeyboardInterrupt


@contextmanager
def one_interrupt() -> Iterator[None]:
    """Only the first Ctrl-C counts, so that the second does not take away what was finished; may be nested."""
    main = threading.current_thread() is threading.main_thread()
    if not main or isinstance(before := signal.getsignal(signal.SIGINT), _Once):
        yield
        return
    signal.signal(signal.SIGINT, _Once(before))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
