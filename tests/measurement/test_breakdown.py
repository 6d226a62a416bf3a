from __future__ import annotations

from ngbench.measurement.breakdown import Breakdown
from ngbench.measurement.operations import Operations
from ngbench.measurement.recorder import Collected, PhaseTotal


def example() -> Breakdown:
    breakdown = Breakdown()
    for _ in range(2):
        breakdown.add(
            Collected(
                phases={
                    "plain": {"own": PhaseTotal(1.0, 3), "forward": PhaseTotal(2.0, 3)},
                    "refresh": {"refresh": PhaseTotal(5.0, 1), "forward": PhaseTotal(3.0, 1)},
                }
            )
        )
    breakdown.set_operations(
        {"plain": {"forward": Operations(100, 10)}, "refresh": {"forward": Operations(500, 50, 3)}}
    )
    return breakdown


def test_phases_come_in_the_order_of_a_step_and_a_plugins_own_after_them() -> None:
    assert list(example().records()) == ["forward", "refresh", "own"]


def test_totals_add_up_over_kinds_and_operations_are_the_mean_call() -> None:
    forward = example().records()["forward"]
    assert (forward.seconds_total, forward.calls) == (10.0, 8)
    assert (forward.flops, forward.bytes, forward.unknown_operators) == (200, 20, 3)
    assert (forward.by_kind["plain"].seconds_total, forward.by_kind["refresh"].flops) == (4.0, 500)


def test_what_was_not_counted_is_null() -> None:
    refresh = example().records()["refresh"]
    assert (refresh.flops, refresh.bytes) == (None, None)


def test_a_breakdown_goes_on_from_its_records() -> None:
    resumed, whole = Breakdown.from_records(example().records()), example()
    more = Collected(phases={"plain": {"forward": PhaseTotal(2.0, 4)}})
    resumed.add(more)
    whole.add(more)
    assert resumed.records() == whole.records()
