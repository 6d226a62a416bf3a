"""The program: the command line in a process that is watched, since plugins are code of others.

A plugin can end its process without a word and with exit code 0, be killed by a signal, or leave threads behind that
never end. The first process loads no plugin. It starts the one that works, hands on the signals that it gets itself,
and says what became of the work where that one does not.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from types import FrameType

from ngbench.cli import main

__all__ = ["run"]

_GRACE = 3.0
"""Seconds that what a plugin registered for the end of the process, or left running, may take."""
_TWICE = 1.0
"""Seconds within which two interrupts are one: Ctrl-C reaches the whole process group, and the watcher hands it on."""


def run() -> int:
    """Run the command line of the process and return its exit code."""
    if not hasattr(os, "fork"):
        return main()
    handed_on = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    told, telling = os.pipe()
    living, life = os.pipe()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # Held until there is somebody to hand them on to; the end of the worker is waited for like a signal.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*handed_on, signal.SIGCHLD})
    worker = os.fork()
    if worker == 0:
        os.close(told)
        os.close(life)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return _work(telling, living)
    os.close(telling)
    os.close(living)
    status, last = _wait(worker, handed_on)
    os.set_blocking(told, False)
    with suppress(BlockingIOError):
        if code := os.read(told, 1):
            return code[0]
    if last is not None and os.WIFSIGNALED(status) and os.WTERMSIG(status) == last:
        # Who sent it expects that this process ends by it.
        signal.signal(last, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {last})
        os.kill(os.getpid(), last)
    print(f"Error: {_describe(status)}", file=sys.stderr)
    return 1


def _wait(worker: int, handed_on: set[signal.Signals]) -> tuple[int, int | None]:
    """Wait for the end of the worker: its status, and the last signal that it was handed."""
    last: int | None = None
    while True:
        number = signal.sigwait({*handed_on, signal.SIGCHLD})
        if number != signal.SIGCHLD:
            last = number
            with suppress(ProcessLookupError):
                os.kill(worker, number)
            continue
        # The signal also says that it was stopped or goes on.
        ended, status = os.waitpid(worker, os.WNOHANG)
        if ended:
            return status, last


def _describe(status: int) -> str:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        with suppress(ValueError):
            return f"the process was ended by signal {number} ({signal.Signals(number).name}) in the middle of its work"
        return f"the process was ended by signal {number} in the middle of its work"
    code = os.WEXITSTATUS(status)
    return f"the process ended with code {code} in the middle of its work, as it does where a plugin ends it"


def _work(telling: int, living: int) -> int:
    threading.Thread(target=_die_with_watcher, args=(living,), daemon=True).start()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _Interrupt())
    code = main()
    with suppress(OSError, ValueError):
        sys.stderr.flush()
    # The result is complete: what plugins write from here on does not belong to it.
    sys.stdout = sys.stderr
    with suppress(OSError):
        os.dup2(2, 1)
    os.write(telling, bytes([code]))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
    signal.setitimer(signal.ITIMER_REAL, _GRACE)
    return code


def _die_with_watcher(living: int) -> None:
    os.read(living, 1)
    os._exit(1)


class _Interrupt:
    """Raises ``KeyboardInterrupt``, once for what comes twice."""

    def __init__(self) -> None:
        self._last = float("-inf")

    def __call__(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if now - self._last >= _TWICE:
            self._last = now
            raise KeyboardInterrupt
