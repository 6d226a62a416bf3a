"""What every optimizer spends in every phase, in SGD steps of the same run, through the fixture that ngbench ships.

``pytest tests/benchmarks/test_every_optimizer.py --benchmark-enable`` shows a table for each phase and saves the ratios
with ``--benchmark-json``; without a benchmark run each takes two steps, so that nothing here is broken unnoticed. The
other modules hold single phases to their targets, with a curvature that is new in every step; here it is estimated and
inverted in every fifth, and shown beside plain steps.
"""

from __future__ import annotations

import typing
from importlib.metadata import entry_points

import pytest

from ngbench.plugins import registry

FIRST_ORDER = ["forward", "backward", "step"]
CURVATURE = ["curvature_backward", "accumulate", "refresh", "precondition"]
SECOND_ORDER = ["forward", "backward", *CURVATURE, "update"]
EVERY_FIFTH = "curvature_interval=5,inverse_interval=5"

# For each label the optimizer: all that are registered, and the choices that change what a phase computes.
ARMS = {
    "sgd-plain": "sgd:momentum=0",
    "adagrad": "adagrad",
    "rmsprop": "rmsprop",
    "adam": "adam",
    "kfac": f"kfac:{EVERY_FIFTH}",
    "kfac-normal": f"kfac:damping_kind=normal,{EVERY_FIFTH}",
    "kfac-empirical": f"kfac:fisher=empirical,{EVERY_FIFTH}",
    "kfac-exact": f"kfac:fisher=exact,{EVERY_FIFTH}",
    "kpsvd": f"kpsvd:{EVERY_FIFTH}",
    "deflation": f"deflation:{EVERY_FIFTH}",
    "lanczos": f"lanczos:{EVERY_FIFTH}",
    "kfac-corrected": f"kfac-corrected:{EVERY_FIFTH}",
    **{
        f"two-level-{space}": f"two-level:coarse_space={space},{EVERY_FIFTH}"
        for space in (
            "nicolaides",
            "spectral",
            "residual",
            "krylov-nicolaides",
            "krylov-residual",
            "taylor",
            "previous",
        )
    },
    "two-level-deflation": f"two-level:approximation=deflation,{EVERY_FIFTH}",
    "block-diagonal-ng": "block-diagonal-ng:curvature_interval=5",
    "block-diagonal-ng-factored": "block-diagonal-ng:damping_kind=factored,curvature_interval=5",
    "exact-ng": "exact-ng:curvature_interval=5",
    "exact-ng-empirical": "exact-ng:fisher=empirical,curvature_interval=5",
}
# Without a benchmark run: networks that are small, on data that are quick to make.
DRY = {"reduction": 4, "examples": 64}


def _expected(arm: str) -> list[str]:
    name, _, settings = ARMS[arm].partition(":")
    if name in ("sgd", "adagrad", "rmsprop", "adam"):
        return FIRST_ORDER
    # The empirical Fisher matrix is made of the derivatives that the step's own backward pass has.
    return [phase for phase in SECOND_ORDER if phase != "curvature_backward" or "fisher=empirical" not in settings]


@pytest.mark.parametrize("arm", ARMS)
def test_every_phase_in_units_of_an_sgd_step(arm, benchmark, ngbench_step):
    settings = {"batch_size": 16, "options": DRY} if benchmark.disabled else {}
    costs = ngbench_step(f"{arm}@{ARMS[arm]}", **settings)
    assert list(costs.phases) == _expected(arm)
    assert all(cost.ratio.value > 0 for cost in costs.phases.values())
    if "refresh" in costs.phases:
        refreshed, preconditioned = costs.phases["refresh"].calls, costs.phases["precondition"].calls
        # Of the two steps of a dry run, one may have been interrupted.
        assert refreshed < preconditioned or (benchmark.disabled and refreshed == preconditioned == 1)


def test_no_registered_optimizer_is_missing():
    points = entry_points(group="ngbench.optimizers")
    registered = {point.name for point in points if point.value.startswith("ngbench.optimizers.")}
    assert registered == {text.partition(":")[0] for text in ARMS.values()}


@pytest.mark.parametrize(
    ("name", "choice_of"),
    [
        ("kfac", "damping_kind"),
        ("kfac", "fisher"),
        ("two-level", "coarse_space"),
        ("block-diagonal-ng", "damping_kind"),
    ],
)
def test_no_choice_is_missing(name, choice_of):
    (parameter,) = [one for one in registry.optimizer(name).parameters if one.name == choice_of]
    measured = [text for text in ARMS.values() if text.partition(":")[0] == name]
    choices = typing.get_args(parameter.annotation)
    assert len(choices) > 1
    for choice in choices:
        # The default is measured where nothing is said.
        assert choice == parameter.default or any(f"{choice_of}={choice}" in text for text in measured)
