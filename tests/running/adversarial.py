"""A small task of two players, and runs on it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ngbench.adversarial_task import AdversarialTask
from ngbench.frechet import network
from ngbench.measurement.recorder import StepRecorder
from ngbench.records.record import AdversarialRecord, DataRecord, FidRecord, OptimizerRecord, RunRecord
from ngbench.running.adversarial_config import AdversarialConfig, FidConfig, PlayerConfig
from ngbench.running.adversarial_problem import AdversarialProblem, epoch_draws, player_optimizers
from ngbench.running.adversarial_step import AdversarialStep, Draws, Losses
from ngbench.running.adversarial_training import AdversarialTraining
from ngbench.running.config import Budget
from ngbench.running.players import Players, initial_players
from ngbench.running.run import Run
from ngbench.task import Data, DataSource
from tests.blank_run import blank_run

EXAMPLES, BATCH, NOISE = 48, 8, 5

KFAC = PlayerConfig("kfac", {"lr": 0.01, "kl_clip": 1e-3, "fisher": "empirical", "curvature_interval": 2})
ADAM = PlayerConfig("adam", {"lr": 1e-3})
STILL = PlayerConfig("sgd", {"lr": 1e-30, "momentum": 0.0})


def small_generator() -> nn.Module:
    return nn.Sequential(nn.Linear(NOISE, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 64), nn.Tanh(), Shape())


class Shape(nn.Module):
    def forward(self, flat: torch.Tensor) -> torch.Tensor:
        return flat.unflatten(1, (1, 8, 8))


def small_critic() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 3, 4, stride=2), nn.BatchNorm2d(3), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(27, 1)
    )


def small_task(**parts: Any) -> AdversarialTask:
    generator = torch.Generator().manual_seed(7)
    labels = torch.randint(3, (EXAMPLES + 12,), generator=generator)
    images = torch.rand(EXAMPLES + 12, 1, 8, 8, generator=generator) * 0.5 - 1
    images[torch.arange(len(images)), 0, labels] = 1.0
    source = DataSource("STRIPES", "generated", "a bright row", "00")
    data = Data(images[:EXAMPLES], labels[:EXAMPLES], images[EXAMPLES:], labels[EXAMPLES:], source)
    task = AdversarialTask(
        generator=small_generator,
        critic=small_critic,
        data=lambda directory: data,
        noise=NOISE,
        batch_size=BATCH,
        epochs=3,
    )
    return replace(task, **parts)


def small_problem(**parts: Any) -> AdversarialProblem:
    task = small_task(**parts)
    return AdversarialProblem("small", task, task.data(Path()))


def configuration(directory: Path, **parts: Any) -> AdversarialConfig:
    config = AdversarialConfig(
        task="small",
        label="pair",
        optimizer="kfac+kfac",
        seed=3,
        batch_size=BATCH,
        budget=Budget(epochs=3),
        data_dir=directory,
        threads=torch.get_num_threads(),
        players={"generator": KFAC, "critic": KFAC},
        critic_steps=2,
        fid=FidConfig(samples=20),
    )
    return replace(config, **parts)


def first_record(config: AdversarialConfig) -> RunRecord:
    source = small_task().data(Path()).source
    return blank_run(
        label=config.label,
        task=config.task,
        data=DataRecord(
            name=source.name,
            origin=source.origin,
            description=source.description,
            digest=source.digest,
            train_examples=EXAMPLES,
            validation_examples=12,
        ),
        optimizer=OptimizerRecord(name=config.optimizer, hyperparameters={}),
        seed=config.seed,
        device="cpu",
        dtype=config.dtype,
        batch_size=config.batch_size,
        budget=config.budget.as_dict(),
        adversarial=AdversarialRecord(
            players={
                player: OptimizerRecord(name=chosen.optimizer, hyperparameters=chosen.hyperparameters)
                for player, chosen in config.players.items()
            },
            critic_steps=config.critic_steps,
            penalty=config.penalty,
            fid=FidRecord(
                metric="classifier_fid",
                network="",
                digest="",
                features=64,
                every=config.fid.every,
                samples=config.fid.samples,
                real_samples=config.fid.samples,
            ),
        ),
    )


def run_of(config: AdversarialConfig, problem: AdversarialProblem | None = None) -> Run:
    """The run of a configuration; its feature network is hardly trained, since only speed matters here."""
    steps, network.STEPS = network.STEPS, 5
    try:
        run = Run(AdversarialTraining(config, problem or small_problem()), first_record(config))
        run.prepare()
    finally:
        network.STEPS = steps
    return run


def to_the_end(run: Run) -> RunRecord:
    record = run.epoch()
    while record.status == "running":
        record = run.epoch()
    return record


class Iteration:
    """One iteration on the small task, with its parts at hand.

    Args:
        generator: its optimizer.
        critic: its optimizer.
        penalty: λ.
        critic_steps: K.
        dtype: of the networks.
        task: the task.
    """

    def __init__(
        self,
        generator: PlayerConfig,
        critic: PlayerConfig,
        *,
        penalty: float = 10.0,
        critic_steps: int = 1,
        dtype: torch.dtype = torch.float64,
        task: AdversarialTask | None = None,
    ) -> None:
        task = task or small_task()
        self.players: Players = initial_players(task, "small", 0, torch.device("cpu"), dtype)
        self.players.train()
        torch.manual_seed(0)
        self.optimizers = player_optimizers(task, self.players, {"generator": generator, "critic": critic})
        self.recorder: StepRecorder[int] = StepRecorder(lambda: 0)
        self.step = AdversarialStep(self.players, self.optimizers, penalty=penalty, recorder=self.recorder)
        images = task.data(Path()).train_inputs
        assert isinstance(images, torch.Tensor)
        draws = epoch_draws(
            images.to(dtype), seed=1, epoch=1, critic_steps=critic_steps, batch_size=BATCH, noise=NOISE, limit=1
        )
        self.draws: Draws = next(iter(draws))

    def run(self) -> Losses:
        return self.step(self.draws)
