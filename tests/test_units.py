from __future__ import annotations

import doctest
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ngbench import units


def test_the_worked_examples_of_the_docstrings_hold():
    assert doctest.testmod(units).failed == 0


@pytest.mark.parametrize(
    "function", [units.format_number, units.format_seconds, units.format_bytes, units.format_count]
)
@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_a_number_that_does_not_exist_is_a_dash(function, value):
    assert function(value) == units.DASH


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 ns"),
        (2.5e-7, "250 ns"),
        (1.234e-5, "12.3 µs"),
        (0.0009996, "1.00 ms"),
        (59.4, "59.4 s"),
        (59.6, "1 min 00 s"),
        (3599.7, "1 h 00 min"),
        (7199, "2 h 00 min"),
    ],
)
def test_seconds(seconds, shown):
    assert units.format_seconds(seconds) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.00 KiB"), (10 * 2**20, "10.0 MiB"), (2**40, "1.00 TiB")],
)
def test_bytes(count, shown):
    assert units.format_bytes(count) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0"), (999, "999"), (1000, "1.00 k"), (843_000, "843 k"), (999_499, "999 k"), (3e12, "3.00 T")],
)
def test_counts(count, shown):
    assert units.format_count(count) == shown


@pytest.mark.parametrize(
    ("value", "error", "shown"),
    [
        (12.345, 0.0996, "12.35 ± 0.10"),
        (0.5, 0.0, "0.500 ± 0.000"),
        (1234.5, 12.0, "1234 ± 12"),
        (0.0, 0.012, "0.000 ± 0.012"),
        (1.0, 1e-9, "1.0000 ± <0.0001"),
        (None, 0.1, "—"),
    ],
)
def test_value_and_error_end_at_the_same_decimal_place(value, error, shown):
    assert units.format_estimate(value, error) == shown


@given(st.integers(min_value=1000, max_value=10**20))
def test_counts_keep_three_significant_digits_and_their_value(count):
    number, prefix = units.format_count(count).split()
    assert len(re.sub(r"\D", "", number)) == 3
    assert 1 <= float(number) < 1000
    assert float(number) * 1000 ** " kMGTPE".index(prefix) == pytest.approx(count, rel=0.006)


@given(st.floats(min_value=1e-9, max_value=59.4))
def test_short_durations_keep_their_value(seconds):
    number, unit = units.format_seconds(seconds).split()
    scale = {"ns": 1e-9, "µs": 1e-6, "ms": 1e-3, "s": 1.0}[unit]
    assert float(number) * scale == pytest.approx(seconds, rel=0.006)
    assert 1 <= float(number) < 1000
