"""One task and several optimizers side by side, or one alone; of one model, or of a generator and its critic."""

from __future__ import annotations

from collections.abc import Sequence

from ngbench.errors import UnknownNameError
from ngbench.experiments.against import Against, compare_sides
from ngbench.experiments.runs import ExperimentObserver, Place, Ran, SilentObserver, make_runs
from ngbench.running.adversarial_plan import make_adversarial_plan
from ngbench.running.plan import make_plan
from ngbench.running.problem import Problem
from ngbench.running.request import AdversarialRequest, Request

__all__ = ["compare", "compare_players"]


def compare(
    request: Request,
    *,
    place: Place | None = None,
    observer: ExperimentObserver | None = None,
    own_processes: bool = True,
    reference: str | None = None,
    problem: Problem | None = None,
    against: Against | None = None,
    restarts: int = 1,
) -> Ran:
    """Train the task with each optimizer, in turns of some steps.

    Args:
        request: what to run.
        place: where records are kept; nowhere by default.
        observer: is told what happens.
        own_processes: each arm in a process of its own; else all in this one.
        reference: the arm that ratios refer to, which must be one of them.
        problem: the task with its data, if it is loaded already.
        against: other code to run the same with, in turns, and how to judge it.
        restarts: how many fresh processes make each run, one after the other.

    Raises:
        UsageError: whatever the user can put right, before anything runs.
    """
    _check_reference(reference, [arm.label for arm in request.arms])
    place, observer = place or Place(), observer or SilentObserver()
    if against is not None:
        return compare_sides(request, against, place=place, observer=observer, reference=reference, restarts=restarts)
    if problem is None:
        observer.stage(f"loading the data of {request.task}")
    plan = make_plan(request, problem)
    return make_runs(plan, place=place, observer=observer, own_processes=own_processes, restarts=restarts)


def compare_players(
    request: AdversarialRequest,
    *,
    place: Place | None = None,
    observer: ExperimentObserver | None = None,
    own_processes: bool = True,
    reference: str | None = None,
) -> Ran:
    """Train the two players with each pair of optimizers; as :func:`compare`."""
    observer = observer or SilentObserver()
    observer.stage(f"loading the data of {request.task}, and the network that scores images")
    plan = make_adversarial_plan(request)
    _check_reference(reference, [run.config.label for run in plan.groups[0]])
    return make_runs(
        plan,
        place=place or Place(),
        observer=observer,
        own_processes=own_processes,
    )


def _check_reference(reference: str | None, labels: Sequence[str]) -> None:
    if reference is not None and reference not in labels:
        raise UnknownNameError("arm", reference, labels)
