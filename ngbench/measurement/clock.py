"""Clocks: where a step's seconds come from, replaceable by anything with the same four methods.

A clock hands out *marks*, which cost next to nothing to take, and turns two of them into seconds later. On
CUDA a mark is an event in the stream, which the host cannot read before it has synchronised; on the CPU it is
the time itself.
"""

from __future__ import annotations

import time
from typing import Any, Protocol

import torch

__all__ = ["Clock", "clock_for"]


class Clock(Protocol):
    """The source of a run's time."""

    def mark(self) -> Any:
        """The present moment of the device, without waiting for it."""

    def seconds(self, start: Any, end: Any) -> float:
        """Seconds between two marks; both must lie before the last :meth:`synchronise`."""

    def synchronise(self) -> None:
        """Wait for the device, so that all marks taken so far can be read."""

    def release(self) -> None:
        """All marks taken so far have been read and may be used again."""


class CpuClock:
    """Wall time of the process by ``time.perf_counter``."""

    def __init__(self) -> None:
        # An instance attribute that is the builtin itself: one call less for each mark.
        self.mark = time.perf_counter

    def seconds(self, start: float, end: float) -> float:
        return end - start

    def synchronise(self) -> None:
        pass

    def release(self) -> None:
        pass


class CudaClock:
    """Time of the current stream of a CUDA device, by events."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._events: list[torch.cuda.Event] = []
        self._used = 0

    def mark(self) -> torch.cuda.Event:
        if self._used == len(self._events):
            self._events.append(torch.cuda.Event(enable_timing=True))  # type: ignore[no-untyped-call]
        event = self._events[self._used]
        self._used += 1
        event.record()
        return event

    def seconds(self, start: torch.cuda.Event, end: torch.cuda.Event) -> float:
        return float(start.elapsed_time(end)) / 1e3

    def synchronise(self) -> None:
        torch.cuda.synchronize(self._device)

    def release(self) -> None:
        self._used = 0


def clock_for(device: torch.device) -> Clock:
    """The clock that measures work on ``device``."""
    return CudaClock(device) if device.type == "cuda" else CpuClock()
