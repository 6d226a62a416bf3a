"""What is kept of an attempt beside what Optuna knows of a trial.

It is read back from a file that anybody may have changed.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Identity", "Marks"]

_Count = Annotated[int, Field(ge=0, lt=1 << 53)]
_Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True)


class WorkerMark(_Strict):
    """The process that makes the attempt."""

    host: str
    pid: Annotated[int, Field(gt=0, lt=1 << 31)]
    started: _Finite


class Told(_Strict):
    """What came of it, without its value."""

    name: str
    message: str | None
    seconds: Annotated[_Finite, Field(ge=0)]
    steps: _Count


class Result(_Strict):
    """What came of it, and whether the trial is over with it."""

    outcome: Told
    counts: bool


class Marks(_Strict):
    """All of it; ``last_sign`` is when the worker was last heard of, in seconds since 1970."""

    trial: _Count
    worker: WorkerMark
    last_sign: _Finite
    result: Result | None = None


class Identity(_Strict):
    """What must be equal for a study to be the one asked for."""

    search: dict[str, object]
    arm: dict[str, object]
