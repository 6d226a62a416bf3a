from __future__ import annotations

from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
from gate_documents import build_document, build_run

from ngbench.errors import RecordError
from ngbench.records.drift import drift, trend
from ngbench.records.experiments import Verdict
from ngbench.records.thresholds import parse_threshold
from ngbench.records.verdict import judge

SIMULATED = 1000
THRESHOLD = parse_threshold("step_time:1%")


def found_worse(weeks, rate, spread):
    """How often a step that becomes so much slower in a week is called worse, of records that differ by a spread."""
    random = np.random.default_rng(5)
    values = (1 + rate * np.array(weeks)) * np.exp(random.normal(0, spread, (SIMULATED, len(weeks))))
    return sum(judge(trend(weeks, row), THRESHOLD) is Verdict.WORSE for row in values) / SIMULATED


WEEKLY = [float(week) for week in range(6)]
DAILY = [day / 7 for day in range(36)]


@pytest.mark.parametrize(("weeks", "spread", "least"), [(WEEKLY, 0.005, 0.95), (DAILY, 0.01, 0.99), (DAILY, 0.02, 0.8)])
def test_one_per_cent_a_week_is_found_within_five_and_nothing_where_nothing_drifts(weeks, spread, least):
    assert found_worse(weeks, 0.01, spread) >= least
    assert found_worse(weeks, 0.0, spread) <= 0.01


def test_the_change_is_that_of_the_line_and_its_interval_students():
    weeks, values = [0.0, 1.0, 3.0, 4.0], [1.0, 1.3, 1.2, 1.6]
    slope, first = np.polyfit(weeks, values, 1)
    found = trend(weeks, values)
    assert (found.baseline, found.current) == pytest.approx((first, first + 4 * slope))
    rest = values - np.polyval([slope, first], weeks)
    error = np.sqrt((rest**2).sum() / 2 / 10)
    assert (found.low, found.high) == pytest.approx(
        (4 * (slope - 6.9646 * error), 4 * (slope + 6.9646 * error)), rel=1e-4
    )


def document(week, slower=1.0, **changes):
    """SGD, and KFAC that is slower in all it does."""
    when = datetime(2026, 1, 5, tzinfo=timezone.utc) + timedelta(weeks=week)
    phases = dict.fromkeys(build_run("kfac").phases, slower)
    runs = [
        build_run(label, mood=week, noise=0.001, slower=factors, started_at=when.isoformat())
        for label, factors in (("sgd", {}), ("kfac", phases))
    ]
    return build_document(*runs, **changes)


def check(current, earlier, *rules, **options):
    return drift(
        current, earlier, [parse_threshold(rule) for rule in rules or ["step_time.ratio:1%"]], floor=0, **options
    )


def test_what_becomes_slower_week_by_week_is_worse_and_what_does_not_is_the_same():
    *earlier, current = [document(week, 1.01**week) for week in range(6)]
    report = check(current, earlier[::-1], "step_time.ratio:1%", "training_loss:1%")
    slower, *losses = sorted(report.comparisons, key=lambda found: found.metric)
    assert (slower.arm, slower.verdict, slower.n) == ("kfac", Verdict.WORSE, 6)
    assert slower.relative_change == pytest.approx(0.05, abs=0.005)
    assert slower.note.endswith("% a week, 6 records of 5.0 weeks")
    assert {loss.verdict for loss in losses} == {Verdict.SAME}
    assert report.history == 6
    assert report.error.exit_code == 3
    *earlier, current = [document(week) for week in range(6)]
    assert check(current, earlier).error is None


def test_records_that_do_not_compare_are_left_out_and_said():
    *earlier, current = [document(week, 1.01**week) for week in range(6)]
    other = document(3, processor="Other CPU")
    report = check(current, [*earlier, other])
    (found,) = report.comparisons
    assert found.n == 6
    assert any(
        note.startswith("Of 6 earlier records 1 left out: step_time.ratio: the machine is Other")
        for note in report.notes
    )
    assert check(current, [other, other]).error.exit_code == 4


def test_two_records_make_no_line():
    (found,) = check(document(1, 1.5), [document(0)]).comparisons
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.note == "no line: it takes 3 records of different times, here are 2"


def test_a_run_that_fails_now_is_worse():
    *earlier, current = [document(week) for week in range(4)]
    current.runs[1].status = "failed"
    assert check(current, earlier).error.exit_code == 3


def test_records_without_a_time_are_refused():
    *earlier, current = [document(week) for week in range(4)]
    current.runs[0].started_at = None
    with pytest.raises(RecordError, match="does not say when its runs began"):
        check(current, earlier)
