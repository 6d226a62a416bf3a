"""Processes for code of others, which may end there in any way: the parent learns that it ended, and how."""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

from ngbench.data.choice import choose_as_before, stand_ins_taken
from ngbench.errors import describe
from ngbench.running.memory_kills import memory_kills

if TYPE_CHECKING:
    # It is not on every system.
    from multiprocessing.context import ForkServerContext

__all__ = ["Child", "Ended", "expect_children", "settle"]

_UNGUARDED = (
    "Error: processes of the arms import the script that starts them, so it must guard what it calls "
    "by if __name__ == '__main__': (or give own_processes=False)"
)
_LONGEST = 2**30
"""Bytes of a message; a larger length is none, and would be waited for."""


class Ended(Exception):
    """The process is gone.

    Args:
        exit_code: its own, or the negative number of the signal that ended it; ``None`` if it only stopped listening.
        out_of_memory: whether the system killed processes for memory while it lived.
    """

    def __init__(self, exit_code: int | None, out_of_memory: bool) -> None:
        super().__init__(f"the process ended with code {exit_code}")
        self.exit_code = exit_code
        self.out_of_memory = out_of_memory


class Child:
    """A process that executes ``serve(connection, *arguments)``, both of which are sent to it.

    It ends with this process at the latest, and what it writes to standard output goes to standard error.

    Args:
        serve: a function that can be imported by its name.
        arguments: of the function, after its end of the connection.
        fresh: whether it starts anew in any case; forks of one process have their memory at the same places, so that
            their times are more alike than those of processes of different days.
    """

    def __init__(self, serve: Callable[..., None], *arguments: Any, fresh: bool = False) -> None:
        forked = _can_fork() and not fresh
        context = _fork_context() if forked else multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._kills = memory_kills()
        settings = _Settings(dict(os.environ), _standard_error() if forked else None, stand_ins_taken())
        self._process = context.Process(target=_enter, args=(theirs, serve, arguments, settings), daemon=True)
        with _interrupts_held():
            self._start()
        theirs.close()
        if settings.standard_error is not None:
            settings.standard_error.close()

    def _start(self) -> None:
        try:
            with _without_a_script_that_is_no_file():
                self._process.start()
        except RuntimeError as error:
            if "bootstrapping" not in str(error):
                raise
            # This process imports the script that started it, and the script starts processes as it is imported.
            print(_UNGUARDED, file=sys.stderr, flush=True)
            raise SystemExit(1) from None

    def send(self, order: Any) -> None:
        """Tell the process something; one that is gone is noticed by :meth:`receive`."""
        with suppress(OSError):
            self._connection.send(order)

    def receive(self) -> Any:
        """What the process tells next.

        Raises:
            Ended: it is gone, or tells what nobody understands.
        """
        try:
            return pickle.loads(self._connection.recv_bytes(_LONGEST))
        except Exception:
            # Not only the end of the file: code that writes to descriptors which are not its own garbles messages.
            raise self._end() from None

    def kill(self) -> None:
        """End the process; whoever waits in :meth:`receive` learns it."""
        self._process.kill()

    def close(self) -> None:
        """End the process and forget it."""
        self._process.kill()
        self._end()

    def _end(self) -> Ended:
        self._process.join(5)
        exit_code = self._process.exitcode
        self._process.kill()
        self._process.join()
        self._connection.close()
        after = memory_kills()
        killed = exit_code is not None and exit_code == -getattr(signal, "SIGKILL", 0)
        return Ended(exit_code, killed and None not in (self._kills, after) and after != self._kills)


@contextmanager
def _without_a_script_that_is_no_file() -> Iterator[None]:
    """A process imports the script that starts it, which is called ``<stdin>`` where it was piped to Python."""
    main = sys.modules["__main__"]
    path = getattr(main, "__file__", None)
    if path is None or os.path.isfile(path):
        yield
        return
    main.__file__ = None
    try:
        yield
    finally:
        main.__file__ = path


@dataclass(frozen=True)
class _Settings:
    """What a process takes over from the one that starts it."""

    environment: dict[str, str]
    standard_error: Connection[Any, Any] | None
    """``None`` if it is closed, or the process has it anyway."""
    stand_ins: Iterable[str]


def expect_children() -> None:
    """Say that there will be processes: what they need is imported from now on, beside what this process does."""
    if _can_fork():
        from multiprocessing.forkserver import ensure_running

        _fork_context()
        with _interrupts_held():
            ensure_running()


def _can_fork() -> bool:
    """Whether processes are forked, of one that has imported torch but never used it; else they start anew."""
    return sys.platform.startswith("linux") and _server_of.setdefault("process", os.getpid()) == os.getpid()


_server_of: dict[str, int] = {}
"""The process that started the one to fork from: it alone can, and none that is a fork of it."""


def _fork_context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    # The second is what torch imports for the first optimizer that is made.
    context.set_forkserver_preload(["ngbench.running.workers", "torch._dynamo"])
    return context


def _standard_error() -> Connection[Any, Any] | None:
    # A fork has the descriptors that the server was started with. Only a connection is handed on open.
    try:
        return Connection(os.dup(2), readable=False)
    except OSError:
        return None


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """A process that starts inherits that Ctrl-C waits, so that none meets it before it can say what it means."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _die_with_parent() -> None:
    # A parent that was killed closes nothing in time, and an orphan would go on to the end of its epoch.
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _enter(connection: Any, serve: Callable[..., None], arguments: tuple[Any, ...], settings: _Settings) -> None:
    """The main function of a process of :class:`Child`."""
    os.environ.clear()
    os.environ.update(settings.environment)
    if settings.standard_error is not None:
        os.dup2(settings.standard_error.fileno(), 2)
    settle(connection, serve, arguments, settings.stand_ins)


def settle(
    connection: Any,
    serve: Callable[..., None],
    arguments: tuple[Any, ...],
    stand_ins: Iterable[str],
    watch: Callable[[], None] = _die_with_parent,
) -> None:
    """The main function of the process, which it ends.

    Args:
        connection: to the parent.
        serve: what the process is for.
        arguments: of it, after the connection.
        stand_ins: the data sets whose stand-ins the parent took.
        watch: ends the process with its parent; it runs beside ``serve``.
    """
    # Ctrl-C reaches the whole process group; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    # What a plugin prints must not get into an export that the parent writes to stdout.
    with suppress(OSError):
        os.dup2(2, 1)
    # The parent has loaded the same data and said what there is to say of them.
    choose_as_before(stand_ins)
    logging.getLogger("ngbench.data").setLevel(logging.ERROR)
    threading.Thread(target=watch, daemon=True).start()
    try:
        serve(connection, *arguments)
    except (EOFError, OSError):
        # The parent is gone.
        pass
    except BaseException as error:
        print(f"Error: {describe(error)}", file=sys.stderr, flush=True)
    finally:
        # Not sys.exit, which would wait for the threads that a plugin left behind.
        os._exit(1)
