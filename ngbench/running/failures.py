"""What an exception, or the death of a process, means for a run: a status and one sentence."""

from __future__ import annotations

import errno
import os
import signal
import traceback
from collections.abc import Iterator

import torch

from ngbench.errors import NgbenchError, describe, one_line
from ngbench.records.record import RunRecord, Status
from ngbench.running.children import Ended

__all__ = ["died", "failed", "how_it_ended"]

_CPU_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "cannot allocate memory")
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FROM_OUTSIDE = frozenset({"SIGKILL", "SIGTERM", "SIGHUP", "SIGINT"})
"""Signals that a process rarely gives itself."""
_LONGEST_TRACEBACK = 20_000


def failed(record: RunRecord, error: BaseException) -> RunRecord:
    """The record of a run that ``error`` ended: what it had finished, a status and a message."""
    status: Status = "failed"
    if any(_is_out_of_memory(cause) for cause in _causes(error)):
        status = "out_of_memory"
    elif isinstance(error, FloatingPointError):
        # An optimizer that meets NaN or infinite values says so before the loss does.
        status = "diverged"
    if isinstance(error, NgbenchError):
        message = one_line(error)
    elif isinstance(error, OSError) and error.errno in _NO_ROOM:
        where = "" if error.filename is None else f" {str(error.filename)!r}"
        message = f"cannot write{where}: {os.strerror(error.errno)}"
    else:
        message = describe(error)
    return record.model_copy(update={"status": status, "message": message, "traceback": _traceback(error)})


def died(record: RunRecord, end: Ended) -> RunRecord:
    """The record of a run whose process ended by itself."""
    status: Status = "failed"
    if end.out_of_memory:
        status = "out_of_memory"
    elif end.exit_code is not None and _signal_name(-end.exit_code) in _FROM_OUTSIDE:
        status = "killed"
    return record.model_copy(update={"status": status, "message": how_it_ended(end)})


def how_it_ended(end: Ended) -> str:
    """The end of a process, in words."""
    if end.exit_code is None:
        return "the process closed its connection"
    if end.exit_code >= 0:
        return f"the process ended with code {end.exit_code}"
    number = -end.exit_code
    if end.out_of_memory:
        return f"the system killed the process (signal {number}), since memory ran out"
    name = _signal_name(number)
    if name in _FROM_OUTSIDE:
        return f"the process was killed (signal {number}, {name})"
    return f"the process ended by signal {number} ({name})"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(part in one_line(error).lower() for part in _CPU_OUT_OF_MEMORY)


def _traceback(error: BaseException) -> str:
    text = "".join(traceback.format_exception(error))
    half = _LONGEST_TRACEBACK // 2
    return text if len(text) <= _LONGEST_TRACEBACK else f"{text[:half]}\n...\n{text[-half:]}"
