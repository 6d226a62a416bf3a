"""What a document says of each arm, aggregated over its seeds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from ngbench.errors import NotComparableError, UnknownNameError
from ngbench.measurement.phases import PHASES
from ngbench.records import statistics, timing
from ngbench.records.comparability import group_arms
from ngbench.records.endings import describe_ending
from ngbench.records.metric_changes import recorded_target
from ngbench.records.quantities import QUANTITIES, ArmRun, interpolate
from ngbench.records.record import Document, RunRecord
from ngbench.records.statistics import UncertainValue

__all__ = ["OTHER", "Arm", "PhaseSummary", "arms_of", "phase_order", "shared_seconds", "summarise"]

OTHER = "other"
"""The part of the step time that no phase accounts for."""


@dataclass(frozen=True)
class PhaseSummary:
    """What one phase cost an arm, over all its seeds.

    Attributes:
        name: the phase, or :data:`OTHER`.
        seconds_per_call: ``None`` if the number of calls is not known.
        seconds_per_step: amortised over all steps; ``None`` if no step was timed.
        share: of the time of all steps, between 0 and 1.
        flops: operations of a call.
        bytes: bytes that a call reads and writes.
        all_known: whether the operations are all of them, and none has no formula.
        calls: over all seeds.
    """

    name: str
    seconds_per_call: float | None
    seconds_per_step: float | None
    share: float | None
    flops: float | None
    bytes: float | None
    calls: int | None
    all_known: bool = True


@dataclass(frozen=True)
class Arm:
    """One arm of a comparison. Losses are over the seeds that neither failed nor diverged.

    Attributes:
        label: the arm's name.
        is_reference: whether the others' step times are divided by this arm's.
        runs: its records, one per seed.
        final: training loss after the last epoch.
        best: lowest training loss of any epoch.
        validation: validation loss after the last epoch.
        at_shared_seconds: training loss after the training time that all arms had.
        epochs_to_target: the median over the seeds, where one that did not reach the target counts as infinite;
            ``None`` if half of them did not.
        seconds_to_target: likewise.
        reached: how many seeds reached the target.
        seconds_per_epoch: over seeds.
        step: seconds of a step, amortised, over rounds.
        ratio: of the step to the reference arm's; ``None`` for the reference arm itself.
        plain: seconds of a plain step, over rounds.
        refresh: seconds of a step that refreshes the curvature, over the rounds that have one.
        peak_bytes: the largest of the seeds.
        added_bytes: the peak above what was in use before the optimizer was built, the largest of the seeds.
        optimizer_state_bytes: the largest of the seeds.
        phases: in the order of ``PHASES``, a plugin's own after them, the rest last.
    """

    label: str
    is_reference: bool
    runs: Sequence[RunRecord]
    final: UncertainValue | None
    best: UncertainValue | None
    validation: UncertainValue | None
    at_shared_seconds: UncertainValue | None
    epochs_to_target: UncertainValue | None
    seconds_to_target: UncertainValue | None
    reached: int
    seconds_per_epoch: UncertainValue | None
    step: UncertainValue | None
    ratio: UncertainValue | None
    plain: UncertainValue | None
    refresh: UncertainValue | None
    peak_bytes: int | None
    added_bytes: int | None
    optimizer_state_bytes: int | None
    phases: Sequence[PhaseSummary]

    @property
    def endings(self) -> Counter[str]:
        """How many seeds ended how, in words."""
        return Counter(describe_ending(run) for run in self.runs)


def arms_of(document: Document) -> dict[str, list[RunRecord]]:
    """The runs of each arm by its label, in the order of the document.

    Raises:
        NotComparableError: the runs belong to different tasks.
    """
    tasks = sorted({run.task for run in document.runs})
    if len(tasks) > 1:
        raise NotComparableError(f"runs of different tasks cannot be compared: {', '.join(tasks)}")
    return group_arms(document.runs)


def shared_seconds(document: Document) -> float | None:
    """The training time that all runs which did not fail have had; ``None`` where one has had none."""
    runs = [run for run in document.runs if run.status not in statistics.FAILED]
    ends = [run.history.elapsed_seconds[-1] for run in runs if run.history.elapsed_seconds]
    return min(ends) if ends and len(ends) == len(runs) else None


def summarise(document: Document, *, reference: str | None = None, target_loss: float | None = None) -> list[Arm]:
    """The document's arms.

    Args:
        document: runs of one task.
        reference: label of the arm that the others' step times are divided by; the first arm by default.
        target_loss: training loss to reach; the recorded one by default.

    Raises:
        NotComparableError: the runs belong to different tasks.
        UnknownNameError: no arm has the reference's label.
    """
    arms = arms_of(document)
    if reference is not None and reference not in arms:
        raise UnknownNameError("reference arm", reference, arms)
    if not arms:
        return []
    reference = next(iter(arms)) if reference is None else reference
    target = recorded_target(document.runs) if target_loss is None else target_loss
    shared = shared_seconds(document)
    return [
        _arm(label, runs, None if label == reference else arms[reference], target, shared)
        for label, runs in arms.items()
    ]


def _arm(
    label: str,
    runs: Sequence[RunRecord],
    reference: Sequence[RunRecord] | None,
    target: float | None,
    shared: float | None,
) -> Arm:
    sound = [run for run in runs if run.status not in statistics.FAILED]
    aimed = [run.model_copy(update={"target_loss": target}) for run in runs]
    epochs = [QUANTITIES["epochs_to_target"].value(ArmRun(run)) for run in aimed]
    seconds = [QUANTITIES["seconds_to_target"].value(ArmRun(run)) for run in aimed]
    return Arm(
        label=label,
        is_reference=reference is None,
        runs=runs,
        final=_over(sound, "training_loss"),
        best=_over(sound, "best_training_loss"),
        validation=_over(sound, "validation_loss"),
        at_shared_seconds=None if shared is None else _estimate([_loss_at(run, shared) for run in sound]),
        epochs_to_target=_median(epochs),
        seconds_to_target=_median(seconds),
        reached=sum(value is not None for value in epochs),
        seconds_per_epoch=_over(runs, "seconds_per_epoch"),
        step=timing.estimate(timing.mean_step(runs)),
        ratio=None if reference is None else timing.estimate(timing.step_ratio(runs, reference)),
        plain=timing.estimate(timing.step_of_kind(runs, "plain")),
        refresh=timing.estimate(timing.step_of_kind(runs, "refresh")),
        peak_bytes=_largest(run.memory.peak_bytes for run in runs),
        added_bytes=_largest(
            max(0, run.memory.peak_bytes - run.memory.baseline_bytes)
            if run.memory.peak_bytes is not None and run.memory.baseline_bytes is not None
            else None
            for run in runs
        ),
        optimizer_state_bytes=_largest(run.memory.optimizer_state_bytes for run in runs),
        phases=phase_costs(runs),
    )


def _over(runs: Sequence[RunRecord], quantity: str) -> UncertainValue | None:
    return _estimate([QUANTITIES[quantity].value(ArmRun(run)) for run in runs])


def _estimate(values: Sequence[float | None]) -> UncertainValue | None:
    return statistics.mean_interval([value for value in values if value is not None])


def _median(needed: Sequence[float | None]) -> UncertainValue | None:
    """The median of what seeds needed, of whom those without a value never got there."""
    # A mean over those that did would be the smaller, the fewer there are.
    value = median(math.inf if one is None else one for one in needed)
    return UncertainValue(value, None, None, len(needed)) if math.isfinite(value) else None


def _loss_at(run: RunRecord, seconds: float) -> float | None:
    return interpolate(QUANTITIES["training_loss"].points(ArmRun(run)), seconds)


def _largest(values: Iterable[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)


def phase_order(names: Iterable[str]) -> list[str]:
    """The phases in the order of ``PHASES``, a plugin's own after them by name."""
    found = set(names)
    return [name for name in PHASES if name in found] + sorted(found - set(PHASES))


