"""What the numbers of a request may be. Loads no torch, so that the command line can check them while it parses."""

from __future__ import annotations

from typing import Annotated, Literal

from ngbench.parameters import Parameter, Range

__all__ = ["ADVERSARIAL_LIMITS", "FISHER_LIMITS", "LIMITS", "SEARCH_LIMITS"]

_COUNT = Annotated[int, Range(minimum=1)]

LIMITS = {
    name: Parameter(name, annotation, required=True)
    for name, annotation in {
        "epochs": _COUNT,
        "steps": _COUNT,
        "batch-size": _COUNT,
        "seed": Annotated[int, Range(minimum=0, below=2**63)],
        "seeds": _COUNT,
        "turn-steps": _COUNT,
        "threads": _COUNT,
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
        "fid-samples": Annotated[int, Range(minimum=2)],
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
