"""Learning rates over runs: of every group of every optimizer, by step, whether a run goes on or not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from adversarial import ADAM, BATCH, EXAMPLES, configuration, run_of, to_the_end
from torch.optim import lr_scheduler

from ngbench.arms import parse_arms
from ngbench.errors import ParameterError
from ngbench.records.record import RunRecord
from ngbench.running.adversarial_config import PlayerConfig
from ngbench.running.config import Budget, RunConfig
from ngbench.running.learning_rates import LearningRates
from ngbench.running.plan import make_plan
from ngbench.running.problem import Problem
from ngbench.running.request import Request, RunOptions
from ngbench.running.run import Run
from ngbench.running.supervised_training import SupervisedTraining
from ngbench.schedules import relative_rate

Configure = Callable[..., RunConfig]
RecordOf = Callable[[RunConfig], RunRecord]

KFAC = {"lr": 0.3, "momentum": 0.9, "kl_clip": 1e-3, "curvature_interval": 2, "inverse_interval": 2}


def watched(run: Run) -> list[list[float]]:
    """The rates of each step's groups, of all optimizers, as the run takes them."""
    training, seen = run._training, []
    step = training.step

    def recording(taken: int) -> Sequence[torch.Tensor]:
        groups = [group for one in training.optimizers.values() for group in one.param_groups]
        seen.append([float(group["lr"]) for group in groups])
        return step(taken)

    training.step = recording
    return seen


def until(run: Run, epochs: int) -> RunRecord:
    for _ in range(epochs):
        record = run.epoch()
    return record


@pytest.mark.parametrize(
    ("optimizer", "hyperparameters"),
    [
        ("torch.optim.SGD", {"lr": 0.1, "momentum": 0.9}),
        ("torch.optim.Adam", {"lr": 0.1}),
        ("torch.optim.LBFGS", {"lr": 0.1}),
        ("kfac", KFAC),
        ("exact-ng", {"lr": 0.3, "damping": 1.0}),
    ],
)
@pytest.mark.parametrize("schedule", ["cosine", "steps:0.1@1/2", "power:0.5"])
def test_the_rate_of_each_step_is_that_of_the_formula(
    optimizer: str,
    hyperparameters: dict[str, Any],
    schedule: str,
    problem: Problem,
    configure: Configure,
    record_of: RecordOf,
) -> None:
    of_run = {"schedule": schedule, "warmup": "3", "epoch_steps": 4}
    config = configure(optimizer=optimizer, hyperparameters=hyperparameters, **of_run)
    run = Run(SupervisedTraining(config, problem), record_of(config))
    run.prepare()
    seen = watched(run)
    assert until(run, 3).status == "done"
    relative = relative_rate(schedule, "3", epoch_steps=4, end=12)
    assert seen == [[pytest.approx(hyperparameters["lr"] * relative(step))] for step in range(12)]


def trained(run: Run, epochs: int) -> list[torch.Tensor]:
    run.prepare()
    until(run, epochs)
    return list(run._training.model.parameters())


