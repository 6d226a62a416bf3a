"""How much worse a metric may get: ``METRIC:THRESHOLD`` read from text.

A per cent is relative to the baseline. A number, with a unit or without, is an absolute difference; without a
unit it is in the metric's own: seconds, bytes, or the plain number that a ratio, a loss, a count or an error is.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from ngbench.errors import ParameterError
from ngbench.records.quantities import Quantity, Unit, quantity_of

__all__ = [
    "Threshold",
    "parse_seconds",
    "parse_threshold",
]


@dataclass(frozen=True)
class Threshold:
    """How much larger than in the baseline a metric may be.

    Attributes:
        metric: of which quantity; its name may be :data:`~ngbench.records.quantities.ANY`.
        amount: a part of the baseline's value if ``relative``, else in the metric's unit; not negative.
        relative: whether it was given in per cent.
        text: as it was given.
    """

    metric: Quantity
    amount: float
    relative: bool
    text: str


_SCALES: dict[str, dict[str, float]] = {
    "seconds": {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0},
    "bytes": {"B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30},
    "number": {},
    "ratio": {},
}
_NUMBER = re.compile(r"(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def parse_threshold(text: str) -> Threshold:
    """The threshold that ``text`` describes.

    >>> parse_threshold("step_time.ratio:5%").amount, parse_threshold("peak_memory:64MiB").amount
    (0.05, 67108864.0)
    >>> parse_threshold("fisher_error.kpsvd:1e-3").relative
    False

    Raises:
        UnknownNameError: there is no such quantity, or none that a check compares.
        ParameterError: the threshold is no number that is 0 or more, or in a unit that the metric does not have.
    """
    name, colon, given = text.strip().rpartition(":")
    if not colon:
        raise ParameterError(f"fail-if {text!r} is not allowed, it must be METRIC:THRESHOLD, e.g. step_time.ratio:5%")
    metric = quantity_of(name.strip(), "check")
    amount, relative = _parse_amount(given.strip(), metric.unit, text)
    return Threshold(metric, amount, relative, text.strip())


def parse_seconds(option: str, text: str) -> float:
    """The seconds that a duration such as ``50us`` or ``1ms`` means.

    Raises:
        ParameterError: it is none.
    """
    amount, relative = _parse_amount(text.strip(), "seconds", f"{option}={text}")
    if relative:
        raise ParameterError(f"{option}={text} is not allowed, it must be a duration such as 50us or 1ms")
    return amount


def _parse_amount(given: str, unit: Unit, text: str) -> tuple[float, bool]:
    match = _NUMBER.match(given)
    suffix = given[match.end() :].strip() if match else ""
    scales = {"": 1.0, **_SCALES[unit]}
    if match is None or (suffix != "%" and suffix not in scales):
        units = ", ".join(_SCALES[unit])
        allowed = f"per cent or a number{f' in {units}' if units else ' without unit'}"
        raise ParameterError(f"{text!r} is not allowed: {given!r} must be {allowed}, at least 0")
    amount = float(match.group())
    if not math.isfinite(amount):
        raise ParameterError(f"{text!r} is not allowed: {given!r} is not finite")
    return (amount / 100, True) if suffix == "%" else (amount * scales[suffix], False)
