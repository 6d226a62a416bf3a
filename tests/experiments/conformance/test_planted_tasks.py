"""Tasks with one fault each: the check of that name fails, and no other."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ngbench.records.experiments import PluginRecord

SOUND = '''
import torch
from torch import nn
from ngbench import Categorical, Data, DataSource, Gaussian, Task
from ngbench.errors import DataError

def augment(inputs, generator):
    return inputs + 0.1 * torch.randn(inputs.shape, generator=generator)

class Spare(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(4, 3))
        self.spare = nn.Parameter(torch.zeros(2))

    def forward(self, inputs):
        return self[0](inputs)

def planted(*, examples: int = 40) -> Task:
    """Random points.

    Args:
        examples: how many.
    """
    def data(directory):
        generator = torch.Generator().manual_seed(0)
        inputs = torch.randn(examples + 10, 4, generator=generator)
        labels = torch.randint(3, (examples + 10,), generator=generator)
        source = DataSource("POINTS", "generated", "random points", "0" * 64)
        return Data(inputs[:examples], labels[:examples], inputs[examples:], labels[examples:], source, augment)
    return Task(
        model=lambda: nn.Sequential(nn.Linear(4, 3)),
        data=data,
        likelihood=Categorical(),
        batch_size=10,
        epochs=2,
        hyperparameters={"sgd": {"lr": 0.1}, "two-level-spectral": {"coarse_space": "spectral"}},
        grid={"adam": {"lr": (0.1, 0.2)}},
        metrics={"one": lambda outputs, targets: outputs.new_ones(())},
    )
'''
FAULTS = {
    "an option has no type": ("signature", "examples: int = 40", "examples=40"),
    "a published value is not allowed": ("hyperparameters", '"lr": 0.1', '"lr": -0.1'),
    "an optimizer does not exist": ("hyperparameters", '"two-level-spectral"', '"three-level"'),
    "a value of the grid is not allowed": ("grids", "(0.1, 0.2)", "(0.1, 0.0)"),
    "the grid has a misspelt name": ("grids", '"adam": {"lr"', '"adam": {"rate"'),
    "initial weights are those of the first call": (
        "initialisation",
        "lambda: nn.Sequential(nn.Linear(4, 3))",
        "lambda made=[]: made.append(nn.Linear(4, 3)) or nn.Sequential(made[0])",
    ),
    "initial weights follow from no seed": (
        "initialisation",
        "lambda: nn.Sequential(nn.Linear(4, 3))",
        "lambda: (torch.seed(), nn.Sequential(nn.Linear(4, 3)))[1]",
    ),
    "validation inputs have another shape": ("data", "inputs[examples:],", "inputs[examples:, :2],"),
    "the data contain NaN": ("data", "labels = torch", "inputs[0, 0] = float('nan'); labels = torch"),
    "a stand-in has no name": ("source", '"generated", "random points"', '"stand-in", " "'),
    "the digest is none": ("source", '"0" * 64', '"none"'),
    "the data are drawn anew": ("data-determinism", "manual_seed(0)", "manual_seed(torch.seed() % 2**31)"),
    "augmentation follows from no seed": (
        "augmentation",
        "randn(inputs.shape, generator=generator)",
        "randn(inputs.shape)",
    ),
    "a batch is larger than the data": ("batch-sizes", "batch_size=10", "batch_size=100"),
    "the likelihood is that of other targets": ("outputs", "likelihood=Categorical()", "likelihood=Gaussian()"),
    "a parameter has no part in the loss": ("gradients", "lambda: nn.Sequential(nn.Linear(4, 3))", "Spare"),
    "a metric is a vector": ("metrics", "new_ones(())", "new_ones(2)"),
}


def failures(report: PluginRecord) -> set[str]:
    return set(report.failed)


def test_without_a_fault_everything_passes(examine: Callable[..., PluginRecord]) -> None:
    report = examine("task", SOUND)
    assert failures(report) == set()
    assert {row.name for row in report.checks if row.status == "not applicable"} == {"players"}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_caught_by_its_name_alone(examine: Callable[..., PluginRecord], fault: str) -> None:
    expected, old, new = FAULTS[fault]
    assert old in SOUND
    caught = failures(examine("task", SOUND.replace(old, new)))
    # A loss that cannot be computed has no gradients either.
    assert caught - ({"gradients"} if expected == "outputs" else set()) == {expected}


def test_data_that_cannot_be_had_are_no_fault(examine: Callable[..., PluginRecord]) -> None:
    report = examine(
        "task", SOUND.replace("generator = torch", "raise DataError('no disk')\n        generator = torch")
    )
    rows = {row.name: row for row in report.checks}
    assert failures(report) == set()
    assert (rows["data"].status, rows["data"].message) == ("not applicable", "its data cannot be had here: no disk")
    assert rows["outputs"].message == "not without data"
