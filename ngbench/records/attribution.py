"""Which phase a change of the step time comes from."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ngbench.records import timing
from ngbench.records.comparability import Pair
from ngbench.records.record import RunRecord

__all__ = ["attribute"]

_OTHER = "outside of phases"


def phase_changes(pair: Pair) -> dict[str, tuple[float, float | None]]:
    """For each phase, by how much of the baseline's step the step's time in it changed, and of its own time.

    Times are in units of the reference arm's step where there is one, so that the speed of the machine cancels.
    A phase that is new has no relative change of its own.
    For example ``(0.1, 0.4)`` for a phase of a quarter of the step that takes 40 % longer.
    """
    before, now = _per_step(pair.baseline, pair.reference, 0), _per_step(pair.current, pair.reference, 1)
    if before is None or now is None:
        return {}
    step = math.fsum(before.values())
    return {
        name: (
            (now.get(name, 0.0) - before.get(name, 0.0)) / step,
            now.get(name, 0.0) / before[name] - 1 if before.get(name, 0.0) > 0 else None,
        )
        for name in dict.fromkeys([*before, *now])
    }


def attribute(pair: Pair) -> str:
    """The phase that changed most, in words; empty where phases are not known.

    For example ``"precondition changed most: +9.7 % of the step, itself +31 %"``.
    """
    changes = phase_changes(pair)
    if not changes:
        return ""
    total = math.fsum(part for part, _ in changes.values())
    # The phase that pulls the way the whole step went.
    name = max(changes, key=lambda name: math.copysign(1, total) * changes[name][0])
    part, own = changes[name]
    itself = "" if own is None else f", itself {100 * own:+.0f} %"
    return f"{name} changed most: {100 * part:+.1f} % of the step{itself}"


def _per_step(
    runs: Sequence[RunRecord], reference: tuple[Sequence[RunRecord], Sequence[RunRecord]] | None, side: int
) -> dict[str, float] | None:
    """The time of a step in each phase, and outside of them."""
    names = list(dict.fromkeys(name for run in runs for name in run.phases))
    if reference is None:
        total = timing.mean_step(runs)
        found = {name: timing.phase_per_step(runs, name) for name in names}
    else:
        total = timing.step_ratio(runs, reference[side])
        found = {name: timing.phase_ratio(runs, reference[side], name) for name in names}
    if total is None:
        return None
    parts = {name: value.value for name, value in found.items() if value is not None}
    return {**parts, _OTHER: max(0.0, total.value - math.fsum(parts.values()))} if parts else None
