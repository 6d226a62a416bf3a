from __future__ import annotations

from collections.abc import Callable

import pytest

from ngbench.measurement.recorder import StepRecorder


class Hand:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def mark(self) -> float:
        return self.now

    def work(self, seconds: float) -> None:
        self.now += seconds


def difference(start: float, end: float) -> float:
    return end - start


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def recorder(hand: Hand) -> StepRecorder[float]:
    return StepRecorder(hand.mark)


def step(recorder: StepRecorder[float], body: Callable[[], None]) -> None:
    recorder.begin_step()
    body()
    recorder.end_step()


def test_an_inner_phase_is_not_counted_in_the_outer_one(hand: Hand, recorder: StepRecorder[float]) -> None:
    def body() -> None:
        recorder.switch("forward")
        hand.work(1)
        with recorder("curvature_backward"):
            hand.work(2)
            with recorder("accumulate"):
                hand.work(4)
            hand.work(8)
        hand.work(16)

    step(recorder, body)
    phases = recorder.collect(difference).phases["plain"]
    amounts = {name: total.amount for name, total in phases.items()}
    assert amounts == {"forward": 17, "curvature_backward": 10, "accumulate": 4}
    assert {total.calls for total in phases.values()} == {1}


def test_time_in_no_phase_is_part_of_the_step_alone(hand: Hand, recorder: StepRecorder[float]) -> None:
    def body() -> None:
        hand.work(1)
        recorder.switch("backward")
        hand.work(2)
        recorder.switch(None)
        hand.work(4)

    step(recorder, body)
    collected = recorder.collect(difference)
    assert collected.amounts == [7]
    assert {name: total.amount for name, total in collected.phases["plain"].items()} == {"backward": 2}


def test_every_entry_is_a_call_and_kinds_are_kept_apart(hand: Hand, recorder: StepRecorder[float]) -> None:
    def body() -> None:
        for _ in range(3):
            with recorder("update"):
                hand.work(1)

    step(recorder, body)
    step(recorder, body)
    recorder.label_step("refresh")
    collected = recorder.collect(difference)
    assert collected.kinds == ["plain", "refresh"]
    for kind in ("plain", "refresh"):
        assert (collected.phases[kind]["update"].amount, collected.phases[kind]["update"].calls) == (3, 3)


def test_what_is_marked_between_steps_is_forgotten(hand: Hand, recorder: StepRecorder[float]) -> None:
    step(recorder, lambda: hand.work(1))
    with recorder("forward"):
        hand.work(100)
    step(recorder, lambda: hand.work(2))
    collected = recorder.collect(difference)
    assert collected.amounts == [1, 2]
    assert collected.phases == {"plain": {}}


def test_a_phase_left_open_by_an_error_does_not_reach_the_next_step(hand: Hand, recorder: StepRecorder[float]) -> None:
    recorder.begin_step()
    recorder("refresh").__enter__()
    step(recorder, lambda: hand.work(1))
    assert recorder.collect(difference).phases == {"plain": {}}


def test_cleared_steps_are_not_collected_again(hand: Hand, recorder: StepRecorder[float]) -> None:
    step(recorder, lambda: hand.work(1))
    assert recorder.closed_steps == 1
    recorder.clear()
    assert recorder.closed_steps == 0
    step(recorder, lambda: hand.work(2))
    assert recorder.collect(difference).amounts == [2]


def test_interrupted_steps_are_marked_and_their_phases_kept_apart(hand: Hand) -> None:
    switches = [0]
    recorder = StepRecorder(hand.mark, lambda: switches[0])
    for seconds, interrupted in ((1, 0), (8, 3), (2, 0)):
        recorder.begin_step()
        recorder.switch("forward")
        hand.work(seconds)
        switches[0] += interrupted
        recorder.end_step()
    collected = recorder.collect(difference)
    assert collected.interrupted == [False, True, False]
    assert collected.phases["plain"]["forward"].amount == 11
    assert (collected.undisturbed["forward"].amount, collected.undisturbed["forward"].calls) == (3, 2)
    recorder.clear()
    # While others took their turn.
    switches[0] += 100
    step(recorder, lambda: None)
    assert recorder.collect(difference).interrupted == [False]


def test_a_recorder_without_a_counter_knows_of_no_interruption(recorder: StepRecorder[float]) -> None:
    step(recorder, lambda: recorder.switch("forward"))
    collected = recorder.collect(difference)
    assert collected.interrupted is None
    assert collected.undisturbed == {}
