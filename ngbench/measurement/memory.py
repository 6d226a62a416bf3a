"""How much memory a run takes, in bytes.

On CUDA: what the caching allocator has handed out (``torch.cuda.max_memory_allocated``). On the CPU: the
resident set of the process, Python and libraries included, which is why a baseline is kept beside the peak.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import nn

__all__ = ["MemoryMeter", "memory_meter", "parameter_bytes", "state_bytes"]

_CLEAR_REFS = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


class MemoryMeter(ABC):
    """Reads what is in use, and the peak since :meth:`reset`."""

    source: str
    """What the numbers are, in words."""

    @abstractmethod
    def in_use(self) -> int:
        """Bytes in use now."""

    @abstractmethod
    def reset(self) -> None:
        """Forget the peak so far."""

    @abstractmethod
    def peak(self) -> int:
        """The largest number of bytes in use since the last reset."""

    def trim(self) -> None:
        """Give back what is free, so that one run's leavings are not another's baseline."""
        gc.collect()


class CudaMemory(MemoryMeter):
    """The caching allocator of one CUDA device in this process."""

    source = "allocator peak of the CUDA device"

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def in_use(self) -> int:
        return torch.cuda.memory_allocated(self._device)

    def reset(self) -> None:
        torch.cuda.reset_peak_memory_stats(self._device)

    def peak(self) -> int:
        return torch.cuda.max_memory_allocated(self._device)

    def trim(self) -> None:
        super().trim()
        torch.cuda.empty_cache()


class CpuMemory(MemoryMeter):
    """The resident set of this process.

    Linux keeps a high-water mark that can be reset. Elsewhere the peak is that of the whole life of the
    process, and ``source`` says so.
    """

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._resettable = _reset_high_water_mark()
        since = "since the run began" if self._resettable else "since the process began"
        self.source = f"peak resident set of the process {since}"

    def in_use(self) -> int:
        return int(self._process.memory_info().rss)

    def reset(self) -> None:
        if self._resettable:
            _reset_high_water_mark()

    def peak(self) -> int:
        return _high_water_mark() if self._resettable else _lifetime_peak(self._process)

    def trim(self) -> None:
        super().trim()
        if sys.platform == "linux":
            trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
            if trim is not None:
                trim(0)


def _reset_high_water_mark() -> bool:
    try:
        # proc(5): 5 resets the peak resident set to the present one.
        _CLEAR_REFS.write_text("5")
        _high_water_mark()
    except (OSError, ValueError):
        return False
    return True


def _high_water_mark() -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"{_STATUS} has no VmHWM")


def _lifetime_peak(process: psutil.Process) -> int:
    peak_wset = getattr(process.memory_info(), "peak_wset", None)
    if peak_wset is not None:
        return int(peak_wset)
    import resource

    # Bytes on macOS, kibibytes elsewhere.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def memory_meter(device: torch.device) -> MemoryMeter:
    """The meter of the memory in which ``device`` computes."""
    return CudaMemory(device) if device.type == "cuda" else CpuMemory()


def state_bytes(optimizer: torch.optim.Optimizer) -> int:
    """Bytes of the tensors in ``optimizer.state_dict()``; a tensor that occurs twice counts once."""
    seen: dict[tuple[int, int], int] = {}
    _collect(optimizer.state_dict(), seen)
    return sum(seen.values())


def _collect(value: Any, seen: dict[tuple[int, int], int]) -> None:
    if isinstance(value, torch.Tensor):
        seen[(value.data_ptr() or id(value), value.numel())] = value.numel() * value.element_size()
    elif isinstance(value, dict):
        for part in value.values():
            _collect(part, seen)
    elif isinstance(value, list | tuple):
        for part in value:
            _collect(part, seen)


def parameter_bytes(model: nn.Module) -> int:
    """Bytes of the model's parameters."""
    return sum(p.numel() * p.element_size() for p in model.parameters())