@pytest.mark.parametrize("optimizer", ["torch.optim.SGD", "kfac"])
def test_a_run_moves_as_with_the_scheduler_of_torch(
    optimizer: str, problem: Problem, configure: Configure, record_of: RecordOf
) -> None:
    hyperparameters = KFAC if optimizer == "kfac" else {"lr": 0.1, "momentum": 0.9}
    parts = {"optimizer": optimizer, "hyperparameters": hyperparameters, "dtype": "float64", "epoch_steps": 4}
    config = configure(schedule="cosine", **parts)
    ours = trained(Run(SupervisedTraining(config, problem), record_of(config)), 3)

    plain = Run(SupervisedTraining(configure(**parts), problem), record_of(config))
    plain.prepare()
    training: Any = plain._training
    scheduler = lr_scheduler.CosineAnnealingLR(training.optimizers[""], T_max=12)
    step = training.step

    def scheduled(taken: int) -> Sequence[torch.Tensor]:
        loss = step(taken)
        scheduler.step()
        return loss

    training.step = scheduled
    until(plain, 3)
    for mine, theirs in zip(ours, training.model.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("optimizer", ["torch.optim.SGD", "kfac"])
def test_a_run_that_goes_on_ends_like_one_that_was_not_stopped(
    optimizer: str, tmp_path: Path, problem: Problem, configure: Configure, record_of: RecordOf
) -> None:
    hyperparameters = KFAC if optimizer == "kfac" else {"lr": 0.1, "momentum": 0.9}
    of_run = {"schedule": "linear", "warmup": "2", "epoch_steps": 4, "checkpoint": tmp_path / "state.pt"}
    config = configure(optimizer=optimizer, hyperparameters=hyperparameters, **of_run)
    whole = trained(Run(SupervisedTraining(config, problem), record_of(config)), 3)
    trained(Run(SupervisedTraining(config, problem), record_of(config)), 1)
    goes_on = replace(config, resume=True)
    resumed = trained(Run(SupervisedTraining(goes_on, problem), record_of(goes_on)), 2)
    assert all(map(torch.equal, whole, resumed))


def test_both_players_follow_their_schedules_by_iteration(tmp_path: Path) -> None:
    steps = EXAMPLES // BATCH
    players = {"generator": PlayerConfig("sgd", {"lr": 0.1, "schedule": "linear", "warmup": "0"}), "critic": ADAM}
    run = run_of(
        configuration(
            tmp_path, players=players, budget=Budget(epochs=2), schedule="cosine", warmup="2", epoch_steps=steps
        )
    )
    seen = watched(run)
    assert to_the_end(run).status == "done"
    generator = relative_rate("linear", "0", epoch_steps=steps, end=2 * steps)
    critic = relative_rate("cosine", "2", epoch_steps=steps, end=2 * steps)
    assert seen == [
        [pytest.approx(0.1 * generator(step)), pytest.approx(1e-3 * critic(step))] for step in range(2 * steps)
    ]


def test_a_rate_that_is_a_tensor_stays_one(configure: Configure) -> None:
    rate = torch.tensor(0.5, dtype=torch.float64)
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=rate, foreach=False)
    rates = LearningRates(configure(warmup="4"), "torch.optim.Adam", {}, optimizer)
    rates.set(0)
    assert optimizer.param_groups[0]["lr"] is rate
    assert rate.item() == 0.125
    rates.set(9)
    assert rate.item() == 0.5


def test_an_optimizer_without_a_rate_says_so(configure: Configure) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    del optimizer.param_groups[0]["lr"]
    LearningRates(configure(), "torch.optim.SGD", {}, optimizer).set(0)
    with pytest.raises(ParameterError, match="schedule=power:1 and warmup=0 is not allowed with optimizer"):
        LearningRates(configure(schedule="power:1"), "torch.optim.SGD", {}, optimizer)


def planned(arms: str, **options: Any) -> list[RunConfig]:
    request = Request(
        "curves-autoencoder", parse_arms([arms]), {"examples": "64"}, RunOptions(**{"batch_size": 16, **options})
    )
    return [run.config for run in make_plan(request).groups[0]]


def test_an_arms_own_schedule_comes_before_that_of_the_run() -> None:
    one, other = planned("sgd,b@sgd:schedule=steps:0.1@1/2,warmup=0", epochs=3, schedule="cosine", warmup=3)
    assert one.conditions == other.conditions == {"schedule": "cosine", "warmup": "3"}
    assert (one.epoch_steps, one.last_step) == (4, 12)
    assert not {"schedule", "warmup"} & one.hyperparameters.keys()
    assert other.hyperparameters["schedule"] == "steps:0.1@1/2"

    def rate(config: RunConfig, step: int) -> float:
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        LearningRates(config, config.optimizer, config.hyperparameters, optimizer).set(step)
        return float(optimizer.param_groups[0]["lr"])

    assert rate(one, 0) == pytest.approx(1 / 3)
    assert [rate(other, step) for step in (0, 4, 8)] == pytest.approx([1, 0.1, 0.01])


@pytest.mark.parametrize(
    ("arm", "options", "message"),
    [
        ("sgd", {"schedule": "cosine", "time_limit": 5}, "schedule=cosine is not allowed with a time limit alone"),
        ("sgd:schedule=linear", {"time_limit": 5}, "schedule=linear is not allowed with a time limit alone"),
        ("sgd:schedule=flat", {}, "optimizer sgd: schedule=flat is not allowed, it must be constant"),
        ("sgd:warmup=soon", {}, "optimizer sgd: warmup=soon is not allowed"),
        ("kfac:schedul=cosine", {}, "did you mean 'schedule'"),
    ],
)
def test_what_cannot_be_is_said_before_anything_runs(arm: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        planned(arm, **options)


OWN = """
import torch

class Own(torch.optim.SGD):
    def __init__(self, params, lr=0.1, warmup: int = 7):
        super().__init__(params, lr=lr)
        self.told = warmup
"""


def test_a_parameter_of_the_same_name_is_the_optimizers_own(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    (config,) = planned(f"{tmp_path}/own.py:Own:warmup=5", steps=4, warmup="2", schedule="linear")
    assert config.hyperparameters["warmup"] == 5
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    rates = LearningRates(config, config.optimizer, config.hyperparameters, optimizer)
    rates.set(0)
    assert optimizer.param_groups[0]["lr"] == 0.5
