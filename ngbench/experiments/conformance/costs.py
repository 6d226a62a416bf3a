"""Time and memory of a step beside those of SGD and Adam. They are measured and shown, not judged, but for leaks."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

from torch import Tensor

from ngbench.experiments.conformance.outcome import CheckFailed, Passed
from ngbench.experiments.conformance.specimens import wide
from ngbench.experiments.conformance.trial import OptimizerSubject, Trial

__all__ = ["check_memory", "check_time", "only_new_objects"]

REFERENCES = ("sgd", "adam")
ROUNDS = 12
SECONDS = 5.0
EARLY, LATE = 4, 10
"""Steps after which memory is looked at: what a step leaves behind is there several times by then."""


def check_time(subject: OptimizerSubject) -> Passed:
    """Seconds of a step on a perceptron, in turns with SGD and Adam: the median, the first and the slowest one."""
    trials = [Trial(OptimizerSubject(name), wide()) for name in REFERENCES]
    own = Trial(subject, wide())
    first = _seconds(own)
    for trial in (*trials, own):
        _seconds(trial)
    taken: list[list[float]] = []
    ends = time.perf_counter() + SECONDS
    while len(taken) < ROUNDS and (len(taken) < 3 or time.perf_counter() < ends):
        taken.append([_seconds(trial) for trial in (*trials, own)])
    sgd, adam, mine = (median(column) for column in zip(*taken, strict=True))
    slowest = max(row[-1] for row in taken)
    values = {
        "step_seconds": mine,
        "step_ratio_sgd": mine / sgd,
        "step_ratio_adam": mine / adam,
        "first_step_ratio_sgd": first / sgd,
        "slowest_step_ratio_sgd": slowest / sgd,
    }
    return Passed(
        f"a step takes {mine / sgd:.3g} of SGD's and {mine / adam:.3g} of Adam's (medians of {len(taken)}); the first "
        f"{first / sgd:.3g}, the slowest later one {slowest / sgd:.3g} of SGD's",
        values,
    )


def _seconds(trial: Trial) -> float:
    inputs, targets = trial.batch(trial.taken)
    start = time.perf_counter()
    trial.optimizer.zero_grad()
    trial.backward_on(inputs, targets)
    trial.apply()
    return time.perf_counter() - start


def check_memory(subject: OptimizerSubject) -> Passed:
    """Bytes of the tensors that the optimizer holds between steps, which must not grow from step to step."""
    with only_new_objects():
        trial = Trial(subject, wide())
        trial.run(EARLY)
        early = live_bytes()
        trial.run(LATE - EARLY)
        late = live_bytes()
        if late > early:
            raise CheckFailed(
                f"it holds {(late - early) / (LATE - EARLY):,.0f} bytes more after each step: keep nothing of a step "
                "but what replaces what was kept before (detach() what is averaged)"
            )
        parameters = sum(p.numel() * p.element_size() for p in trial.model.parameters())
        mine = _held(trial)
        sgd, adam = (_held(_started(OptimizerSubject(name))) for name in REFERENCES)
    values = {"held_bytes": float(mine), "held_ratio_sgd": mine / sgd, "held_ratio_adam": mine / adam}
    return Passed(
        f"holds {mine / 2**20:.3g} MiB, {mine / parameters:.3g} of the parameters, {mine / sgd:.3g} of what SGD and "
        f"{mine / adam:.3g} of what Adam holds",
        values,
    )


def _started(subject: OptimizerSubject) -> Trial:
    trial = Trial(subject, wide())
    trial.run(EARLY)
    return trial


def _held(trial: Trial) -> int:
    """What goes when the optimizer goes."""
    before = live_bytes()
    del trial.optimizer
    return before - live_bytes()


@contextmanager
def only_new_objects() -> Iterator[None]:
    """Let the garbage collector see what is made in the block alone, which is faster by far."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def live_bytes() -> int:
    """Bytes of all tensors that the garbage collector sees; a storage that several of them share counts once."""
    gc.collect()
    storages: dict[int, int] = {}
    for thing in gc.get_objects():
        # type(), because a proxy may do anything when it is asked for its class.
        if issubclass(type(thing), Tensor):
            storage = thing.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())
