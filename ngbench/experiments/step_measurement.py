"""What a step of one optimizer costs beside one of a reference, for suites of benchmarks."""

from __future__ import annotations

from dataclasses import dataclass

from ngbench.experiments.runs import refuse_unfinished
from ngbench.records.record import Document, RunRecord
from ngbench.records.statistics import UncertainValue
from ngbench.records.step_costs import STEP, Cost, costs_of
from ngbench.units import format_hyperparameters

__all__ = ["StepCosts", "step_costs"]


@dataclass(frozen=True)
class StepCosts:
    """What was measured.

    Attributes:
        title: the task with its options.
        record: of the optimizer's run.
        reference: of the reference's.
        costs: of all parts of a step, of both.
        ratio: how many steps of the reference a step takes, amortised over plain and refresh steps, with its 95 %
            interval; none after a single round.
    """

    title: str
    record: RunRecord
    reference: RunRecord
    costs: list[Cost]
    ratio: UncertainValue

    @property
    def step(self) -> Cost:
        """Of the optimizer's whole step."""
        return next(cost for cost in self.costs if cost.part == STEP and cost.arm == self.record.label)

    @property
    def phases(self) -> dict[str, Cost]:
        """Of the optimizer's phases by name, in the order in which a step has them.

        ``phases["refresh"].ratio`` is how many steps of the reference a step spends in the phase on average,
        ``.seconds`` what a call takes, and ``.flops`` and ``.bytes`` what a call computes and moves, which no noise
        changes.
        """
        found = {cost.part.partition(".")[2]: cost for cost in self.costs if cost.arm == self.record.label}
        return {name: found[name] for name in self.record.phases if name in found}


def step_costs(document: Document) -> StepCosts:
    """What the steps of two arms cost, of which the first is the reference and each ran one seed.

    Raises:
        NgbenchError: a run did not end as it should.
    """
    reference, record = document.runs
    refuse_unfinished(document.runs)
    costs = costs_of([reference, record], reference.label)
    title = " ".join([record.task, format_hyperparameters(record.task_options)]).strip()
    ratio = next(cost.ratio for cost in costs if cost.part == STEP and cost.arm == record.label)
    assert ratio is not None, "both took the same rounds"
    return StepCosts(title, record, reference, costs, ratio)
