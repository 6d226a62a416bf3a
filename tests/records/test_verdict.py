from __future__ import annotations

import doctest

import pytest

from ngbench.records import verdict
from ngbench.records.experiments import Verdict
from ngbench.records.thresholds import parse_threshold
from ngbench.records.verdict import Change, judge, limit_of

FIVE_PERCENT = parse_threshold("step_time.ratio:5%")


def test_the_worked_examples_of_the_docstrings_hold():
    assert doctest.testmod(verdict).failed == 0


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.051, 0.2, Verdict.WORSE),
        (0.05, 0.2, Verdict.INCONCLUSIVE),
        (-0.05, 0.05, Verdict.SAME),
        (-0.051, 0.05, Verdict.INCONCLUSIVE),
        (-0.2, -0.051, Verdict.BETTER),
        (-0.2, -0.05, Verdict.INCONCLUSIVE),
        (-0.2, 0.2, Verdict.INCONCLUSIVE),
        (None, None, Verdict.INCONCLUSIVE),
    ],
)
def test_the_whole_interval_decides(low, high, expected):
    assert judge(Change(1.0, 1.0, low, high), FIVE_PERCENT) is expected


def test_the_floor_is_in_seconds_whatever_the_metrics_unit():
    # A unit of the ratio is a reference step of 200 µs, so 20 µs are 0.1 of it.
    change = Change(1.0, 1.08, 0.07, 0.09, seconds_per_unit=200e-6)
    assert limit_of(change, FIVE_PERCENT, floor=20e-6) == pytest.approx(0.1)
    assert judge(change, FIVE_PERCENT) is Verdict.WORSE
    assert judge(change, FIVE_PERCENT, floor=20e-6) is Verdict.SAME


def test_the_floor_leaves_what_is_no_time_alone():
    change = Change(1000, 1001, 1, 1)
    assert judge(change, parse_threshold("phase.refresh.flops:0%"), floor=1.0) is Verdict.WORSE


def test_per_cents_of_a_negative_number_are_of_its_size():
    change = Change(-2.0, -1.8, 0.2, 0.2)
    assert judge(change, parse_threshold("training_loss:5%")) is Verdict.WORSE
    assert judge(change, parse_threshold("training_loss:20%")) is Verdict.SAME


def test_nothing_on_both_sides_has_no_verdict():
    with pytest.raises(ValueError, match="neither"):
        judge(Change(None, None, None, None), FIVE_PERCENT)
