"""Tasks of which some targets are ignored: the likelihood is told which before the model runs."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ngbench.curvature.likelihoods import Categorical
from ngbench.experiments.conformance.trial import OptimizerSubject, Trial
from ngbench.measurement.recorder import StepRecorder
from ngbench.optimizers.kronecker import kfac
from ngbench.running.problem import DeviceData, Problem
from ngbench.running.step import TrainingStep
from ngbench.running.step_comparison import StepComparer
from ngbench.task import Data, DataSource, Task

CPU = torch.device("cpu")


@pytest.fixture
def problem() -> Problem:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(12, 3, generator=generator)
    targets = torch.tensor([0, 1, -100, 1, 0, -100] * 2)
    data = Data(inputs, targets, inputs, targets, DataSource("rows", "generated", "for a test", "0" * 64))
    task = Task(lambda: nn.Linear(3, 2), lambda directory: data, Categorical(ignore_index=-100), batch_size=6, epochs=1)
    return Problem("rows", task, data)


def test_a_training_step_tells_the_likelihood_its_targets(problem: Problem) -> None:
    torch.manual_seed(0)
    model = problem.task.model()
    optimizer = kfac(model, problem.task, fisher="exact")
    comparison = StepComparer(problem, model, optimizer, damping=0.1, seed=0)
    moved = DeviceData.of(problem.data, CPU, torch.float32)
    step = TrainingStep(problem, moved, model, optimizer, StepRecorder(lambda: 0))
    comparison.before()
    loss = step(torch.tensor([0, 1, 2, 3, 4, 5]), torch.Generator())
    assert loss.isfinite()
    assert step.batch is not None
    assert comparison.after(*step.batch)["exact_angle"] > 0


@pytest.mark.parametrize("fisher", ["sampled", "exact"])
def test_the_conformance_test_tells_it_too(problem: Problem, fisher: str) -> None:
    losses = [Trial(OptimizerSubject("kfac", {"fisher": fisher}), problem).step() for _ in range(2)]
    assert losses[0] == losses[1]
