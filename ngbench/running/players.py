"""The two players of a Wasserstein GAN, each as an ordinary model whose outputs are the critic's scores.

An optimizer plugin gets such a model and a :class:`~ngbench.task.Task` whose likelihood is :class:`Wasserstein`,
and needs to know nothing else. What belongs to the curvature of a player is the one forward pass of its model in
a step, which ends in its loss:

- the critic's model scores real and generated images: the two passes of ``E[D(G(z))] − E[D(x)]``;
- the generator's model scores what it generates: the pass of ``−E[D(G(z))]``.

All other passes through the networks (the gradient penalty's, the generated images that the critic learns from,
the critic under the generator's images) go through a :func:`twin` without hooks, so that whatever an optimizer
attaches to its player's modules sees its player's loss alone.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ngbench.adversarial_task import AdversarialTask, Player
from ngbench.curvature.likelihoods import Likelihood
from ngbench.running.initial import initial_networks
from ngbench.task import Task

__all__ = ["CRITIC_SIGNS", "GENERATOR_SIGNS", "Players", "Wasserstein", "initial_players", "player_task"]

CRITIC_SIGNS = (-1.0, 1.0)
"""The critic lowers the score of generated images and raises that of real ones: real first, as it is called."""
GENERATOR_SIGNS = (-1.0,)
"""The generator raises the score of what it generates."""


class Wasserstein(Likelihood):
    """Scores that are pushed up or down: the loss is ``L_b = ⟨t_b, z_b⟩`` with the directions ``t`` as targets.

    The loss is linear, so the negative logarithm of no distribution. Its Fisher matrix is that of scores which
    are the mean of a unit-variance normal: the derivative of the negative log-likelihood at a target drawn from it
    is a standard normal direction, and ``E[t tᵀ] = I``. So ``sampled`` and ``exact`` give ``E[∇z ∇zᵀ]``, on the
    scale of ``empirical``, where the directions are the ±1 of the loss.

    Directions are those of each example, in the shape of the outputs ``(m, ...)``, or the same for all, ``(...)``.
    """

    def per_example_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        _check_directions(outputs, targets)
        return (outputs * targets).flatten(1).sum(1)

    def sample(self, outputs: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return torch.empty_like(outputs).normal_(generator=generator)

    def output_derivative(self, outputs: Tensor, targets: Tensor) -> Tensor:
        _check_directions(outputs, targets)
        return targets.expand_as(outputs).clone()

    def fisher_columns(self, outputs: Tensor) -> Tensor:
        scores = outputs[0].numel()
        columns = torch.eye(scores, dtype=outputs.dtype, device=outputs.device)
        return columns[:, None].expand(scores, len(outputs), scores).reshape(scores, *outputs.shape)


def _check_directions(outputs: Tensor, targets: Tensor) -> None:
    if outputs.ndim < 2 or targets.shape not in (outputs.shape, outputs.shape[1:]):
        raise ValueError(
            f"directions of shape {tuple(targets.shape)} do not fit scores of shape {tuple(outputs.shape)}:"
            " scores are (m, ...), and directions are of their shape with or without the m examples"
        )


class CriticModel(nn.Module):
    """The critic on pairs of a real and a generated image; one pass for each kind, so that batch norm keeps them apart.

    Args:
        critic: from images to one score each.
    """

    def __init__(self, critic: nn.Module) -> None:
        super().__init__()
        self.critic = critic

    def forward(self, real: Tensor, generated: Tensor) -> Tensor:
        """Scores ``(m, 2)`` of ``m`` real and ``m`` generated images."""
        return torch.cat([_column(self.critic(real)), _column(self.critic(generated))], 1)


class GeneratorModel(nn.Module):
    """The generator seen through the critic, whose parameters are not this module's.

    Args:
        generator: from noise to images.
        critic: from images to one score each.
    """

    def __init__(self, generator: nn.Module, critic: nn.Module) -> None:
        super().__init__()
        self.generator = generator
        # In a tuple, so that the critic is no submodule.
        self._opponent = (critic,)

    def forward(self, noise: Tensor) -> Tensor:
        """Scores ``(m, 1)`` of the images generated from noise ``(m, d)``."""
        return _column(self._opponent[0](self.generator(noise)))


def _column(scores: Tensor) -> Tensor:
    if scores.numel() != len(scores):
        raise ValueError(f"the critic must return one score for each image, not {tuple(scores.shape)}")
    return scores.reshape(-1, 1)


def twin(module: nn.Module) -> nn.Module:
    """A copy with the same parameter and buffer tensors, but none of the hooks that are attached later."""
    shared = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    return copy.deepcopy(module, shared)


@dataclass(frozen=True)
class Players:
    """Both networks, as their optimizers know them and without hooks.

    Attributes:
        generator: the network.
        critic: the network.
        generator_model: what the generator's optimizer is given.
        critic_model: what the critic's optimizer is given.
        generator_twin: the generator for passes that are not part of its loss.
        critic_twin: the critic for passes that are not part of its Wasserstein loss.
    """

    generator: nn.Module
    critic: nn.Module
    generator_model: GeneratorModel
    critic_model: CriticModel
    generator_twin: nn.Module
    critic_twin: nn.Module

    @classmethod
    def of(cls, generator: nn.Module, critic: nn.Module) -> Players:
        """The players of two networks that nothing is attached to yet."""
        generator_twin, critic_twin = twin(generator), twin(critic)
        return cls(
            generator=generator,
            critic=critic,
            generator_model=GeneratorModel(generator, critic_twin),
            critic_model=CriticModel(critic),
            generator_twin=generator_twin,
            critic_twin=critic_twin,
        )

    def network(self, player: Player) -> nn.Module:
        """The player's network."""
        return self.generator if player == "generator" else self.critic

    def model(self, player: Player) -> nn.Module:
        """What the player's optimizer is given."""
        return self.generator_model if player == "generator" else self.critic_model

    def train(self, mode: bool = True) -> None:
        """Set all networks to training or evaluation mode."""
        for module in (self.generator_model, self.critic_model, self.generator_twin, self.critic_twin):
            module.train(mode)


def initial_players(task: AdversarialTask, name: str, seed: int, device: torch.device, dtype: torch.dtype) -> Players:
    """The players with the initial weights that follow from ``seed``, for any optimizers and on any device.

    Raises:
        PluginError: the task cannot build one of its networks.
    """
    generator, critic = initial_networks(name, {"generator": task.generator, "critic": task.critic}, seed)
    return Players.of(generator.to(device, dtype), critic.to(device, dtype))


def player_task(task: AdversarialTask, player: Player) -> Task:
    """The task as the optimizer of one player sees it."""
    return Task(
        model=task.generator if player == "generator" else task.critic,
        data=task.data,
        likelihood=Wasserstein(),
        batch_size=task.batch_size,
        batch_sizes=task.batch_sizes,
        epochs=task.epochs,
        hyperparameters=task.hyperparameters.get(player, {}),
    )
