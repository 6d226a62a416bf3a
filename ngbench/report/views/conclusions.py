"""What a comparison comes to, in words: who is lowest by epoch and by time, what a step costs, what memory it takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ngbench.records.statistics import UncertainValue
from ngbench.report.summary import Arm
from ngbench.units import counted, enumerated, format_bytes, format_estimate, format_number, format_seconds

__all__ = ["conclusions"]


def conclusions(arms: Sequence[Arm], shared_seconds: float | None) -> list[str]:
    """A sentence for each question that a comparison is made for; none for what was not measured, nor of one arm.

    Args:
        arms: of one task.
        shared_seconds: the training time that all arms had.
    """
    if len(arms) < 2:
        return []
    return [
        *_lowest(_after(arms), [(arm.label, arm.final) for arm in arms], len(arms[0].runs)),
        *_lowest(
            "" if shared_seconds is None else f"After {format_seconds(shared_seconds)} of training, which all had,",
            [(arm.label, arm.at_shared_seconds) for arm in arms],
            len(arms[0].runs),
        ),
        *_steps(arms),
        *_memory(arms),
    ]


def _after(arms: Sequence[Arm]) -> str:
    epochs = {len(run.history.epoch) for arm in arms if arm.final is not None for run in arm.runs}
    return f"After {counted(epochs.pop(), 'epoch')}" if len(epochs) == 1 else "At the end of their runs"


def _lowest(when: str, losses: Sequence[tuple[str, UncertainValue | None]], seeds: int) -> Iterator[str]:
    ranked = sorted((found.value, label, found) for label, found in losses if found is not None)
    if not when or len(ranked) < 2:
        return
    (value, first, lowest), (_, second, next_one) = ranked[:2]
    others = enumerated(
        [
            *(f"{label} has {format_number(other, 4)}" for other, label, _ in ranked[1:]),
            *(f"{label} has none" for label, found in losses if found is None),
        ]
    )
    mean = f"mean training loss of {counted(seeds, 'seed')}" if seeds > 1 else "training loss"
    yield f"{when} {first} has the lowest {mean}, {format_number(value, 4)}; {others}."
    errors = [estimate.error for estimate in (lowest, next_one) if estimate.error is not None]
    if len(errors) == 2 and sum(errors) > next_one.value - value:
        yield f"The intervals of {first} and {second} overlap: that order may be chance."


def _steps(arms: Sequence[Arm]) -> Iterator[str]:
    reference = next(arm for arm in arms if arm.is_reference)
    ratios = [
        f"{format_estimate(arm.ratio.value, arm.ratio.error)} with {arm.label}" for arm in arms if arm.ratio is not None
    ]
    if ratios:
        yield f"In steps of {reference.label}, a step takes {enumerated(ratios)}."


def _memory(arms: Sequence[Arm]) -> Iterator[str]:
    known = [f"{arm.label} {format_bytes(arm.added_bytes)}" for arm in arms if arm.added_bytes is not None]
    if known:
        yield f"Training took, beside what was in use before, at most: {enumerated(known)}."
