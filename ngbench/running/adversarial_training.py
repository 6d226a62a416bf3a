"""Training two players, each with an optimizer of its own, and scoring what the generator makes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ngbench.adversarial_task import PLAYERS
from ngbench.arms import file_slug
from ngbench.errors import one_line
from ngbench.frechet.distance import FrechetDistance
from ngbench.measurement.memory import parameter_bytes
from ngbench.measurement.recorder import StepRecorder
from ngbench.plugins.protocol import measured
from ngbench.records.record import History, RunRecord, Status
from ngbench.running.adversarial_config import AdversarialConfig
from ngbench.running.adversarial_problem import (
    AdversarialProblem,
    epoch_draws,
    feature_network,
    fixed_noise,
    generator_average,
    player_optimizers,
    player_rates,
    unit_interval,
)
from ngbench.running.adversarial_step import AdversarialStep, Draws
from ngbench.running.checkpoint import Checkpoint
from ngbench.running.players import initial_players
from ngbench.running.probe import Counted, count_steps
from ngbench.running.samples import add_sample, write_grid
from ngbench.running.stopping import status_after_epoch
from ngbench.running.training import Diverged, Row, Training

__all__ = ["AdversarialTraining"]

EXPLODED = 1e8
"""A loss of this size has left the scale of any score that a critic of slope one gives to images."""
COLLAPSED = 1e-5
"""A critic whose scores differ by no more than this part of their size through a whole epoch tells nothing apart."""
SHOWN = 25
"""Images in a grid, as in Figures 5.12 to 5.16."""
_BATCH = 250
"""Images that are generated and scored at once, outside of training."""

_GENERATOR, _CRITIC, _PENALTY, _SPREAD = range(4)
"""Columns of the rows of an iteration's losses."""


