from __future__ import annotations

from collections.abc import Callable

import pytest

from ngbench.experiments.doctor.timer import Readings, examine_timer, read_clock
from ngbench.records.experiments import FindingState


def clock_of(gaps: Callable[[int], float]) -> Callable[[], float]:
    """A clock that advances by ``gaps(n)`` at its n-th reading."""
    state = [0, 0.0]

    def clock() -> float:
        state[0] += 1
        state[1] += gaps(int(state[0]))
        return state[1]

    return clock


def test_the_step_is_the_smallest_difference_and_the_cost_the_usual_one() -> None:
    readings = read_clock(clock_of(lambda n: 0.0 if n % 4 else 8e-6), reads=400, watched=1e-3)
    assert readings.step == pytest.approx(8e-6)
    assert readings.cost == 0.0
    readings = read_clock(clock_of(lambda n: 3e-7 if n == 5 else 1e-6), reads=400, watched=1e-3)
    assert readings.step == pytest.approx(3e-7)
    assert readings.cost == pytest.approx(1e-6)


def test_interruptions_are_the_long_gaps() -> None:
    # After 101 readings for the step, every hundredth of the others comes a millisecond late.
    readings = read_clock(clock_of(lambda n: 1e-3 if n > 200 and n % 100 == 0 else 1e-6), reads=100, watched=1.0)
    assert readings.longest == pytest.approx(1e-3)
    assert readings.lost == pytest.approx(1000 / 1099, abs=1e-3)


def test_the_real_clock_can_be_read() -> None:
    readings = read_clock(reads=1000, watched=0.001)
    assert 0 < readings.step < 1e-3
    assert 0 <= readings.lost <= 1


@pytest.mark.parametrize(
    ("readings", "states", "said"),
    [
        (Readings(4e-8, 5e-8, 0.001, 1e-4), [FindingState.GOOD, FindingState.GOOD], "a phase of 5.00 µs or more"),
        (Readings(1e-5, 5e-8, 0.001, 1e-4), [FindingState.BAD, FindingState.GOOD], "a phase of 1.00 ms or more"),
        (Readings(4e-8, 5e-8, 0.3, 0.02), [FindingState.GOOD, FindingState.BAD], "30.0 % of the time went to others"),
    ],
)
def test_what_readings_mean(readings: Readings, states: list[FindingState], said: str) -> None:
    findings = examine_timer(readings)
    assert [finding.state for finding in findings] == states
    assert said in " ".join(finding.fact for finding in findings)
    assert all((finding.advice == "nothing to do") == (finding.state is FindingState.GOOD) for finding in findings)
