"""Runs on examples that are made when a batch asks for them equal runs on the same examples in memory."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ngbench.curvature.likelihoods import Categorical
from ngbench.measurement.recorder import StepRecorder
from ngbench.running.problem import DeviceData, Problem
from ngbench.running.step import TrainingStep
from ngbench.running.validation import evaluate
from ngbench.task import Data, DataSource, Task


class Lazy:
    """Hands out rows of a tensor and remembers which."""

    def __init__(self, tensor: Tensor, asked: list[int]) -> None:
        self.tensor, self.asked = tensor, asked

    def __len__(self) -> int:
        return len(self.tensor)

    def __getitem__(self, index: Tensor | slice) -> Tensor:
        self.asked.append(len(self.tensor[index]))
        return self.tensor[index]

    def to(self, device: torch.device, dtype: torch.dtype) -> Lazy:
        return Lazy(self.tensor.to(device, dtype), self.asked)


def losses(inputs: Tensor | Lazy, targets: Tensor) -> list[float]:
    data = Data(inputs, targets, inputs, targets, DataSource("rows", "generated", "for a test", "0" * 64))
    task = Task(lambda: nn.Linear(3, 2), lambda directory: data, Categorical(), batch_size=4, epochs=1)
    torch.manual_seed(0)
    model = task.model().double()
    moved = DeviceData.of(data, torch.device("cpu"), torch.float64)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    step = TrainingStep(Problem("rows", task, data), moved, model, optimizer, StepRecorder(lambda: 0))
    generator = torch.Generator()
    trained = [float(step(torch.tensor(index), generator)) for index in ([3, 0, 9, 4], [1, 2, 5, 6])]
    validation, _ = evaluate(task, model, moved, batch_size=4)
    assert validation is not None
    return [*trained, validation]


def test_lazy_examples_train_and_evaluate_as_tensors_do() -> None:
    inputs = torch.randn(10, 3, generator=torch.Generator().manual_seed(1))
    targets = torch.arange(10) % 2
    asked: list[int] = []
    assert losses(Lazy(inputs, asked), targets) == pytest.approx(losses(inputs, targets), rel=1e-12)
    # Two batches, then the validation examples in parts: never all at once.
    assert asked == [4, 4, 4, 4, 2]
