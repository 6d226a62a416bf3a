"""A small task, and runs on it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from ngbench.curvature.likelihoods import Gaussian
from ngbench.records.record import DataRecord, OptimizerRecord, RunRecord
from ngbench.running.config import Budget, RunConfig
from ngbench.running.problem import Problem
from ngbench.running.run import Run
from ngbench.running.supervised_training import SupervisedTraining
from ngbench.task import Data, DataSource, Task
from tests.blank_run import blank_run

sys.path.insert(0, str(Path(__file__).parent))

EXAMPLES = 50


def small_model() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 3))


@pytest.fixture
def problem() -> Problem:
    """50 examples to train on, with dropout, so that random states matter."""
    generator = torch.Generator().manual_seed(7)
    inputs = torch.randn(EXAMPLES + 20, 6, generator=generator)
    targets = torch.randn(EXAMPLES + 20, 3, generator=generator)
    data = Data(
        inputs[:EXAMPLES],
        targets[:EXAMPLES],
        inputs[EXAMPLES:],
        targets[EXAMPLES:],
        DataSource("SMALL", "generated", "random numbers", "00"),
    )
    task = Task(
        model=small_model,
        data=lambda directory: data,
        likelihood=Gaussian(),
        batch_size=16,
        epochs=3,
        metrics={"largest": lambda outputs, targets: outputs.abs().max()},
    )
    return Problem("small", task, data)


Configure = Callable[..., RunConfig]


@pytest.fixture
def configure() -> Configure:
    """A configuration of SGD on the small task; keywords replace its parts."""

    def configure(**parts: Any) -> RunConfig:
        config = RunConfig(
            task="small",
            label="sgd",
            optimizer="torch.optim.SGD",
            seed=3,
            batch_size=16,
            budget=Budget(epochs=3),
            data_dir=Path("unused"),
            hyperparameters={"lr": 0.1, "momentum": 0.9},
            threads=torch.get_num_threads(),
        )
        return replace(config, **parts)

    return configure


def first_record(config: RunConfig) -> RunRecord:
    return blank_run(
        label=config.label,
        task=config.task,
        data=DataRecord(
            name="SMALL", origin="generated", description="", digest="00", train_examples=50, validation_examples=20
        ),
        optimizer=OptimizerRecord(name=config.optimizer, hyperparameters=config.hyperparameters),
        seed=config.seed,
        device=config.device,
        dtype=config.dtype,
        batch_size=config.batch_size,
        budget=config.budget.as_dict(),
    )


@pytest.fixture
def record_of() -> Callable[[RunConfig], RunRecord]:
    """What is known of a run before it begins."""
    return first_record


@pytest.fixture
def run_to_end(problem: Problem) -> Callable[[RunConfig], RunRecord]:
    """The record of a whole run."""

    def run_to_end(config: RunConfig) -> RunRecord:
        run = Run(SupervisedTraining(config, problem), first_record(config))
        record = run.prepare()
        while record.status == "running":
            record = run.epoch()
        return record

    return run_to_end
