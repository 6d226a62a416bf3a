from __future__ import annotations

import doctest

import pytest

from ngbench.errors import ParameterError, UnknownNameError
from ngbench.experiments.gate_rules import DEFAULT_THRESHOLDS
from ngbench.records import thresholds
from ngbench.records.quantities import QUANTITIES, quantity_of
from ngbench.records.thresholds import parse_seconds, parse_threshold


def test_the_worked_examples_of_the_docstrings_hold():
    assert doctest.testmod(thresholds).failed == 0


@pytest.mark.parametrize(
    ("text", "metric", "amount", "relative"),
    [
        ("step_time.ratio:5%", "step_time.ratio", 0.05, True),
        ("step_time.ratio:0.05", "step_time.ratio", 0.05, False),
        ("step_time.median:250us", "step_time.median", 250e-6, False),
        ("step_time:1.5 ms", "step_time", 1.5e-3, False),
        ("seconds_to_target:2s", "seconds_to_target", 2.0, False),
        ("phase.refresh.seconds:20%", "phase.refresh.seconds", 0.2, True),
        ("phase.accumulate.flops:0%", "phase.accumulate.flops", 0.0, True),
        ("phase.*.bytes:1MiB", "phase.*.bytes", 2.0**20, False),
        ("peak_memory:64MiB", "peak_memory", 64 * 2.0**20, False),
        ("peak_memory:2GiB", "peak_memory", 2.0**31, False),
        ("optimizer_state:3KiB", "optimizer_state", 3072.0, False),
        ("training_loss:0.5%", "training_loss", 0.005, True),
        ("fisher_error.kpsvd:1e-3", "fisher_error.kpsvd", 1e-3, False),
        ("fisher_error.kfac:rank=2:.5%", "fisher_error.kfac:rank=2", 0.005, True),
    ],
)
def test_a_threshold_is_per_cent_or_a_number_in_a_unit(text, metric, amount, relative):
    found = parse_threshold(text)
    assert str(found.metric) == metric
    assert found.amount == pytest.approx(amount)
    assert found.relative is relative


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("step_time.ratio", "must be METRIC:THRESHOLD"),
        ("training_loss:-1%", "'-1%' must be per cent or a number without unit, at least 0"),
        ("training_loss:1MiB", "without unit"),
        ("peak_memory:1ms", "in B, kB, MB, GB, KiB, MiB, GiB"),
        ("step_time:5MiB", "in us, µs, ms, s, min"),
        ("step_time:fast", "'fast' must be"),
        ("step_time:nan", "'nan' must be"),
        ("step_time:1e999", "not finite"),
    ],
)
def test_a_wrong_threshold_is_named_with_what_is_allowed(text, message):
    with pytest.raises(ParameterError) as error:
        parse_threshold(text)
    assert message in str(error.value)


@pytest.mark.parametrize("text", ["phase..flops", "phase.flops", "loss", "fisher_error."])
def test_an_unknown_metric_is_named_with_those_that_exist(text):
    with pytest.raises(UnknownNameError, match=r"known: best_training_loss, .* and \d+ more"):
        quantity_of(text, "check")


def test_the_defaults_hold_no_seconds():
    found = [parse_threshold(text) for text in DEFAULT_THRESHOLDS]
    assert not any(threshold.metric.compares_absolute_times for threshold in found)


def test_times_and_their_ratios_are_told_apart_from_what_is_counted():
    asked = [one for one in QUANTITIES.values() if "check" in one.asked]
    seconds = {one.form for one in asked if one.compares_absolute_times}
    assert seconds == {"step_time", "step_time.median", "phase.NAME.seconds", "seconds_to_target"}
    assert {one.form for one in asked if one.is_ratio_of_times} == {"step_time.ratio", "phase.NAME.ratio"}


def test_a_duration_cannot_be_relative():
    assert parse_seconds("absolute-floor", "50us") == pytest.approx(50e-6)
    with pytest.raises(ParameterError, match="absolute-floor=5%"):
        parse_seconds("absolute-floor", "5%")


@pytest.mark.parametrize(
    ("old", "new"),
    [("final_loss", "training_loss"), ("step_time.mean", "step_time"), ("time_to_target", "seconds_to_target")],
)
def test_an_old_name_is_refused_with_the_one_of_today(old, new):
    with pytest.raises(ParameterError, match=f"the quantity '{old}' is called '{new}'"):
        parse_threshold(f"{old}:5%")
