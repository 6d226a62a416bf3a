"""Approximations with one fault each: the check of that name fails, and no other."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ngbench.records.experiments import PluginRecord

SOUND = '''
import torch
from ngbench import Range
from typing import Annotated
from ngbench.curvature.kronecker.approximations import kfac
from ngbench.curvature.kronecker.estimate import Estimate
from ngbench.curvature.kronecker.sums import KroneckerSum

def planted(block, previous=None, *, share: Annotated[float, Range(minimum=0, maximum=1)] = 0.0) -> Estimate:
    """KFAC.

    Args:
        share: of the identity.
    """
    a, g = block.kfac_factors()
    # HERE
    return Estimate(KroneckerSum(((a, g),)))
'''
FAULTS = {
    "a factor is not symmetric": ("symmetry", "a = a + 1e-3 * a.norm() * torch.ones_like(a).triu(1)"),
    "both factors are negative": ("semi-definite", "a, g = -a, -g"),
    "the curvature is ten times too large": ("dense-error", "a = 10 * a"),
    "batches have other numbers of products": (
        "rank",
        "return Estimate(KroneckerSum(((a, g),) + (((0 * a, 0 * g),) if block.examples == 3 else ())))",
    ),
    "an estimate is random": ("determinism", "a = a * (1 + 1e-6 * float(torch.rand(())))"),
    "the statistics are changed": ("determinism", "spoil(block)"),
    "all is float32": ("dtype", "a, g = a.float(), g.float()"),
    "a zero is divided by": ("degenerate-input", "g = g * (g.norm() / g.norm())"),
    "NaN is taken for zero": ("nan-input", "a, g = a.nan_to_num(), g.nan_to_num()"),
    "a start is followed blindly": (
        "warm-start",
        "value = KroneckerSum(((a, g),))\n    return Estimate(previous or value, start=KroneckerSum(((3 * a, g),)))",
    ),
}
SPOIL = """
def spoil(block):
    for name in ("inputs", "derivatives", "_inputs", "_derivatives"):
        if isinstance(getattr(block, name, None), torch.Tensor):
            getattr(block, name).mul_(2)
"""


def failures(report: PluginRecord) -> set[str]:
    return set(report.failed)


def test_without_a_fault_everything_passes(examine: Callable[..., PluginRecord]) -> None:
    report = examine("approximation", SOUND)
    assert failures(report) == set()
    assert {row.name for row in report.checks if row.status == "not applicable"} <= {"device", "warm-start"}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_caught_by_its_name_alone(examine: Callable[..., PluginRecord], fault: str) -> None:
    expected, line = FAULTS[fault]
    assert failures(examine("approximation", SPOIL + SOUND.replace("# HERE", line))) == {expected}


@pytest.mark.parametrize("line", ["return KroneckerSum(((a, g),))", "a, g = g, a", "return Estimate(KroneckerSum(()))"])
def test_what_is_no_estimate_ends_the_test(examine: Callable[..., PluginRecord], line: str) -> None:
    report = examine("approximation", SOUND.replace("# HERE", line))
    assert failures(report) == {"estimate"}
    assert all(row.message == "not without estimate" for row in report.checks[2:])


def test_options_are_passed_on_and_checked(examine: Callable[..., PluginRecord]) -> None:
    source = SOUND.replace("# HERE", "a = a * (share < 0.5) - a * (share >= 0.5)")
    assert failures(examine("approximation", source, {"share": "0.9"})) >= {"semi-definite"}


def test_a_warning_of_the_plugin_is_said_once_and_those_of_the_models_it_is_tried_on_are_not(
    examine: Callable[..., PluginRecord], recwarn: pytest.WarningsRecorder
) -> None:
    source = "import warnings\n" + SOUND.replace("# HERE", "warnings.warn('share is deprecated', FutureWarning)")
    report = examine("approximation", source)
    assert failures(report) == set()
    assert [row.message.count("it warns: FutureWarning: share is deprecated") for row in report.checks].count(1) == 1
    assert not any("without curvature" in row.message for row in report.checks)
    assert list(recwarn) == []
