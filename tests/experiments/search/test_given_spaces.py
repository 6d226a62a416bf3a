"""What ``--search`` and ``--space`` mean for which arm."""

from __future__ import annotations

from pathlib import Path

import pytest

from ngbench.arms import parse_arms
from ngbench.errors import UsageError
from ngbench.experiments.search.given_spaces import given_spaces
from ngbench.experiments.search.space import Choice, Interval

ARMS = parse_arms(["sgd,kfac,quick@kfac:damping=1"])


def from_file(tmp_path: Path, text: str, *searches: str) -> dict[str, object]:
    path = tmp_path / "space.yaml"
    path.write_text(text)
    return dict(given_spaces(ARMS, "toy", path, searches))


def test_a_search_is_for_all_arms_that_have_the_hyperparameter() -> None:
    assert given_spaces(ARMS, "toy", None, ["lr=0.1,1", "pi=true,false"]) == {
        "sgd": {"lr": Choice((0.1, 1.0))},
        "kfac": {"lr": Choice((0.1, 1.0)), "pi": Choice((True, False))},
        "quick": {"lr": Choice((0.1, 1.0)), "pi": Choice((True, False))},
    }


def test_a_search_may_name_its_arm_by_label_or_optimizer() -> None:
    assert given_spaces(ARMS, "toy", None, ["quick:lr=1e-3..1:log"]) == {"quick": {"lr": Interval(1e-3, 1.0, log=True)}}
    assert set(given_spaces(ARMS, "toy", None, ["kfac:lr=1"])) == {"kfac", "quick"}


FILE = """\
task: toy
arms:
  sgd: {lr: [0.1, 0.01]}
  kfac:
    lr: {low: 1e-3, high: 1, log: true}
    curvature_interval: [once, 10]
  quick: {lr: [3]}
  adam: {lr: [0.1]}
"""


def test_a_file_names_arms_by_label_before_optimizer_and_a_search_replaces_what_it_says(tmp_path: Path) -> None:
    assert from_file(tmp_path, FILE, "kfac:curvature_interval=5,6") == {
        "sgd": {"lr": Choice((0.1, 0.01))},
        "kfac": {"lr": Interval(1e-3, 1.0, log=True), "curvature_interval": Choice((5, 6))},
        "quick": {"lr": Choice((3.0,)), "curvature_interval": Choice((5, 6))},
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (FILE.replace("toy", "other"), r"line 1: the space is for the task 'other', not 'toy'"),
        (FILE.replace("arms:", "arm:"), r"must be a mapping with the key 'arms'"),
        (FILE + "more: 1\n", r"line 9: unknown key 'more'"),
        (FILE.replace("  sgd:", "  sdg:"), r"line 2: there is no space for the arm 'sgd'"),
        (FILE.replace("  adam:", "  adan:"), r"line 8: unknown optimizer 'adan'; did you mean 'adam'"),
        (FILE.replace("curvature_interval", "curvature"), r"line 6: optimizer kfac: unknown parameter 'curvature'"),
        (FILE.replace("[once, 10]", "[twice, 10]"), r"line 6: optimizer kfac: curvature_interval=twice is not allowed"),
        (FILE.replace("high", "hihg"), r"line 5: optimizer kfac: lr: a range has no 'hihg'"),
        (FILE.replace("{lr: [3]}", "3"), r"line 7: the space of quick must be a mapping"),
    ],
)
def test_a_bad_file_is_refused_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        from_file(tmp_path, text)


@pytest.mark.parametrize(
    ("searches", "said"),
    [
        (["lr"], r"--search 'lr' is not allowed, it must be \[ARM:\]KEY=VALUES"),
        ([":lr=1"], r"it must be \[ARM:\]KEY=VALUES"),
        (["kfca:lr=1"], r"--search kfca:lr=1: unknown arm 'kfca'; did you mean 'kfac'"),
        (["rate=1"], r"--search rate=1: unknown hyper-parameter 'rate'"),
        (["sgd:damping=1"], r"unknown hyper-parameter 'damping'"),
        (["lr=1", "sgd:lr=2"], r"--search sgd:lr=2: lr of arm 'sgd' is given twice"),
        (["lr=-1"], r"--search lr=-1: optimizer sgd: lr=-1 is not allowed"),
    ],
)
def test_a_bad_search_is_refused(searches: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        given_spaces(ARMS, "toy", None, searches)
