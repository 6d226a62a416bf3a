from __future__ import annotations

from ngbench.measurement.breakdown import Breakdown, append_turn
from ngbench.measurement.recorder import Collected, PhaseTotal
from ngbench.records.record import StepsRecord


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


def test_undisturbed_rounds_are_kept_beside_the_whole_ones_and_survive_a_resume() -> None:
    breakdown = Breakdown()
    whole = collected(forward=(2.0, 4), refresh=(5.0, 1))
    whole.interrupted, whole.undisturbed = [True], {"forward": PhaseTotal(1.5, 3)}
    breakdown.add(whole)
    again = Breakdown.from_records(breakdown.records())
    again.add(whole)
    records = again.records()
    assert records["forward"].seconds_by_round == [2.0, 2.0]
    assert records["forward"].undisturbed_seconds_by_round == [1.5, 1.5]
    assert records["forward"].undisturbed_calls_by_round == [3, 3]
    assert records["refresh"].undisturbed_calls_by_round == [0, 0]


def test_what_is_not_known_of_interruptions_stays_unknown() -> None:
    breakdown = Breakdown()
    breakdown.add(collected(forward=(2.0, 4)))
    assert breakdown.records()["forward"].undisturbed_calls_by_round == []
    steps = StepsRecord()
    append_turn(steps, collected(forward=(2.0, 4)))
    known = collected(forward=(2.0, 4))
    known.interrupted = [True]
    append_turn(steps, known)
    assert (steps.turns, steps.interrupted) == ([1, 2], None)


def test_interrupted_steps_are_counted_from_the_beginning_of_the_run() -> None:
    steps = StepsRecord()
    for interrupted in ([False, True], [True, False]):
        append_turn(steps, Collected([1.0, 1.0], ["plain", "plain"], interrupted=interrupted))
    assert steps.interrupted == [1, 2]
