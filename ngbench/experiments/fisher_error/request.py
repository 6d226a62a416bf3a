"""What a user asks of a measurement of Fisher errors. Loads no torch, as :mod:`ngbench.running.request`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import ClassVar, Literal

from ngbench.arms import ArmSpec
from ngbench.running.limits import Count
from ngbench.running.option_fields import option
from ngbench.running.request import RunOptions

__all__ = ["APPROXIMATIONS", "FisherErrorOptions", "FisherErrorRequest"]

APPROXIMATIONS = "kfac,kpsvd,kfac-corrected,lanczos,deflation"
"""What is measured where nothing else is asked for."""

_TAKEN = {"batch_size", "seed", "seeds", "steps", "device", "dtype", "threads", "data_dir"}


@dataclass(frozen=True)
class FisherErrorOptions(RunOptions):
    """What a user may ask of a run that measures Fisher errors."""

    without: ClassVar[frozenset[str]] = frozenset(one.name for one in fields(RunOptions)) - _TAKEN

    steps: Count = option(300, "Updates of the run.", metavar="N")
    every: Count = option(10, "Measure at every N-th update, beginning with the first.", metavar="N", decides=True)
    layer: str = option(
        "number:5",
        "Which layer: by its name in the model, or else by its number, counted from 1; or all of them. A number that "
        "is also the name of another layer takes name: or number: before it.",
        metavar="NAME|NUMBER|all",
        convert=str,
        decides=True,
    )
    trained_with: Literal["adam", "sgd"] = option("adam", "The optimizer that drives the run.", metavar="adam|sgd")
    fisher: Literal["sampled", "exact"] = option(
        "sampled",
        "Targets sampled from the model, or their exact expectation. Before batch norm in training mode, derivatives "
        "are those of the sum of all losses, and the reference is the Fisher block of these.",
        metavar="sampled|exact",
        decides=True,
    )


@dataclass(frozen=True)
class FisherErrorRequest:
    """What is asked for.

    Attributes:
        task: the task's name.
        approximations: names with their options, as arms.
        task_options: the task's own options, as text.
        options: of the run.
    """

    task: str
    approximations: Sequence[ArmSpec]
    task_options: Mapping[str, str] = field(default_factory=dict)
    options: FisherErrorOptions = field(default_factory=FisherErrorOptions)
