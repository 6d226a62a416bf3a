"""Training runs, side by side: how far each arm got, and at what cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ngbench.records.metric_changes import recorded_target
from ngbench.records.record import Document
from ngbench.report.blocks import Block, Notes, Summary, Table, Warnings
from ngbench.report.summary import Arm, shared_seconds, summarise
from ngbench.report.views.advice import caveats, find_warnings
from ngbench.report.views.charts import cost_bars, epochs_table, loss_chart
from ngbench.report.views.comparison_tables import breakdown, cost, notes, progress
from ngbench.report.views.conclusions import conclusions, led_by
from ngbench.report.views.conditions import what_ran
from ngbench.report.views.diagnostics import diagnostics
from ngbench.report.views.samples import samples
from ngbench.report.views.update_costs import update_costs
from ngbench.units import format_number

__all__ = ["breakdowns", "headline", "view"]


def view(document: Document, *, reference: str | None = None, target_loss: float | None = None) -> list[Block]:
    """What ran, how far each arm got, what it cost, its cost per update by phase, and warnings.

    Args:
        document: runs of one task.
        reference: label of the arm that the others' step times are divided by; the first arm by default.
        target_loss: training loss to reach; the recorded one by default.

    Raises:
        NotComparableError: the runs belong to different tasks.
        UnknownNameError: no arm has the reference's label.
    """
    target = recorded_target(document.runs) if target_loss is None else target_loss
    arms = summarise(document, reference=reference, target_loss=target)
    if not arms:
        return [Notes(["no runs"])]
    return [*_blocks(document, arms, reference, target)]


def _blocks(document: Document, arms: Sequence[Arm], reference: str | None, target: float | None) -> Iterator[Block]:
    alone = len(arms) == 1
    yield from what_ran(document)
    if told := [*conclusions(arms, shared_seconds(document)), *caveats(document)]:
        yield Summary(told)
    yield Table("Progress", progress(arms, target, shared_seconds(document)), upright=alone)
    if (chart := loss_chart(document, arms)) is not None:
        yield chart
        if epochs := epochs_table(arms):
            yield Table("Training loss by epoch", epochs, folded=True, beside_chart=True)
    yield Table("Cost", cost(arms), upright=alone)
    if (bars := cost_bars(document, arms)) is not None:
        yield bars
    yield from breakdowns(arms, "Cost per update")
    yield from diagnostics(document, arms)
    if columns := update_costs(arms):
        yield Table("Cost per update, measured and predicted", columns)
    yield from samples(document)
    yield Notes(notes(arms))
    yield Warnings(find_warnings(document, reference=reference, target_loss=target))


def breakdowns(arms: Sequence[Arm], of: str) -> Iterator[Table]:
    """A table for each arm of what its phases cost."""
    for arm in arms:
        if arm.phases:
            yield Table(f"{of}: {arm.label}", breakdown(arm), folded=True)


def headline(document: Document) -> str:
    """The arm that ended lowest, the one that was lowest at equal time, and those that failed."""
    arms = summarise(document)
    ended = [(arm.final.value, arm.label) for arm in arms if arm.final is not None]
    timed = [(arm.at_shared_seconds.value, arm.label) for arm in arms if arm.at_shared_seconds is not None]
    told = [("lowest final train loss", ended)] if ended else []
    told += [("at equal time", timed)] if len(timed) > 1 else []
    least = ((what, *min(found)) for what, found in told)
    return led_by(", ".join(f"{what} {format_number(value, 4)} ({label})" for what, value, label in least), arms)
