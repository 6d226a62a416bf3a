"""What the numbers of a request may be. Loads no torch, so that the command line can check them while it parses."""

from __future__ import annotations

from typing import Annotated, Literal

from ngbench.errors import ParameterError
from ngbench.plugins.parameters import Parameter, Range

__all__ = ["ADVERSARIAL_LIMITS", "FISHER_LIMITS", "LIMITS", "LONGEST", "SEARCH_LIMITS", "check_seeds_and_time"]

LONGEST = 1e9
"""Seconds of the longest time limit, about 32 years."""
_COUNT = Annotated[int, Range(minimum=1, maximum=10**9)]

LIMITS = {
    name: Parameter(name, annotation, required=True)
    for name, annotation in {
        "epochs": _COUNT,
        "steps": _COUNT,
        "batch-size": _COUNT,
        "seed": Annotated[int, Range(minimum=0, below=2**63)],
        # A record for each is planned before anything runs.
        "seeds": Annotated[int, Range(minimum=1, maximum=10_000)],
        "turn-steps": _COUNT,
        # More than any machine has cores; a million is more than a process can start.
        "threads": Annotated[int, Range(minimum=1, maximum=1024)],
        "early-stopping": _COUNT,
        "target-loss": float,
        "diagnostics-interval": _COUNT,
        "diagnostics-damping": Annotated[float, Range(above=0)],
    }.items()
}
"""By the name of the option, without the dashes before it."""

ADVERSARIAL_LIMITS = {
    name: Parameter(name, annotation, required=True)
    for name, annotation in {
        "critic-steps": _COUNT,
        "penalty": Annotated[float, Range(minimum=0)],
        "fid-every": _COUNT,
        "fid-samples": Annotated[int, Range(minimum=2, maximum=10**7)],
        "fid-features": Literal[64, 192, 768, 2048],
    }.items()
}
"""Likewise, of the runs of two players."""

FISHER_LIMITS = {"every": Parameter("every", _COUNT, required=True)}
"""Likewise, of the measurement of Fisher errors."""

SEARCH_LIMITS = {
    "trials": Parameter("trials", _COUNT, required=True),
    # Each has a thread here and a process of its own.
    "workers": Parameter("workers", Annotated[int, Range(minimum=1, maximum=256)], required=True),
}
"""Likewise, of a search for hyper-parameters."""


def check_seeds_and_time(seed: int, seeds: int, time_limit: float | None) -> None:
    """Refuse seeds that count up to one which is too large, and time limits that are none.

    Raises:
        ParameterError: naming the value and what is allowed.
    """
    if seed + seeds > 2**63:
        raise ParameterError(f"seeds={seeds} is not allowed with seed={seed}, the last seed must be < 2**63")
    if time_limit is not None and not 0 < time_limit <= LONGEST:
        raise ParameterError(
            f"time-limit={time_limit:g} is not allowed, it must be longer than 0 s and at most {LONGEST:g} s"
        )
