from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ngbench.running.config import Budget, RunConfig
from ngbench.running.problem import DeviceData, Problem
from ngbench.running.supervised_training import SupervisedTraining

CPU = torch.device("cpu")


def probe(problem: Problem, optimizer: str, **hyperparameters: Any) -> Any:
    config = RunConfig(
        task="small",
        label=optimizer,
        optimizer=optimizer,
        seed=0,
        batch_size=10,
        budget=Budget(epochs=1),
        data_dir=Path("unused"),
        hyperparameters=hyperparameters,
    )
    training = SupervisedTraining(config, problem)
    training.load_data()
    return training.probe()


def test_refresh_and_plain_steps_are_counted_apart(problem: Problem) -> None:
    counted = probe(problem, "kfac", curvature_interval=100, inverse_interval=100, damping=0.1)
    assert counted.unknown_operators == []
    counts = counted.operations
    assert set(counts) == {"plain", "refresh"}
    assert set(counts["plain"]) == {"forward", "backward", "precondition", "update"}
    assert set(counts["refresh"]) == set(counts["plain"]) | {"curvature_backward", "accumulate", "refresh"}
    forward = 2 * 10 * (6 * 8 + 8 * 3)
    assert counts["plain"]["forward"].flops == counts["refresh"]["forward"].flops == forward
    assert counts["refresh"]["refresh"].flops > 0
    assert counts["plain"]["backward"].flops == 2 * 10 * 6 * 8 + 2 * 2 * 10 * 8 * 3


def test_counting_leaves_the_random_state_alone(problem: Problem) -> None:
    torch.manual_seed(4)
    before = torch.get_rng_state()
    probe(problem, "torch.optim.SGD", lr=0.1)
    assert torch.equal(torch.get_rng_state(), before)


def test_an_auto_encoders_data_stay_one_tensor(problem: Problem) -> None:
    data = problem.data
    inputs = data.train_inputs
    moved = DeviceData.of(replace(data, train_targets=inputs), CPU, torch.float64)
    assert moved.train_targets is moved.train_inputs
    assert moved.train_inputs.dtype is torch.float64


def test_classes_keep_their_integer_type(problem: Problem) -> None:
    classes = torch.zeros(50, dtype=torch.int64)
    moved = DeviceData.of(replace(problem.data, train_targets=classes), CPU, torch.bfloat16)
    assert moved.train_targets.dtype is torch.int64