def phase_costs(runs: Sequence[RunRecord]) -> list[PhaseSummary]:
    """Each phase's cost over the runs, and what the steps took beyond their phases."""
    found = {name for run in runs for name in run.phases}
    if not found:
        return []
    step = timing.mean_step(runs)
    per_step = {name: timing.phase_per_step(runs, name) for name in phase_order(found)}
    phased = math.fsum(part.value for part in per_step.values() if part is not None)
    total = max(phased, 0.0 if step is None else step.value)
    costs = [_phase_cost(name, runs, part, total) for name, part in per_step.items()]
    if total > phased:
        rest = total - phased
        costs.append(PhaseSummary(OTHER, None, rest, rest / total, None, None, None))
    return costs


def _phase_cost(name: str, runs: Sequence[RunRecord], per_step: timing.Timing | None, total: float) -> PhaseSummary:
    records = [run.phases[name] for run in runs if name in run.phases]
    seconds = timing.phase_seconds(runs, name)
    calls = sum(record.calls for record in records)

    def per_call(values: list[tuple[int | None, int]]) -> float | None:
        known = [(value, weight) for value, weight in values if value is not None and weight]
        weights = sum(weight for _, weight in known)
        return sum(value * weight for value, weight in known) / weights if weights else None

    return PhaseSummary(
        name=name,
        seconds_per_call=None if seconds is None else seconds.value,
        seconds_per_step=None if per_step is None else per_step.value,
        share=None if per_step is None or not total else per_step.value / total,
        flops=per_call([(record.flops, record.calls) for record in records]),
        bytes=per_call([(record.bytes, record.calls) for record in records]),
        calls=calls,
        all_known=not any(record.unknown_operators for record in records),
    )
