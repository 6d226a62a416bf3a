"""How often the operating system took the processor away from this process.

A step in which that happened took as long as the other programs pleased. Such steps are marked, so that the comparison
of two runs can leave them out; a step that waits of its own accord (for a file, or asleep) is not among them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

__all__ = ["interruptions_of"]

Interruptions = Callable[[], int]
"""Counts up whenever the process is interrupted."""


def _involuntary_switches() -> int:
    # Of all threads: a step waits for the last of them.
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def interruptions_of(device: torch.device) -> Interruptions | None:
    """The counter for work on ``device``; ``None`` where it cannot be known, or would say nothing: a CUDA device goes
    on while the host is interrupted."""
    return None if resource is None or device.type == "cuda" else _involuntary_switches
