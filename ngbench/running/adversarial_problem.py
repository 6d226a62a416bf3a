"""A task of two players with its data loaded, and what its runs start from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from ngbench.adversarial_task import PLAYERS, AdversarialTask, Player
from ngbench.errors import DataError, ParameterError, PluginError
from ngbench.frechet.network import FeatureNetwork, classifier_network, inception_network
from ngbench.plugins import registry
from ngbench.plugins.located import SourceFile
from ngbench.plugins.protocol import measured
from ngbench.running.adversarial_config import AdversarialConfig, FidConfig, PlayerConfig
from ngbench.running.adversarial_step import Draws
from ngbench.running.initial import initial_optimizer
from ngbench.running.learning_rates import LearningRates, of_run
from ngbench.running.players import Players, player_task
from ngbench.running.problem import load_data
from ngbench.running.randomness import epoch_generator
from ngbench.running.weight_average import weight_average
from ngbench.spelling import argument
from ngbench.task import Data

__all__ = [
    "AdversarialProblem",
    "epoch_draws",
    "feature_network",
    "fixed_noise",
    "generator_average",
    "load_adversarial_problem",
    "player_optimizers",
    "player_rates",
    "unit_interval",
]

_ORDERS, _DRAWS, _SCORED, _SHOWN = 0, 1, 3, 4
"""Streams of random numbers: the order of the data, those of the steps, and the noise of the images looked at."""


@dataclass(frozen=True)
class AdversarialProblem:
    """A task of two players and its data, as loaded (on the CPU)."""

    name: str
    task: AdversarialTask
    data: Data
    file: SourceFile | None = None

    @property
    def images(self) -> Tensor:
        """The training images ``(n, c, h, w)`` in [-1, 1]."""
        assert isinstance(self.data.train_inputs, Tensor)
        return self.data.train_inputs


def load_adversarial_problem(name: str, options: Mapping[str, Any], directory: Path) -> AdversarialProblem:
    """Make the task called ``name`` and load its images from ``directory``.

    Raises:
        DataError: the data cannot be had, or there are none to train on.
        PluginError: the task's plugin fails, or its data are no images in [-1, 1].
        UsageError: the task has no two players.
    """
    task = registry.adversarial_task(name, options)
    data = load_data(name, task.data, directory)
    images = data.train_inputs
    if not isinstance(images, Tensor) or images.ndim != 4 or images.shape[1] not in (1, 3):
        shape = tuple(getattr(images, "shape", ()))
        raise PluginError(f"task {name!r}: its data are {shape}, not images (n, 1 or 3, h, w)")
    if float(images.min()) < -1 or float(images.max()) > 1:
        raise PluginError(f"task {name!r}: its images are not in [-1, 1]")
    return AdversarialProblem(name, task, data, registry.task_plugin(name).file)


def player_optimizers(
    task: AdversarialTask, players: Players, configs: Mapping[Player, PlayerConfig]
) -> dict[Player, torch.optim.Optimizer]:
    """The optimizer of each player, generator first.

    Raises:
        ParameterError: an optimizer refuses its hyper-parameters, or needs to evaluate or differentiate the loss again.
    """
    found = {}
    for player in PLAYERS:
        name, given = configs[player].optimizer, configs[player].hyperparameters
        found[player] = initial_optimizer(player_task(task, player), players.model(player), name, given)
        told = measured(found[player])
        if told.needs_closure or told.needs_graph:
            raise ParameterError(
                f"optimizer {name} of the {player} evaluates or differentiates the loss again, "
                "which the training of two players does not let it"
            )
    return found


def generator_average(config: AdversarialConfig, players: Players) -> AveragedModel | None:
    """The average of the generator's weights, if one is asked for.

    Raises:
        ParameterError: one of the critic is asked for, or there is no such average.
    """
    critic = config.players["critic"]
    plain = replace(config, average=None)
    if of_run(plain, critic.optimizer, critic.hyperparameters)["average"] is not None:
        raise ParameterError("average is not allowed for the critic, since only the generator's images are judged")
    chosen = config.players["generator"]
    return weight_average(config, chosen.optimizer, chosen.hyperparameters, players.generator)


def player_rates(
    config: AdversarialConfig, optimizers: Mapping[Player, torch.optim.Optimizer]
) -> dict[Player, LearningRates]:
    """The learning rates of each player, by iteration.

    Raises:
        ParameterError: as :class:`~ngbench.running.learning_rates.LearningRates`.
    """
    chosen = config.players
    return {
        player: LearningRates(config, chosen[player].optimizer, chosen[player].hyperparameters, optimizer)
        for player, optimizer in optimizers.items()
    }


def epoch_draws(
    images: Tensor, *, seed: int, epoch: int, critic_steps: int, batch_size: int, noise: int, limit: int | None
) -> Iterator[Draws]:
    """What the iterations of one epoch draw: the same for all arms and on any device.

    There is an iteration for each whole mini-batch of the data, at most ``limit``. Each of an iteration's critic
    steps takes its own mini-batch, from its own permutation of the data.

    Args:
        images: ``(n, c, h, w)`` on the device and in the dtype of the run.
    """
    count = len(images) // batch_size
    order = epoch_generator(seed, epoch, _ORDERS)
    permutations = [torch.randperm(len(images), generator=order).to(images.device) for _ in range(critic_steps)]
    generator = epoch_generator(seed, epoch, _DRAWS)
    for at in range(count if limit is None else min(count, limit)):
        part = slice(at * batch_size, (at + 1) * batch_size)
        critic_noise = torch.randn(critic_steps, batch_size, noise, generator=generator)
        mix = torch.rand(critic_steps, batch_size, generator=generator)
        generator_noise = torch.randn(batch_size, noise, generator=generator)
        yield Draws(
            real=[images.index_select(0, permutation[part]) for permutation in permutations],
            critic_noise=critic_noise.to(images),
            mix=mix.to(images),
            generator_noise=generator_noise.to(images),
        )


def fixed_noise(seed: int, samples: int, noise: int, *, shown: bool) -> Tensor:
    """The noise ``(samples, noise)`` of the images that are scored, or of those that are shown: of no epoch."""
    stream = _SHOWN if shown else _SCORED
    return torch.randn(samples, noise, generator=epoch_generator(seed, 0, stream))


def unit_interval(images: Tensor) -> Tensor:
    """Images in [0, 1] from images in [-1, 1]."""
    return (images.float() + 1) / 2


def feature_network(problem: AdversarialProblem, config: FidConfig, directory: Path) -> FeatureNetwork:
    """What scores the problem's images: Inception with the given weights, else a classifier of the data.

    Raises:
        DataError: the weights are no Inception's, or the data have no classes.
    """
    if config.weights is not None:
        return inception_network(config.weights, config.features)
    data = problem.data
    train, validation = data.train_inputs, data.validation_inputs
    if not isinstance(train, Tensor) or not isinstance(validation, Tensor):
        raise DataError(
            f"{data.source.name} is not held in memory; give Inception's weights with {argument('fid_weights')}"
        )
    return classifier_network(
        unit_interval(train),
        data.train_targets,
        unit_interval(validation),
        data.validation_targets,
        name=data.source.name,
        digest=data.source.digest,
        directory=directory,
    )
