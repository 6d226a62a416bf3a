"""By which rules a gate compares, as a user may set them. Loads no library: the help of commands is made of this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ngbench.running.option_fields import converted, option

__all__ = ["DEFAULT_THRESHOLDS", "DRIFT_THRESHOLDS", "SIDES_THRESHOLDS", "GateRules"]

DEFAULT_THRESHOLDS = (
    "step_time.ratio:5%",
    "phase.*.flops:0%",
    "peak_memory:10%",
    "optimizer_state:0%",
    "training_loss:2%",
    "fid:10%",
    "fisher_error.*:1%",
)
"""What is checked where nothing is asked for."""

SIDES_THRESHOLDS = (
    "step_time:5%",
    "phase.*.flops:0%",
    "phase.*.bytes:0%",
    "optimizer_state:0%",
    "peak_memory:10%",
    "training_loss:2%",
)
"""The same of two sides that take turns on one machine, so that seconds compare."""

DRIFT_THRESHOLDS = ("step_time.ratio:1%", "peak_memory:5%", "training_loss:1%")
"""The same of a history: what may change in the whole course of it."""

DEFAULT_ABSOLUTE_FLOOR = "20us"
"""A difference of time under this is never a regression: it is what the interpreter varies by."""

_RULE = "What fails"
_WHAT = "What is compared"


@dataclass(frozen=True)
class GateRules:
    """How is compared.

    Raises:
        ParameterError: a value is not allowed.
    """

    absolute_floor: str = option(
        DEFAULT_ABSOLUTE_FLOOR,
        "A difference of time under this is no regression.",
        metavar="DURATION",
        panel=_RULE,
    )
    inconclusive: Literal["show", "fail"] = option(
        "show", "Whether what noise hides fails too.", metavar="show|fail", panel=_RULE
    )
    reference: str | None = option(
        None, "Arm that ratios refer to.", metavar="ARM", panel=_WHAT, shown_default="the baseline's first"
    )
    target_loss: float | None = option(
        None,
        "Loss of seconds_to_target and epochs_to_target.",
        metavar="LOSS",
        panel=_WHAT,
        shown_default="the recorded one",
    )
    across_machines: bool = option(
        False, "Compare ratios of times although the processors differ; seconds never are.", panel=_WHAT
    )
    allow_missing_baseline: bool = option(False, "Pass if there is nothing at BASELINE yet.", panel=_WHAT)

    def __post_init__(self) -> None:
        for name, value in converted(self).items():
            object.__setattr__(self, name, value)
