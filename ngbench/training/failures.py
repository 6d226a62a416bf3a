"""What an exception, or the death of a process, means for a run: a status and one sentence."""

from __future__ import annotations

import traceback

import torch

from ngbench.errors import NgbenchError
from ngbench.results.record import RunRecord, Status

__all__ = ["died", "failed"]

_CPU_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "cannot allocate memory")
_KILLED = -9


def failed(record: RunRecord, error: Exception) -> RunRecord:
    """The record of a run that ``error`` ended: what it had finished, a status and a message."""
    status: Status = "failed"
    if _is_out_of_memory(error):
        status = "out_of_memory"
    elif isinstance(error, FloatingPointError):
        # An optimizer that meets NaN or infinite values says so before the loss does.
        status = "diverged"
    text = " ".join(str(error).split())
    message = text if isinstance(error, NgbenchError) and text else f"{type(error).__name__}: {text}"
    details = "".join(traceback.format_exception(error))
    return record.model_copy(update={"status": status, "message": message, "traceback": details})


def died(record: RunRecord, exit_code: int | None) -> RunRecord:
    """The record of a run whose process ended by itself."""
    if exit_code == _KILLED:
        status: Status = "out_of_memory"
        message = "the process was killed (signal 9), as the system does when memory runs out"
    else:
        status = "failed"
        how = f"by signal {-exit_code}" if exit_code is not None and exit_code < 0 else f"with code {exit_code}"
        message = f"the process ended {how}"
    return record.model_copy(update={"status": status, "message": message})


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(part in text for part in _CPU_OUT_OF_MEMORY)
