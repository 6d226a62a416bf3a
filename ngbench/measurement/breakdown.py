"""The cost-per-update breakdown that builds up over a run: seconds and calls of each phase, by kind of step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ngbench.measurement.operations import Operations
from ngbench.measurement.phases import PHASES
from ngbench.measurement.recorder import Collected, PhaseTotal, StepKind
from ngbench.records.record import PhaseCost, PhaseRecord, StepsRecord

__all__ = ["Breakdown", "append_turn"]

OperationCounts = Mapping[StepKind, Mapping[str, Operations]]
"""For each kind of step, for each phase, the operations of one call."""


class Breakdown:
    """Accumulates what :class:`~ngbench.measurement.recorder.StepRecorder` collects."""

    def __init__(self) -> None:
        self._totals: dict[StepKind, dict[str, PhaseTotal]] = {}
        self._operations: dict[StepKind, dict[str, Operations]] = {}
        self._rounds: list[dict[str, PhaseTotal]] = []
        # Over the steps of each round that were not interrupted; of no rounds where that is not known.
        self._undisturbed: list[dict[str, PhaseTotal]] = []

    @classmethod
    def from_records(cls, records: Mapping[str, PhaseRecord]) -> Breakdown:
        """The breakdown that :meth:`records` was called on."""
        breakdown = cls()
        for name, record in records.items():
            for kind, cost in record.by_kind.items():
                total = PhaseTotal(cost.seconds_total, cost.calls)
                breakdown._totals.setdefault(kind, {})[name] = total
                if cost.flops is not None and cost.bytes is not None:
                    operations = Operations(cost.flops, cost.bytes, cost.unknown_operators)
                    breakdown._operations.setdefault(kind, {})[name] = operations
            for rounds, seconds_by_round, calls_by_round in (
                (breakdown._rounds, record.seconds_by_round, record.calls_by_round),
                (breakdown._undisturbed, record.undisturbed_seconds_by_round, record.undisturbed_calls_by_round),
            ):
                for at, (amount, calls) in enumerate(zip(seconds_by_round, calls_by_round, strict=True)):
                    _round(rounds, at)[name] = PhaseTotal(amount, calls)
        return breakdown

    def add(self, collected: Collected) -> None:
        """Add the steps of one round."""
        this_round = _round(self._rounds, len(self._rounds))
        if collected.interrupted is not None:
            # Rounds before it without the knowledge have no undisturbed steps.
            _round(self._undisturbed, len(self._rounds) - 1).update(collected.undisturbed)
        for kind, phases in collected.phases.items():
            totals = self._totals.setdefault(kind, {})
            for name, added in phases.items():
                for total in (totals.setdefault(name, PhaseTotal()), this_round.setdefault(name, PhaseTotal())):
                    total.amount += added.amount
                    total.calls += added.calls

    def set_operations(self, counts: OperationCounts) -> None:
        """Set what one call of each phase computes."""
        self._operations = {kind: dict(phases) for kind, phases in counts.items()}

    def records(self) -> dict[str, PhaseRecord]:
        """One record for each phase that occurred, in the order of ``PHASES``, a plugin's own after them."""
        names = {name for phases in self._totals.values() for name in phases}
        ordered = [name for name in PHASES if name in names] + sorted(names.difference(PHASES))
        return {name: self._record(name) for name in ordered}

    def _record(self, name: str) -> PhaseRecord:
        costs: dict[StepKind, PhaseCost] = {}
        for kind, phases in self._totals.items():
            if name in phases:
                operations = self._operations.get(kind, {}).get(name)
                costs[kind] = PhaseCost(
                    seconds_total=phases[name].amount,
                    calls=phases[name].calls,
                    flops=operations.flops if operations else None,
                    bytes=operations.bytes if operations else None,
                    unknown_operators=operations.unknown if operations else 0,
                )
        return PhaseRecord(
            seconds_total=sum(cost.seconds_total for cost in costs.values()),
            calls=sum(cost.calls for cost in costs.values()),
            flops=_per_call((cost.calls, cost.flops) for cost in costs.values()),
            bytes=_per_call((cost.calls, cost.bytes) for cost in costs.values()),
            unknown_operators=max((cost.unknown_operators for cost in costs.values()), default=0),
            by_kind=costs,
            seconds_by_round=[_total(phases, name).amount for phases in self._rounds],
            calls_by_round=[_total(phases, name).calls for phases in self._rounds],
            undisturbed_seconds_by_round=[_total(phases, name).amount for phases in self._undisturbed],
            undisturbed_calls_by_round=[_total(phases, name).calls for phases in self._undisturbed],
        )


def append_turn(steps: StepsRecord, collected: Collected) -> None:
    """Add the steps of one turn to the record's."""
    before = len(steps.seconds)
    steps.seconds += collected.amounts
    steps.kind += collected.kinds
    steps.turns.append(len(steps.seconds))
    if collected.interrupted is not None and (steps.interrupted is not None or not before):
        places = [before + at for at, interrupted in enumerate(collected.interrupted) if interrupted]
        steps.interrupted = [*(steps.interrupted or []), *places]


def _round(rounds: list[dict[str, PhaseTotal]], at: int) -> dict[str, PhaseTotal]:
    while len(rounds) <= at:
        rounds.append({})
    return rounds[at]


def _total(phases: Mapping[str, PhaseTotal], name: str) -> PhaseTotal:
    return phases[name] if name in phases else PhaseTotal()


def _per_call(counts: Iterable[tuple[int, int | None]]) -> int | None:
    """The mean over the calls whose count is known."""
    known = [(calls, count) for calls, count in counts if count is not None and calls]
    calls = sum(number for number, _ in known)
    return round(sum(number * count for number, count in known) / calls) if calls else None
