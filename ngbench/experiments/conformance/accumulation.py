"""Several backward passes before a step."""

from __future__ import annotations

from ngbench.experiments.conformance.outcome import CheckFailed, Passed
from ngbench.experiments.conformance.trial import OptimizerSubject, Trial, differ, distance

__all__ = ["check_gradient_accumulation"]

TOLERANCE = 1e-4


def check_gradient_accumulation(subject: OptimizerSubject) -> Passed:
    """Backward passes add up in the gradient, nothing moves before ``step``, and each of them counts.

    Two passes over the same mini-batch at half the loss are one pass over it, whatever an optimizer makes of the
    curvature. With two different ones, the step must depend on either.
    """
    once, twice = _accumulated(subject, [(0, 1.0)]), _accumulated(subject, [(0, 0.5), (0, 0.5)])
    start = _started(subject).parameters()
    if (apart := distance(once.parameters(), twice.parameters(), start)) > TOLERANCE:
        raise CheckFailed(
            f"two backward passes over a mini-batch at half the loss give another step than one ({apart:.2g} of its "
            "length): take the gradient from p.grad in step(), not from what a hook saw last"
        )
    both = _accumulated(subject, [(1, 0.5), (2, 0.5)]).parameters()
    for which, passes in (("first", [(3, 0.5), (2, 0.5)]), ("second", [(1, 0.5), (3, 0.5)])):
        if not differ(both, _accumulated(subject, passes).parameters()):
            raise CheckFailed(
                f"of two backward passes before a step the {which} does not count: take the gradient from p.grad "
                "in step()"
            )
    return Passed(f"two half passes are one to {apart:.1g}")


def _started(subject: OptimizerSubject) -> Trial:
    """A trial after steps of which some optimizers use the first to look around."""
    trial = Trial(subject)
    trial.run(2)
    return trial


def _accumulated(subject: OptimizerSubject, passes: list[tuple[int, float]]) -> Trial:
    """One step on the gradients of some mini-batches, each with a factor of its loss."""
    trial = _started(subject)
    before = trial.parameters()
    trial.optimizer.zero_grad()
    for index, scale in passes:
        trial.backward(index, scale)
    if moved := differ(before, trial.parameters()):
        raise CheckFailed(f"backward() moved {moved[0]} before step() was called: only step() may")
    trial.apply()
    return trial
