"""The tables of a comparison: how far each arm got, and what it cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ngbench.records.endings import EarlyStop, early_stop
from ngbench.records.statistics import CONFIDENCE, UncertainValue, target_on
from ngbench.report.blocks import Column
from ngbench.report.summary import Arm, PhaseSummary
from ngbench.units import (
    DASH,
    counted,
    format_bytes,
    format_count,
    format_estimate,
    format_number,
    format_seconds,
    format_seconds_estimate,
    format_share,
)

__all__ = ["breakdown", "cost", "notes", "number_over_seeds", "progress", "status"]


_PER_CENT = f"{100 * CONFIDENCE:g} %"


def status(arm: Arm) -> str:
    """The arm's status, with counts where it has several seeds: ``1 done, 1 diverged``."""
    if len(arm.runs) == 1:
        return next(iter(arm.endings))
    return ", ".join(f"{count} {ending}" for ending, count in sorted(arm.endings.items()))


def number_over_seeds(arms: Sequence[Arm], digits: int = 3) -> Callable[[UncertainValue | None], str]:
    """How a mean over seeds reads: with its interval where any arm has several seeds."""
    several = any(len(arm.runs) > 1 for arm in arms)

    def shown(estimate: UncertainValue | None) -> str:
        if estimate is None:
            return DASH
        if several:
            return format_estimate(estimate.value, estimate.error, digits)
        return format_number(estimate.value, digits)

    return shown


def progress(arms: Sequence[Arm], target: float | None, shared_seconds: float | None) -> list[Column]:
    """How far the arms got: losses, target, status."""
    loss = number_over_seeds(arms, 4)
    columns = [
        Column("arm", [arm.label for arm in arms], left=True),
        _least("training_loss", "final\ntrain loss", [arm.final for arm in arms], loss),
        _least("best_training_loss", "best\ntrain loss", [arm.best for arm in arms], loss),
        _least("validation_loss", "validation\nloss", [arm.validation for arm in arms], loss),
    ]
    if shared_seconds is not None and sum(arm.at_shared_seconds is not None for arm in arms) > 1:
        name = f"train loss\nat {format_seconds(shared_seconds)}"
        columns.append(_least("training_loss.at_shared_time", name, [arm.at_shared_seconds for arm in arms], loss))
    if target is not None:
        of = {target_on(run) for arm in arms for run in arm.runs}
        shown = f"{format_number(target)}{'' if of == {'train'} else ' (validation)'}"
        columns += [
            Column(
                f"epochs\nto {shown}",
                [_to_target(arm, arm.epochs_to_target, _epochs) for arm in arms],
                key="epochs_to_target",
            ),
            Column(
                f"time\nto {shown}",
                [_to_target(arm, arm.seconds_to_target, format_seconds) for arm in arms],
                key="seconds_to_target",
            ),
        ]
    columns.append(Column("status", [status(arm) for arm in arms], left=True, toned=True, key="status"))
    return columns


def _least(
    key: str, name: str, estimates: Sequence[UncertainValue | None], show: Callable[[UncertainValue | None], str]
) -> Column:
    """A column in which less is better; where all are equal, none is best."""
    known = [estimate.value for estimate in estimates if estimate is not None]
    best = frozenset(
        at
        for at, estimate in enumerate(estimates)
        if estimate is not None and min(known) == estimate.value < max(known)
    )
    return Column(name, [show(estimate) for estimate in estimates], best=best, key=key)


def _epochs(value: float) -> str:
    return f"{value:.0f}" if value == round(value) else f"{value:.1f}"


def _to_target(arm: Arm, estimate: UncertainValue | None, show: Callable[[float], str]) -> str:
    """The median over the seeds, and how many reached the target."""
    shown = DASH if estimate is None else show(estimate.value)
    return shown if len(arm.runs) == 1 else f"{shown} ({arm.reached}/{len(arm.runs)})"


def cost(arms: Sequence[Arm]) -> list[Column]:
    """What the arms cost: time and memory. Columns of which nothing is known are left out."""
    columns = [
        _least("seconds_per_epoch", "time per\nepoch", [arm.seconds_per_epoch for arm in arms], _seconds),
        _least("step_time", "mean\nstep", [arm.step for arm in arms], _seconds_with_error),
    ]
    if len(arms) > 1:
        columns.append(Column("step vs\nreference", [_ratio(arm) for arm in arms], key="step_time.ratio"))
    columns += [
        Column(f"{_replicates(arms)}\nn", [_rounds(arm) for arm in arms], key="rounds"),
        Column("plain\nstep", [_seconds_with_error(arm.plain) for arm in arms], key="step_time.plain"),
        Column("refresh\nstep", [_seconds_with_error(arm.refresh) for arm in arms], key="step_time.refresh"),
        Column("peak\nmemory", [format_bytes(arm.peak_bytes) for arm in arms], key="peak_memory"),
        Column("memory\nadded", [format_bytes(arm.added_bytes) for arm in arms], key="added_memory"),
        Column("optimizer\nstate", [format_bytes(arm.optimizer_state_bytes) for arm in arms], key="optimizer_state"),
    ]
    kept = [column for column in columns if not column.empty]
    return [Column("arm", [arm.label for arm in arms], left=True), *kept]


