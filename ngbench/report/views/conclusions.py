"""What a comparison comes to, in words: who is lowest by epoch and by time, what a step costs, what memory it takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ngbench.records.record import RunRecord
from ngbench.records.statistics import FAILED, UncertainValue
from ngbench.report.summary import Arm
from ngbench.units import (
    counted,
    enumerated,
    format_bytes,
    format_estimate,
    format_number,
    format_seconds,
    format_seconds_estimate,
)

__all__ = ["at_shared_time", "conclusions", "costs", "endings", "failures", "led_by", "lowest"]

_VERBS = {
    "diverged": "diverged",
    "out_of_memory": "ran out of memory",
    "killed": "was killed",
    "failed": "failed",
    "timeout": "reached its time limit",
    "interrupted": "was interrupted",
    "running": "has not finished",
}


def conclusions(arms: Sequence[Arm], shared_seconds: float | None) -> list[str]:
    """A sentence for each arm that failed, and for each question that a comparison is made for.

    There is none for what was not measured. One arm is compared with nobody: what it reached is told.

    Args:
        arms: of one task.
        shared_seconds: the training time that all arms had.
    """
    if len(arms) < 2:
        return [*_alone(arms[0]), *failures(arms)]
    mean = f"mean training loss of {counted(len(arms[0].runs), 'seed')}" if len(arms[0].runs) > 1 else "training loss"
    return [
        *lowest(_after(arms), mean, [(arm.label, arm.final) for arm in arms]),
        *at_shared_time(shared_seconds, mean, [(arm.label, arm.at_shared_seconds) for arm in arms]),
        *costs(arms),
        *failures(arms),
    ]


def _alone(arm: Arm) -> Iterator[str]:
    if arm.final is None:
        return
    found = [("training loss", arm.final), ("validation loss", arm.validation)]
    losses = [f"a {what} of {format_estimate(one.value, one.error)}" for what, one in found if one is not None]
    step = "" if arm.step is None else f"; a step takes {format_seconds_estimate(arm.step.value, arm.step.error)}"
    yield f"{_after([arm])} {arm.label} has {enumerated(losses)}{step}."
    yield from _memory([arm])


def endings(arm: Arm) -> Iterator[tuple[str, str, Sequence[RunRecord]]]:
    """How runs of the arm ended that did not do all that was asked: status, a sentence with the reason, and which."""
    for status, verb in _VERBS.items():
        runs = [run for run in arm.runs if run.status == status and not _ended_as_asked(run)]
        if runs:
            seeds = ", ".join(str(run.seed) for run in runs)
            of = f" ({len(runs)} of {len(arm.runs)})" if len(arm.runs) > 1 else ""
            message = f": {runs[0].message.rstrip('.')}" if runs[0].message else ""
            yield status, f"{arm.label} {verb} with seed{'s' if len(runs) > 1 else ''} {seeds}{of}{message}.", runs


def _ended_as_asked(run: RunRecord) -> bool:
    """Whether a time limit ended the run that had no other limit."""
    return run.status == "timeout" and run.budget.epochs is None and run.budget.steps is None


def failures(arms: Sequence[Arm]) -> list[str]:
    """A sentence for each arm with runs that failed or diverged, with the reason."""
    return [told for arm in arms for status, told, _ in endings(arm) if status in FAILED]


def led_by(best: str, arms: Sequence[Arm]) -> str:
    """Who is best, then which arms failed, in a few words."""
    failed = [
        f"{arm.label} {_VERBS[status]}"
        + (f" with {len(runs)} of {counted(len(arm.runs), 'seed')}" if len(arm.runs) > 1 else "")
        for arm in arms
        for status, _, runs in endings(arm)
        if status in FAILED
    ]
    return "; ".join(filter(None, [best, *failed]))


def at_shared_time(
    seconds: float | None, what: str, found: Sequence[tuple[str, UncertainValue | None]]
) -> Iterator[str]:
    """Whose is lowest after the training time that all arms had; nothing where there is no such time."""
    if seconds is not None:
        yield from lowest(f"After {format_seconds(seconds)} of training, which all had,", what, found)


def costs(arms: Sequence[Arm]) -> list[str]:
    """What a step of each arm takes in steps of the reference, and what memory it needs."""
    return [*_steps(arms), *_memory(arms)]


def _after(arms: Sequence[Arm]) -> str:
    epochs = {len(run.history.epoch) for arm in arms if arm.final is not None for run in arm.runs}
    return f"After {counted(epochs.pop(), 'epoch')}" if len(epochs) == 1 else "At the end of their runs"


def lowest(when: str, what: str, found: Sequence[tuple[str, UncertainValue | None]]) -> Iterator[str]:
    """Whose is lowest, what the others have, and whether that order may be chance; nothing where fewer than two have.

    Args:
        when: how the sentence begins.
        what: of which less is better.
        found: by label.
    """
    ranked = sorted((one.value, label, one) for label, one in found if one is not None)
    if len(ranked) < 2:
        return
    (value, first, least), (_, second, next_one) = ranked[:2]
    equal = [label for other, label, _ in ranked if format_number(other, 4) == format_number(value, 4)]
    others = enumerated(
        [
            *(f"{label} has {format_number(other, 4)}" for other, label, _ in ranked[len(equal) :]),
            *(f"{label} has none" for label, one in found if one is None),
        ]
    )
    has = "has" if len(equal) == 1 else "have"
    yield f"{when} {enumerated(equal)} {has} the lowest {what}, {format_number(value, 4)}{others and f'; {others}'}."
    errors = [estimate.error for estimate in (least, next_one) if estimate.error is not None]
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
