"""Whether a metric got worse: one rule for all metrics, which are all better when they are lower.

The rule looks at where the interval of the difference lies, not at its middle. A difference is a regression only
when all of its interval is beyond the limit, so noise widens the interval and leads to *inconclusive*, never to
an alarm. The limit is what the threshold allows and, for times, at least an absolute floor, because a step of a
few microseconds changes by per cents for reasons that no one can put right.
"""

from __future__ import annotations

from dataclasses import dataclass

from ngbench.records.experiments import Verdict
from ngbench.records.thresholds import Threshold

__all__ = ["Change", "judge", "limit_of"]


@dataclass(frozen=True)
class Change:
    """A metric in two documents.

    Attributes:
        baseline: ``None`` for a number that does not exist, such as the loss of a run that diverged.
        current: likewise.
        low: lower end of the interval of ``current - baseline`` in the metric's unit; equal to ``high`` for what
            is counted and not measured; ``None`` where the data support no interval.
        high: upper end.
        n: how many rounds or seeds the smaller side rests on.
        seconds_per_unit: how many seconds one unit of the metric stands for; ``None`` if it is no time.
        note: what else there is to say.
    """

    baseline: float | None
    current: float | None
    low: float | None
    high: float | None
    n: int = 1
    seconds_per_unit: float | None = None
    note: str = ""

    @property
    def relative(self) -> float | None:
        """``current / baseline - 1``, or ``None``.

        >>> Change(2.0, 3.0, None, None).relative
        0.5
        """
        if self.baseline is None or self.current is None or self.baseline == 0:
            return None
        return (self.current - self.baseline) / abs(self.baseline)


def limit_of(change: Change, threshold: Threshold, floor: float = 0.0) -> float:
    """The largest difference that is no regression, in the metric's unit.

    Args:
        change: gives the baseline's value, and whether the metric is a time.
        threshold: what was asked for.
        floor: seconds; differences of time below it are no regression, whatever the threshold.
    """
    limit = threshold.amount * abs(change.baseline or 0.0) if threshold.relative else threshold.amount
    return limit if not change.seconds_per_unit else max(limit, floor / change.seconds_per_unit)


def judge(change: Change, threshold: Threshold, floor: float = 0.0) -> Verdict:
    """The verdict. At least one of the two numbers must exist.

    A step of 10 ms became 0.8 to 1.2 ms slower, 5 % (0.5 ms) were allowed:

    >>> from ngbench.records.thresholds import parse_threshold
    >>> allowed = parse_threshold("step_time:5%")
    >>> print(judge(Change(0.010, 0.011, 0.8e-3, 1.2e-3, seconds_per_unit=1.0), allowed).value)
    worse

    The same difference, measured less well, is no alarm; measured well and small, it is none either:

    >>> print(judge(Change(0.010, 0.011, -0.5e-3, 2.5e-3, seconds_per_unit=1.0), allowed).value)
    inconclusive
    >>> print(judge(Change(0.010, 0.0102, 0.1e-3, 0.3e-3, seconds_per_unit=1.0), allowed).value)
    same
    >>> print(judge(Change(0.010, 0.009, -1.2e-3, -0.8e-3, seconds_per_unit=1.0), allowed).value)
    better

    A step of 50 µs that became 10 µs slower is beyond 5 % but under a floor of 20 µs:

    >>> print(judge(Change(50e-6, 60e-6, 9e-6, 11e-6, seconds_per_unit=1.0), allowed, floor=20e-6).value)
    same

    What is counted is compared exactly, and at 0 % every increase is a regression:

    >>> exact = parse_threshold("phase.accumulate.flops:0%")
    >>> print(judge(Change(1000, 1000, 0, 0), exact).value, judge(Change(1000, 1001, 1, 1), exact).value)
    same worse

    A number that exists no longer (the run diverged, the target is not reached any more) is a regression:

    >>> loss = parse_threshold("training_loss:0.5%")
    >>> print(judge(Change(0.1, None, None, None), loss).value, judge(Change(None, 0.1, None, None), loss).value)
    worse better

    Raises:
        ValueError: neither number exists, so there is nothing to compare.
    """
    if change.baseline is None and change.current is None:
        raise ValueError("neither the baseline nor the current value exists")
    if change.current is None:
        return Verdict.WORSE
    if change.baseline is None:
        return Verdict.BETTER
    if change.low is None or change.high is None:
        return Verdict.INCONCLUSIVE
    limit = limit_of(change, threshold, floor)
    if change.low > limit:
        return Verdict.WORSE
    if change.high < -limit:
        return Verdict.BETTER
    return Verdict.SAME if -limit <= change.low and change.high <= limit else Verdict.INCONCLUSIVE