class AdversarialTraining(Training[AdversarialConfig, AdversarialProblem]):
    """Two players; a step is an iteration, K steps of the critic and one of the generator."""

    _draws: Iterator[Draws]

    def load_data(self) -> None:
        self._images = self.problem.images.to(self.device, self.dtype)

    def probe(self) -> Counted:
        """One critic step an iteration is enough, since counts are of one call."""
        config, task = self.config, self.problem.task
        players = initial_players(task, self.problem.name, config.seed, self.device, self.dtype)

        def build(recorder: StepRecorder[Any]) -> Callable[[], object]:
            optimizers = player_optimizers(task, players, config.players)
            players.train()
            step = AdversarialStep(players, optimizers, penalty=config.penalty, recorder=recorder)
            (draw,) = self._epoch_draws(self._images[: config.batch_size], 1, critic_steps=1, limit=1)
            return lambda: step(draw)

        return count_steps(build, config, self.device)

    def build_networks(self) -> int:
        self.players = initial_players(self.problem.task, self.problem.name, self.config.seed, self.device, self.dtype)
        network = feature_network(self.problem, self.config.fid, self.config.data_dir)
        self._metric = network.metric
        count = min(self.config.fid.samples, len(self._images))
        # Evenly spaced, because some data sets are in order of their classes.
        chosen = torch.arange(count) * len(self._images) // count
        real = (unit_interval(self._images[part]) for part in torch.split(chosen.to(self.device), _BATCH))
        self._distance = FrechetDistance(network, real, self.device)
        return parameter_bytes(self.players.generator) + parameter_bytes(self.players.critic)

    def build_optimizers(self, recorder: StepRecorder[Any]) -> None:
        average = generator_average(self.config, self.players)
        self.averages = {} if average is None else {"generator": average}
        self._judged = self.players.generator_twin if average is None else average.module
        optimizers = player_optimizers(self.problem.task, self.players, self.config.players)
        self.optimizers = dict(optimizers.items())
        self.rates = list(player_rates(self.config, optimizers).values())
        self.told = {player: measured(optimizer) for player, optimizer in optimizers.items()}
        self._step = AdversarialStep(
            self.players, optimizers, penalty=self.config.penalty, recorder=recorder, average=average
        )

    def begin_epoch(self, epoch: int, limit: int | None) -> int:
        self._epoch = epoch
        self._draws = self._epoch_draws(self._images, epoch, critic_steps=self.config.critic_steps, limit=limit)
        self.players.train()
        steps = len(self._images) // self.config.batch_size
        return steps if limit is None else min(steps, limit)

    def _epoch_draws(self, images: Tensor, epoch: int, *, critic_steps: int, limit: int | None) -> Iterator[Draws]:
        return epoch_draws(
            images,
            seed=self.config.seed,
            epoch=epoch,
            critic_steps=critic_steps,
            batch_size=self.config.batch_size,
            noise=self.problem.task.noise,
            limit=limit,
        )

    def step(self, taken: int) -> Sequence[Tensor]:
        draws = next(self._draws)
        try:
            losses = self._step(draws)
        except FloatingPointError as error:
            raise Diverged(f"{one_line(error)} (epoch {self._epoch})") from error
        return losses.generator, losses.critic, losses.penalty, losses.spread

    def why_diverged(self, rows: Sequence[Row]) -> str | None:
        for row in rows:
            for name, column in (("critic's loss", _CRITIC), ("generator's loss", _GENERATOR)):
                # A comparison with NaN is false.
                if not abs(row[column]) <= EXPLODED:
                    return f"the {name} became {row[column]:.6g} (epoch {self._epoch})"
        return None

    def end_epoch(self, history: History, rows: Sequence[Row], *, sound: bool) -> str | None:
        def mean(column: int) -> float | None:
            return sum(row[column] for row in rows) / len(rows) if sound else None

        history.train_loss.append(mean(_GENERATOR))
        history.validation_loss.append(None)
        for name, column in (("critic_loss", _CRITIC), ("gradient_penalty", _PENALTY)):
            history.metrics.setdefault(name, []).append(mean(column))
        if all(row[_SPREAD] <= COLLAPSED for row in rows):
            return f"the critic collapsed: it gave all images the same score through the epoch (epoch {self._epoch})"
        return None

    def status(self, history: History) -> Status:
        # The score comes later.
        return status_after_epoch(self.config.budget, history, ())

    def judge(self, record: RunRecord) -> None:
        """Score the images and show some of them, both on the same noise after each epoch."""
        scores = record.history.metrics.setdefault(self._metric, [])
        if record.status == "diverged":
            scores.append(None)
            return
        self.players.train(False)
        self._judged.eval()
        due = self._epoch % self.config.fid.every == 0 or record.status != "running"
        with ExitStack() as stack:
            for told in self.told.values():
                stack.enter_context(told.judged())
            scores.append(self._score() if due else None)
            if self.config.samples is not None:
                self._show(record, self.config.samples)
        if record.status == "running" and due:
            record.status = status_after_epoch(self.config.budget, record.history, scores)

    def _score(self) -> float | None:
        noise = fixed_noise(self.config.seed, self.config.fid.samples, self.problem.task.noise, shown=False)
        score = self._distance.score(map(self._generate, torch.split(noise, _BATCH)))
        return score if score - score == 0 else None

    def _show(self, record: RunRecord, directory: Path) -> None:
        config = self.config
        noise = fixed_noise(config.seed, SHOWN, self.problem.task.noise, shown=True)
        name = f"{file_slug(config.label)}-seed{config.seed}-epoch{self._epoch:03d}.png"
        write_grid((self._generate(noise) * 255).round().byte().cpu().numpy(), directory / name)
        add_sample(record, self._epoch, name)

    @torch.no_grad()
    def _generate(self, noise: Tensor) -> Tensor:
        return unit_interval(self._judged(noise.to(self.device, self.dtype)))

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        networks: dict[str, Any] = {player: self.players.network(player).state_dict() for player in PLAYERS}
        return networks, {player: self.optimizers[player].state_dict() for player in PLAYERS}

    def load(self, checkpoint: Checkpoint) -> None:
        for player in PLAYERS:
            self.players.network(player).load_state_dict(checkpoint.model[player])
            self.optimizers[player].load_state_dict(checkpoint.optimizer[player])