def _seconds(estimate: UncertainValue | None) -> str:
    return DASH if estimate is None else format_seconds(estimate.value)


def _seconds_with_error(estimate: UncertainValue | None) -> str:
    return DASH if estimate is None else format_seconds_estimate(estimate.value, estimate.error)


def _ratio(arm: Arm) -> str:
    if arm.is_reference:
        return "reference"
    return DASH if arm.ratio is None else format_estimate(arm.ratio.value, arm.ratio.error)


def _replicates(arms: Sequence[Arm]) -> str:
    """What times are means over."""
    return "processes" if any(run.restarts for arm in arms for run in arm.runs) else "rounds"


def _rounds(arm: Arm) -> str:
    """How many rounds or processes the mean step rests on, and the ratio where that is another number."""
    if arm.step is None:
        return DASH
    if arm.ratio is None or arm.ratio.n == arm.step.n:
        return str(arm.step.n)
    return f"{arm.step.n}; {arm.ratio.n}"


def breakdown(arm: Arm) -> list[Column]:
    """What an update cost the arm, phase by phase, and in total."""
    phases = arm.phases
    per_step = [phase.seconds_per_step for phase in phases] + [None if arm.step is None else arm.step.value]
    return [
        Column("phase", [phase.name for phase in phases] + ["step in total"], left=True),
        Column(
            "time\nper call",
            [format_seconds(phase.seconds_per_call) for phase in phases] + [DASH],
            key="phase.*.seconds",
        ),
        Column("time\nper step", [format_seconds(part) for part in per_step], key="phase.*.seconds_per_step"),
        Column("share", [format_share(phase.share) for phase in phases] + [format_share(1.0)], key="phase.*.share"),
        Column("operations\nper call", [_operations(phase) for phase in phases] + [DASH], key="phase.*.flops"),
        Column("bytes\nper call", [format_bytes(phase.bytes) for phase in phases] + [DASH], key="phase.*.bytes"),
        Column(
            "calls",
            [DASH if phase.calls is None else f"{phase.calls:,}" for phase in phases] + [DASH],
            key="phase.*.calls",
        ),
    ]


def _operations(phase: PhaseSummary) -> str:
    shown = format_count(phase.flops)
    if shown == DASH:
        return shown
    if shown != "0":
        shown += "FLOP" if " " in shown else " FLOP"
    return shown if phase.all_known else f"≥ {shown}"


def notes(arms: Sequence[Arm]) -> list[str]:
    """What the numbers of the tables mean, and how far the arms got that stopped early."""
    found = []
    if any(len(arm.runs) > 1 for arm in arms):
        found.append(f"Losses: mean over seeds ± {_PER_CENT} interval (Student's t); — where one seed supports none.")
    if any(arm.step is not None for arm in arms):
        means = {
            "rounds": f"means over n rounds (turns of the arms) ± {_PER_CENT} interval",
            "processes": f"means over n processes ± {_PER_CENT} interval of what differs between them; of each process",
        }
        found.append(
            f"Times of steps and phases: {means[_replicates(arms)]}, without interrupted steps, nor the fastest and "
            "the slowest fifth of the rounds. Mean step: plain and refresh steps as often as they occurred."
        )
    if any(arm.added_bytes is not None for arm in arms):
        found.append("Memory added: the peak, less what was in use before the optimizer was made.")
    if any("; " in _rounds(arm) for arm in arms):
        found.append(f"Where two numbers of {_replicates(arms)} are given, the second is the ratio's.")
    if any(arm.reached and len(arm.runs) > 1 for arm in arms):
        found.append(
            "To the target: median over the seeds, of which one that did not reach it counts as never (how many did)."
        )
    return found + [note for arm in arms for note in (*_uncounted(arm), *_early_stops(arm))]


def _uncounted(arm: Arm) -> Iterator[str]:
    """What the operations of the arm's phases leave out, and why there are none."""
    if unknown := sorted({name for run in arm.runs for name in run.unknown_operators}):
        yield (
            f"{arm.label}: operations at least (≥), without those of {', '.join(unknown)}, "
            "for which there is no formula."
        )
    for error in sorted({run.operations_error for run in arm.runs if run.operations_error}):
        yield f"{arm.label}: no operations were counted ({error})."


def _early_stops(arm: Arm) -> Iterator[str]:
    """How much of its budget the arm did with the seeds that early stopping ended."""
    alike: dict[tuple[int | None, str, int, str], list[EarlyStop]] = {}
    for stop in filter(None, map(early_stop, arm.runs)):
        alike.setdefault((stop.limit, stop.unit, stop.patience, stop.watched), []).append(stop)
    for (limit, unit, patience, watched), stops in alike.items():
        least, most = min(stop.done for stop in stops), max(stop.done for stop in stops)
        done = str(least) if least == most else f"{least} to {most}"
        of = "" if limit is None else f" of {limit}"
        seeds = f" ({len(stops)} of {len(arm.runs)} seeds)" if len(arm.runs) > 1 else ""
        yield (
            f"{arm.label} stopped early after {done}{of} {unit}{seeds}: "
            f"{counted(patience, 'epoch')} without a new lowest {watched}."
        )
