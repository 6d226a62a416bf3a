from __future__ import annotations

import doctest
import math
import random

import pytest

from ngbench.records import power
from ngbench.records.power import POWER, Noise, noise_of, repeats_needed, smallest_regression
from ngbench.records.timing import Timing, relative_change, robust_mean


def test_the_worked_examples_of_the_docstrings_hold():
    assert doctest.testmod(power).failed == 0


def test_the_rule_of_the_gate_catches_what_is_said_as_often_as_is_said():
    generator = random.Random(0)
    sd, rounds, threshold = 0.02, 30, 0.05
    runs = [robust_mean([generator.gauss(1, sd) for _ in range(rounds)]) for _ in range(200)]
    noise = noise_of(runs)
    slower = 1 + smallest_regression(noise, threshold)
    caught = 0
    for _ in range(1000):
        before = robust_mean([generator.gauss(1, sd) for _ in range(rounds)])
        now = robust_mean([slower * generator.gauss(1, sd) for _ in range(rounds)])
        caught += relative_change(before, now)[1] > threshold
    assert caught / 1000 == pytest.approx(POWER, abs=0.025)


def test_equal_runs_that_differ_more_than_their_rounds_tell_count_for_more():
    steady = noise_of([Timing(value, 1e-4, 20, 24) for value in (1.0, 1.0, 1.0)])
    spread = noise_of([Timing(value, 1e-4, 20, 24) for value in (1.0, 1.05, 1.1)])
    assert steady.deviation == pytest.approx(math.sqrt(2) * 0.01)
    assert spread.deviation > 3 * steady.deviation
    assert smallest_regression(spread, 0.05) > smallest_regression(steady, 0.05)


def test_runs_without_variance_tell_nothing():
    assert noise_of([Timing(1.0, None, 0, 1)]) is None
    assert noise_of([]) is None
    assert noise_of([Timing(1.0, 1e-4, 20, 24)]).between is None


@pytest.mark.parametrize("within", [0.005, 0.02, 0.05])
def test_so_many_repeats_and_not_one_less_catch_twice_the_threshold(within):
    noise = Noise(1.0, within, within, 20, 5)
    repeats = repeats_needed(noise, 0.05)
    assert smallest_regression(noise, 0.05, repeats) <= 0.1
    assert repeats == 1 or smallest_regression(noise, 0.05, repeats - 1) > 0.1


def test_noise_that_no_number_of_repeats_overcomes():
    assert repeats_needed(Noise(1.0, 10.0, 10.0, 20, 5), 0.001) is None
