from __future__ import annotations

from ngbench.measurement.breakdown import Breakdown
from ngbench.measurement.recorder import Collected, PhaseTotal


def collected(**phases: tuple[float, int]) -> Collected:
    return Collected([1.0], ["plain"], {"plain": {name: PhaseTotal(*total) for name, total in phases.items()}})


def test_each_round_has_its_own_entry_even_where_a_phase_did_not_occur() -> None:
    breakdown = Breakdown()
    breakdown.add(collected(forward=(2.0, 4)))
    breakdown.add(collected(forward=(3.0, 4), refresh=(5.0, 1)))
    records = breakdown.records()
    assert (records["forward"].seconds_by_round, records["forward"].calls_by_round) == ([2.0, 3.0], [4, 4])
    assert (records["refresh"].seconds_by_round, records["refresh"].calls_by_round) == ([0.0, 5.0], [0, 1])


def test_the_kinds_of_steps_are_added_up_within_a_round() -> None:
    breakdown = Breakdown()
    phases = {"plain": {"forward": PhaseTotal(2.0, 3)}, "refresh": {"forward": PhaseTotal(1.0, 1)}}
    breakdown.add(Collected([1.0], ["plain"], phases))
    assert breakdown.records()["forward"].seconds_by_round == [3.0]
    assert breakdown.records()["forward"].calls_by_round == [4]


def test_a_breakdown_made_from_records_goes_on_after_their_last_round() -> None:
    breakdown = Breakdown()
    breakdown.add(collected(forward=(2.0, 4)))
    again = Breakdown.from_records(breakdown.records())
    again.add(collected(forward=(3.0, 4)))
    assert again.records()["forward"].seconds_by_round == [2.0, 3.0]
    assert again.records()["forward"].seconds_total == 5.0
