"""One iteration of Algorithm 4, K steps of the critic and one of the generator, marked at each change of phase."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from ngbench.adversarial_task import PLAYERS, Player
from ngbench.measurement.recorder import StepRecorder
from ngbench.plugins.protocol import measured
from ngbench.running.players import CRITIC_SIGNS, GENERATOR_SIGNS, Players, Wasserstein

__all__ = ["AdversarialStep", "Draws"]


def phase_name(player: Player, phase: str) -> str:
    """How a phase of one player's turn is called in the record: ``critic/forward``."""
    return f"{player}/{phase}"


@dataclass(frozen=True)
class Draws:
    """The random numbers of one iteration, on the device that computes.

    Attributes:
        real: K mini-batches of real images, each ``(m, c, h, w)``.
        critic_noise: ``(K, m, d)``.
        mix: where between the real and the generated image the penalty is taken (5.30), ``(K, m)`` in [0, 1].
        generator_noise: ``(m, d)``.
    """

    real: Sequence[Tensor]
    critic_noise: Tensor
    mix: Tensor
    generator_noise: Tensor


@dataclass(frozen=True)
class Losses:
    """What one iteration saw: scalars without gradient, the critic's of its last step.

    Attributes:
        critic: ``E[D(G(z))] − E[D(x)] + λ · penalty``.
        penalty: ``E[(‖∇D(x̂)‖₂ − 1)²]``, zero where λ is zero.
        generator: ``−E[D(G(z))]``.
        spread: largest minus smallest score of the critic's last batch, relative to the largest absolute one.
    """

    critic: Tensor
    penalty: Tensor
    generator: Tensor
    spread: Tensor


def gradient_penalty(scores: Tensor, images: Tensor) -> Tensor:
    """``mean_b (‖∇_x D(x_b)‖₂ − 1)²``, itself differentiable.

    Args:
        scores: one for each image.
        images: ``(m, ...)``, requiring a gradient.
    """
    (gradient,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    # Unlike the root of a sum of squares, vector_norm has a derivative where the gradient vanishes.
    norms = torch.linalg.vector_norm(gradient.flatten(1), dim=1)
    penalty: Tensor = (norms - 1).square().mean()
    return penalty


class _PlayersPhase:
    """The phase context of one player's optimizer."""

    def __init__(self, recorder: StepRecorder[Any], player: Player) -> None:
        self._recorder = recorder
        self._player: Player = player

    def __call__(self, name: str) -> Any:
        return self._recorder(phase_name(self._player, name))


class AdversarialStep:
    """Algorithm 4 with any two optimizers.

    Phases are recorded under the player's name. The critic's penalty, its double backward included, is the phase
    ``critic/penalty``; making the generated images that the critic learns from is ``critic/generate``. What an
    optimizer tells is recorded as in :class:`~ngbench.running.step.TrainingStep`; one that refreshed makes the
    iteration a refresh step.

    Args:
        players: the networks.
        optimizers: of each player.
        penalty: λ ≥ 0; without it there is no penalty pass.
        recorder: is told of steps and phases.
        average: of the generator's weights.
    """

    def __init__(
        self,
        players: Players,
        optimizers: dict[Player, torch.optim.Optimizer],
        *,
        penalty: float,
        recorder: StepRecorder[Any],
        average: AveragedModel | None = None,
    ) -> None:
        self._average = average
        self._players = players
        self._optimizers = optimizers
        self._penalty = penalty
        self._recorder = recorder
        self._loss = Wasserstein().loss
        like = next(players.critic.parameters())
        self._signs = {
            "critic": like.new_tensor(CRITIC_SIGNS),
            "generator": like.new_tensor(GENERATOR_SIGNS),
        }
        self._generator_parameters = [p for p in players.generator.parameters() if p.requires_grad]
        self._critic_parameters = [p for p in players.critic.parameters() if p.requires_grad]
        self._measured = {player: measured(optimizers[player]) for player in PLAYERS}
        self._update_phase: dict[Player, str | None] = {}
        for player, told in self._measured.items():
            self._update_phase[player] = None if told.names_phases else phase_name(player, "step")
            told.leave_gradients_unread()
            told.report_to(_PlayersPhase(recorder, player))
            told.train()

    def __call__(self, draws: Draws) -> Losses:
        """One iteration."""
        self._recorder.begin_step()
        refreshed = False
        for real, noise, mix in zip(draws.real, draws.critic_noise, draws.mix, strict=True):
            critic, penalty, spread = self._critic_step(real, noise, mix)
            refreshed |= self._update("critic")
        generator = self._generator_step(draws.generator_noise)
        refreshed |= self._update("generator")
        if self._average is not None:
            self._switch("generator", "average")
            self._average.update_parameters(self._players.generator)
        self._recorder.end_step()
        if refreshed:
            self._recorder.label_step("refresh")
        return Losses(critic, penalty, generator, spread)

    def _switch(self, player: Player, phase: str) -> None:
        self._recorder.switch(phase_name(player, phase))

    def _critic_step(self, real: Tensor, noise: Tensor, mix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        self._optimizers["critic"].zero_grad()
        self._switch("critic", "generate")
        with torch.no_grad():
            generated = self._players.generator_twin(noise)
        self._switch("critic", "forward")
        scores = self._players.critic_model(real, generated)
        loss = self._loss(scores, self._signs["critic"])
        self._switch("critic", "backward")
        loss.backward()  # type: ignore[no-untyped-call]
        penalty = loss.new_zeros(())
        if self._penalty:
            self._switch("critic", "penalty")
            between = torch.lerp(generated, real, mix.view(-1, *[1] * (real.ndim - 1))).requires_grad_()
            penalty = gradient_penalty(self._players.critic_twin(between), between)
            # Naming the parameters keeps the images out of this backward pass.
            (self._penalty * penalty).backward(inputs=self._critic_parameters)  # type: ignore[no-untyped-call]
        scores, penalty = scores.detach(), penalty.detach()
        return loss.detach() + self._penalty * penalty, penalty, _spread(scores)

    def _generator_step(self, noise: Tensor) -> Tensor:
        self._optimizers["generator"].zero_grad()
        self._switch("generator", "forward")
        loss = self._loss(self._players.generator_model(noise), self._signs["generator"])
        self._switch("generator", "backward")
        # Naming the parameters keeps the critic's weights out of this backward pass.
        loss.backward(inputs=self._generator_parameters)  # type: ignore[no-untyped-call]
        return loss.detach()

    def _update(self, player: Player) -> bool:
        self._recorder.switch(self._update_phase[player])
        self._optimizers[player].step()
        return self._measured[player].refreshed


def _spread(scores: Tensor) -> Tensor:
    return (scores.max() - scores.min()) / scores.abs().max().clamp_min(torch.finfo(scores.dtype).tiny)
