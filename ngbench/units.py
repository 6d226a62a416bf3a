"""Numbers, durations, labels and hyper-parameters for people."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

__all__ = [
    "DASH",
    "break_label",
    "counted",
    "enumerated",
    "format_bytes",
    "format_count",
    "format_estimate",
    "format_hyperparameters",
    "format_number",
    "format_seconds",
    "format_seconds_estimate",
    "format_share",
    "spread",
]

_Item = TypeVar("_Item")

DASH = "—"
"""Stands for a number that does not exist."""

_SMALL_SECONDS = ((1e-9, "ns"), (1e-6, "µs"), (1e-3, "ms"), (1.0, "s"))


def format_number(value: float | None, digits: int = 3) -> str:
    """A number to so many significant digits, in scientific notation only where it would not fit otherwise.

    >>> format_number(0.112345, 4), format_number(1234.5), format_number(9.999), format_number(1.2e-9)
    ('0.1123', '1234', '10.0', '1.20e-09')
    """
    if value is None or not math.isfinite(value):
        return DASH
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits - 1}e}")
    exponent = _exponent(rounded)
    if exponent < -4 or exponent >= 7:
        return f"{value:.{digits - 1}e}"
    return f"{value:.{max(0, digits - 1 - exponent)}f}"


def format_estimate(value: float | None, error: float | None, digits: int = 3) -> str:
    """``value ± error``: the error to two significant digits, the value to the same decimal place.

    Without an error, the value alone.

    >>> format_estimate(0.112345, 0.00123), format_estimate(3.0, None), format_estimate(31.0, 240.0)
    ('0.1123 ± 0.0012', '3.00', '31 ± 240')
    """
    if value is None:
        return DASH
    if error is None:
        return format_number(value, digits)
    decimals = _decimals(value, error, digits)
    least = 10.0**-decimals
    shown = f"<{least:.{decimals}f}" if 0 < error < least / 2 else f"{error:.{decimals}f}"
    return f"{value:.{decimals}f} ± {shown}"


def _decimals(value: float, error: float, digits: int) -> int:
    """Decimal places for the pair: two digits of the error, but at most ``digits + 2`` of the value."""
    if error == 0:
        return max(0, digits - 1 - _exponent(value)) if value else digits
    places = 1 - _exponent(float(f"{error:.1e}"))
    return max(0, min(places, digits + 1 - _exponent(value)) if value else places)


def _exponent(value: float) -> int:
    return math.floor(math.log10(abs(value)))


def format_seconds(seconds: float | None) -> str:
    """A duration.

    >>> format_seconds(0.0382), format_seconds(0.9999), format_seconds(83.4), format_seconds(3725)
    ('38.2 ms', '1.00 s', '1 min 23 s', '1 h 02 min')
    """
    if seconds is None or not math.isfinite(seconds):
        return DASH
    if round(seconds) >= 3600:
        hours, minutes = divmod(round(seconds / 60), 60)
        return f"{hours} h {minutes:02d} min"
    if round(seconds) >= 60:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest:02d} s"
    scale, unit = _small_unit(seconds)
    return f"{format_number(seconds / scale)} {unit}"


def format_seconds_estimate(seconds: float | None, error: float | None) -> str:
    """A duration and its error in one unit.

    >>> format_seconds_estimate(0.03824, 0.00041), format_seconds_estimate(0.03824, None)
    ('38.24 ± 0.41 ms', '38.2 ms')
    """
    if seconds is None or not math.isfinite(seconds):
        return DASH
    scale, unit = _small_unit(seconds)
    return f"{format_estimate(seconds / scale, None if error is None else error / scale)} {unit}"


def _small_unit(seconds: float) -> tuple[float, str]:
    rounded = float(f"{seconds:.2e}")
    return next((pair for pair in reversed(_SMALL_SECONDS) if rounded >= pair[0]), _SMALL_SECONDS[0])


def format_bytes(count: float | None) -> str:
    """A number of bytes with an IEC prefix.

    >>> format_bytes(512), format_bytes(1536), format_bytes(3 * 2**30), format_bytes(2**20 - 1)
    ('512 B', '1.50 KiB', '3.00 GiB', '1.00 MiB')
    """
    return _prefixed(count, 1024, ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"))


def format_count(count: float | None) -> str:
    """A number of things with an SI prefix.

    >>> format_count(950), format_count(16000), format_count(2.5e9), format_count(999_999)
    ('950', '16.0 k', '2.50 G', '1.00 M')
    """
    return _prefixed(count, 1000, ("", "k", "M", "G", "T", "P", "E"))


def _prefixed(count: float | None, base: int, prefixes: tuple[str, ...]) -> str:
    if count is None or not math.isfinite(count):
        return DASH
    power, shown = 0, float(round(count))
    while shown >= base and power < len(prefixes) - 1:
        power += 1
        shown = float(format_number(count / base**power))
    if power == 0:
        return f"{count:.0f} {prefixes[0]}".strip()
    return f"{format_number(count / base**power)} {prefixes[power]}"


def format_share(part: float | None) -> str:
    """A part of one as a percentage.

    >>> format_share(0.1234), format_share(None)
    ('12.3 %', '—')
    """
    return DASH if part is None else f"{100 * part:.1f} %"


def format_hyperparameters(hyperparameters: Mapping[str, Any]) -> str:
    """``key=value`` pairs in their order.

    >>> format_hyperparameters({"lr": 0.30000000000000004, "momentum": 0.9, "curvature_interval": "once"})
    'lr=0.3 momentum=0.9 curvature_interval=once'
    """
    return " ".join(
        f"{key}={value:.6g}" if isinstance(value, float) else f"{key}={value}" for key, value in hyperparameters.items()
    )


def break_label(label: str, width: int = 24) -> str:
    """The label in lines that leave room for numbers, broken after a comma, colon, plus or ``@`` where there is one.

    >>> print(break_label("kfac:damping=0.01,lr=0.3,momentum=0.9"))
    kfac:damping=0.01,
      lr=0.3,momentum=0.9
    """
    lines = [""]
    for piece in re.split(r"(?<=[,:@+])", label):
        if lines[-1] and len(lines[-1]) + len(piece) > width:
            lines.append("  ")
        lines[-1] += piece
    return "\n".join(line[at : at + width] for line in lines for at in range(0, max(1, len(line)), width))


def counted(count: int, noun: str) -> str:
    """The number with the noun.

    >>> counted(1, "run"), counted(2, "run")
    ('1 run', '2 runs')
    """
    return f"{count} {noun}{'' if count == 1 else 's'}"


def enumerated(parts: Sequence[str]) -> str:
    """The parts in one phrase.

    >>> enumerated(["a"]), enumerated(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))


def spread(items: Sequence[_Item], most: int) -> list[_Item]:
    """At most so many of the items, evenly spaced, the first and the last among them.

    >>> spread(list(range(10)), 4)
    [0, 3, 6, 9]
    """
    if len(items) <= most:
        return [*items]
    return [items[round(at * (len(items) - 1) / (most - 1))] for at in range(most)]
