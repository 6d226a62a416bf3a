"""The file of hyper-parameters: what it means, and that a bad one is refused with its line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from ngbench.arms import ArmSpec
from ngbench.errors import ParameterError
from ngbench.running.best_settings import Settings, load_settings

GOOD = """\
task: toy
batch_size: 64
task_options: {examples: 100}
arms:
  kfac:
    hyperparameters:
      lr: 1e-1
      curvature_interval: once
      kl_clip: null
  quick:
    optimizer: torch.optim.AdamW
    hyperparameters: {lr: 0.1, betas: [0.5, 0.9]}
"""


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Settings]:
    def read(text: str, task: str = "toy") -> Settings:
        path = tmp_path / "h.yaml"
        path.write_text(dedent(text))
        return load_settings(path, task)

    return read


def test_values_are_converted_and_found_by_label_or_optimizer(read: Callable[..., Settings]) -> None:
    settings = read(GOOD)
    assert settings.for_arm("kfac", "kfac") == {"lr": 0.1, "curvature_interval": "once", "kl_clip": None}
    assert settings.for_arm("w", "torch.optim.AdamW") == {"lr": 0.1, "betas": (0.5, 0.9)}
    assert settings.for_arm("sgd", "sgd") is None


def test_a_label_decides_between_arms_of_one_optimizer_and_nothing_else_does(read: Callable[..., Settings]) -> None:
    settings = read(
        """\
        task: toy
        arms:
          a: {optimizer: sgd, hyperparameters: {lr: 0.1}}
          b: {optimizer: sgd, hyperparameters: {lr: 0.2}}
        """
    )
    assert settings.for_arm("b", "sgd") == {"lr": 0.2}
    with pytest.raises(ParameterError, match=r"several arms with the optimizer sgd \(a, b\)"):
        settings.for_arm("c", "sgd")
    # A label of another optimizer is no match.
    assert settings.for_arm("a", "adam") is None


def test_notes_say_what_is_used_and_what_differs(read: Callable[..., Settings]) -> None:
    settings = read(GOOD)
    lines = settings.notes([ArmSpec("kfac", "kfac"), ArmSpec("sgd", "sgd")], 32, {"examples": 50})
    assert [line.partition(settings.path.name)[0] for line in lines[:1]] == [
        f"hyper-parameters of kfac: from {settings.path.parent}/"
    ]
    assert "says nothing of sgd" in lines[1]
    assert "found with batch size 64, not 32" in lines[2]
    assert "found with examples=100, not 50" in lines[3]
    assert len(settings.notes([ArmSpec("kfac", "kfac")], 64, {"examples": 100})) == 1
    with pytest.raises(ParameterError, match="none of the arms sgd"):
        settings.notes([ArmSpec("sgd", "sgd")], 64, {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task: other\narms: {sgd: {hyperparameters: {}}}\n", r"line 1: .* for the task 'other', not 'toy'"),
        ("arms: {sgd: {hyperparameters: {}}}\n", r"line 1: .* for the task None"),
        ("task: toy\n", r"line 1: 'arms' must be"),
        ("- 1\n", "must be a mapping"),
        ("task: toy\narm: {}\n", r"line 2: unknown key 'arm'"),
        ("task: toy\nversion: 2\narms: {sgd: {hyperparameters: {}}}\n", r"line 2: this is no"),
        ("task: toy\narms:\n  sdg: {hyperparameters: {}}\n", r"line 3: unknown optimizer 'sdg'; did you mean 'sgd'"),
        ("task: toy\narms:\n  a:\n    optimizer: sdg\n    hyperparameters: {}\n", r"line 4: unknown optimizer 'sdg'"),
        ("task: toy\narms:\n  sgd: {lr: 1}\n", r"line 3: unknown key 'lr'"),
        ("task: toy\narms:\n  sgd: 3\n", r"line 3: the arm must be a mapping"),
        ("task: toy\narms:\n  sgd:\n    hyperparameters: 3\n", r"line 4: the arm's 'hyperparameters'"),
        (
            "task: toy\narms:\n  sgd:\n    hyperparameters:\n      lr: 0.1\n      momentun: 0.9\n",
            r"line 6: optimizer sgd: unknown parameter 'momentun'; did you mean 'momentum'",
        ),
        ("task: toy\narms:\n  sgd:\n    hyperparameters:\n      lr: fast\n", r"line 5: .*lr=fast is not allowed"),
        ("task: toy\nbatch_size: big\narms: {sgd: {hyperparameters: {}}}\n", r"line 2: batch_size=big"),
    ],
)
def test_what_is_refused(read: Callable[..., Settings], text: str, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        read(text)
