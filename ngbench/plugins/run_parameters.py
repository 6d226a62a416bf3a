"""What every optimizer can be given beside its own hyper-parameters, and the run obeys instead of the optimizer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from ngbench.curvature.bounds import Precision
from ngbench.plugins.parameters import Parameter
from ngbench.schedules import as_schedule, as_warmup

__all__ = ["RUN_PARAMETERS"]

_OF_THE_RUN: Final = object()
"""In the place of a default: what is not given for an optimizer is as for the others of the run."""


@dataclass(frozen=True)
class _Text(Parameter):
    """A text with a grammar of its own."""

    read: Callable[[Any], str] = field(kw_only=True)

    def convert(self, value: Any) -> str:
        return self.read(value)


RUN_PARAMETERS: Final[tuple[Parameter, ...]] = (
    _Text("schedule", str, _OF_THE_RUN, read=as_schedule),
    _Text("warmup", str, _OF_THE_RUN, read=as_warmup),
    Parameter("average", Precision | None, _OF_THE_RUN),
)
