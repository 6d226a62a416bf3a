"""What a check could catch: how noise, a threshold and the number of repeats belong together.

``ngbench check`` calls a time worse when the whole interval of its change lies beyond the threshold. On the scale of
logarithms the interval has the half-width ``t e``, with ``e`` the standard error that the rounds of both runs give
and ``t`` Student's quantile, and its middle varies by the standard deviation ``s`` from comparison to comparison.
A slow-down by ``δ`` is therefore caught with probability ``p`` when ``log(1 + δ) = log(1 + θ) + t e + z_p s``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

from ngbench.records.statistics import GATE_CONFIDENCE
from ngbench.records.timing import Timing

__all__ = ["Noise", "noise_of", "repeats_needed", "smallest_regression"]

POWER = 0.95
"""The probability with which a regression is to be caught."""
MOST = 1000
"""Repeats beyond which nobody would go."""


@dataclass(frozen=True)
class Noise:
    """How a time, or a ratio of times, varies where nothing changed; all numbers are relative to it.

    Attributes:
        value: the mean over the runs.
        within: standard error of one run's value, as its rounds give it: what ``check`` sees.
        between: standard deviation of the values of equal runs: what it should see. ``None`` for one run.
        degrees: degrees of freedom of ``within``.
        n: how many equal runs there were.
    """

    value: float
    within: float
    between: float | None
    degrees: float
    n: int

    @property
    def deviation(self) -> float:
        """Standard deviation of the change between two equal runs: the larger of what rounds and runs say.

        >>> Noise(1.0, 0.03, 0.04, 20, 5).deviation == 0.04 * 2**0.5
        True
        """
        return math.sqrt(2) * max(self.within, self.between or 0.0)


def noise_of(timings: Sequence[Timing]) -> Noise | None:
    """The noise of equal runs; ``None`` where none of them has a variance.

    >>> found = noise_of([Timing(1.0, 4e-4, 20, 24), Timing(1.02, 4e-4, 20, 24)])
    >>> round(found.value, 2), round(found.within, 3), round(found.between, 3)
    (1.01, 0.02, 0.014)
    """
    known = [timing for timing in timings if timing.variance is not None and timing.value > 0]
    if not known:
        return None
    logarithms = [math.log(timing.value) for timing in known]
    variances = [timing.variance for timing in known if timing.variance is not None]
    return Noise(
        value=math.exp(math.fsum(logarithms) / len(known)),
        within=math.sqrt(math.fsum(variances) / len(known)),
        between=float(np.std(logarithms, ddof=1)) if len(known) > 1 else None,
        degrees=min(timing.degrees for timing in known),
        n=len(known),
    )


def smallest_regression(noise: Noise, threshold: float, repeats: int = 1) -> float:
    """The smallest relative slow-down that a check with the threshold catches with probability :data:`POWER`.

    A ratio that is known to 1 % in each run, under a threshold of 5 %: slow-downs from 11.1 % on are caught.

    >>> noise = Noise(1.0, 0.01, 0.01, 40, 5)
    >>> round(smallest_regression(noise, 0.05), 4), round(smallest_regression(noise, 0.05, repeats=9), 4)
    (0.1114, 0.0699)

    Args:
        noise: of one run.
        threshold: relative, 0.05 for 5 %.
        repeats: how many times as many rounds (seeds, say) each side has.
    """
    return math.expm1(math.log1p(threshold) + _margin(noise, repeats))


def repeats_needed(noise: Noise, threshold: float) -> int | None:
    """How many repeats it takes for a check to catch a slow-down of twice the threshold with :data:`POWER`.

    ``None`` where :data:`MOST` are too few.

    >>> repeats_needed(Noise(1.0, 0.01, 0.01, 40, 5), 0.05), repeats_needed(Noise(1.0, 0.03, 0.03, 40, 5), 0.05)
    (2, 14)
    """
    room = math.log1p(2 * threshold) - math.log1p(threshold)
    return next((repeats for repeats in range(1, MOST + 1) if _margin(noise, repeats) <= room), None)


def _margin(noise: Noise, repeats: int) -> float:
    quantile = float(stdtrit(2 * noise.degrees * repeats, (1 + GATE_CONFIDENCE) / 2))
    seen = quantile * math.sqrt(2) * noise.within
    return (seen + float(ndtri(POWER)) * noise.deviation) / math.sqrt(repeats)
