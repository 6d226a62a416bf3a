"""One run of two players, epoch by epoch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ngbench.adversarial_task import PLAYERS
from ngbench.arms import file_slug
from ngbench.errors import one_line
from ngbench.frechet.distance import FrechetDistance
from ngbench.measurement.memory import parameter_bytes, state_bytes
from ngbench.plugins.protocol import measured
from ngbench.records.record import AdversarialRecord, RunRecord, Status
from ngbench.running.adversarial_config import AdversarialConfig
from ngbench.running.adversarial_probe import probe_adversarial_operations
from ngbench.running.adversarial_problem import (
    AdversarialProblem,
    epoch_draws,
    feature_network,
    fixed_noise,
    player_optimizers,
    unit_interval,
)
from ngbench.running.adversarial_step import AdversarialStep, Losses
from ngbench.running.checkpoint import Checkpoint, save_checkpoint
from ngbench.running.measured_run import MeasuredRun
from ngbench.running.players import initial_players
from ngbench.running.randomness import isolated, seeded_state
from ngbench.running.run import REPORT_EVERY, SYNCHRONISE_EVERY, OnStep
from ngbench.running.samples import add_sample, write_grid
from ngbench.running.stopping import epochs_since_lowest, status_after_epoch, steps_left

__all__ = ["COLLAPSED", "EXPLODED", "SHOWN", "AdversarialRun"]

EXPLODED = 1e8
"""A loss of this size has left the scale of any score that a critic of slope one gives to images."""
COLLAPSED = 1e-5
"""A critic whose scores differ by no more than this part of their size through a whole epoch tells nothing apart."""
SHOWN = 25
"""Images in a grid, as in Figures 5.12 to 5.16."""
_BATCH = 250
"""Images that are generated and scored at once, outside of training."""


@dataclass
class _Iterations:
    """What the iterations of one epoch gave; ``why`` they ended it as diverged, if they did."""

    rows: list[list[float]] = field(default_factory=list)
    why: str | None = None
    out_of_time: bool = False

    def mean(self, column: int) -> float | None:
        return sum(row[column] for row in self.rows) / len(self.rows) if self.rows else None


_CRITIC, _PENALTY, _GENERATOR, _SPREAD = range(4)


class AdversarialRun(MeasuredRun[AdversarialConfig, AdversarialProblem]):
    """A run of one pair of optimizers with one seed, to be used like :class:`~ngbench.running.run.Run`."""

    def prepare(self) -> RunRecord:
        """Build data, networks and optimizers, count a step's operations, and load the checkpoint if there is one.

        Raises:
            RecordError: the checkpoint cannot be read or does not fit.
        """
        config, device = self._config, self._device
        torch.set_num_threads(config.threads)
        self._images = self._problem.images.to(device, self._dtype)
        if config.count_operations and not config.resume:
            self._set_operations(lambda: probe_adversarial_operations(self._problem, config, self._images, self._dtype))
        self._players = initial_players(self._problem.task, self._problem.name, config.seed, device, self._dtype)
        self._distance = self._make_distance()
        self._start_memory(parameter_bytes(self._players.generator) + parameter_bytes(self._players.critic))
        with isolated(device, seeded_state(config.seed, device)) as after:
            self._optimizers = player_optimizers(self._problem.task, self._players, config.players)
        self._measured = {player: measured(optimizer) for player, optimizer in self._optimizers.items()}
        self._random = after
        self._step = AdversarialStep(self._players, self._optimizers, penalty=config.penalty, recorder=self._recorder)
        if config.resume:
            self._load()
        return self._record.model_copy(deep=True)

    def turn(self, on_step: OnStep | None = None) -> RunRecord:
        """One epoch: an iteration of two players is many steps, so epochs are short enough to take turns in."""
        return self.epoch(on_step)

    def epoch(self, on_step: OnStep | None = None) -> RunRecord:
        """Train for one epoch, or what the budget leaves of one, then score, show and write the checkpoint.

        Returns:
            The record so far; its status says whether there is more to do.
        """
        with isolated(self._device, self._random) as after:
            self._meter.reset()
            iterations = _Iterations()
            for _ in self._train(iterations, on_step):
                pass
            seconds = self._collect()
        self._random = after
        self._append(iterations, seconds)
        self._record.status = self._status(iterations)
        self._judge()
        if self._config.checkpoint is not None:
            self._save(self._config.checkpoint)
        return self._record.model_copy(deep=True)

    def _make_distance(self) -> FrechetDistance:
        network = feature_network(self._problem, self._config.fid, self._config.data_dir)
        count = self._adversarial.fid.real_samples
        # Evenly spaced, because some data sets are in order of their classes.
        chosen = torch.arange(count) * len(self._images) // count
        real = (unit_interval(self._images[part]) for part in torch.split(chosen.to(self._device), _BATCH))
        return FrechetDistance(network, real, self._device)

    @property
    def _adversarial(self) -> AdversarialRecord:
        assert self._record.adversarial is not None
        return self._record.adversarial

    def _train(self, iterations: _Iterations, on_step: OnStep | None) -> Iterator[None]:
        """Take the iterations of one epoch, and pause after each."""
        config, history = self._config, self._record.history
        left = steps_left(config.budget, history)
        total = len(self._images) // config.batch_size
        total = total if left is None else min(total, left)
        draws = epoch_draws(
            self._images,
            seed=config.seed,
            epoch=len(history.epoch) + 1,
            critic_steps=config.critic_steps,
            batch_size=config.batch_size,
            noise=self._problem.task.noise,
            limit=left,
        )
        interval = 1 if self._device.type == "cpu" else SYNCHRONISE_EVERY
        before = history.elapsed_seconds[-1] if history.elapsed_seconds else 0.0
        limit = config.budget.time_limit
        started = reported = time.perf_counter()
        pending: list[Losses] = []
        self._players.train()
        for count, draw in enumerate(draws, 1):
            try:
                pending.append(self._step(draw))
            except FloatingPointError as error:
                iterations.why = one_line(error)
                return
            self._diagnose()
            if count % interval == 0 or count == total:
                iterations.rows += _read(pending)
                pending.clear()
                iterations.why = next(filter(None, map(_exploded, iterations.rows[-interval:])), None)
                now = time.perf_counter()
                iterations.out_of_time = limit is not None and before + now - started >= limit
                if on_step is not None and now - reported >= REPORT_EVERY:
                    reported = now
                    on_step(count, total, iterations.rows[-1][_GENERATOR])
                if iterations.why is not None or iterations.out_of_time:
                    return
            yield

    def _diagnose(self) -> None:
        for player, optimizer in self._measured.items():
            self._note_diagnostics(optimizer.diagnostics(f"{player}/"))

    def _append(self, iterations: _Iterations, seconds: float) -> None:
        record, history = self._record, self._record.history
        record.phases = self._breakdown.records()
        record.memory.optimizer_state_bytes = sum(map(state_bytes, self._optimizers.values()))
        elapsed = history.elapsed_seconds[-1] if history.elapsed_seconds else 0.0
        history.epoch.append(len(history.epoch) + 1)
        history.step.append(len(record.steps.seconds))
        history.validation_loss.append(None)
        history.elapsed_seconds.append(elapsed + seconds)
        sound = iterations.why is None
        history.train_loss.append(iterations.mean(_GENERATOR) if sound else None)
        for name, column in (("critic_loss", _CRITIC), ("gradient_penalty", _PENALTY)):
            history.metrics.setdefault(name, []).append(iterations.mean(column) if sound else None)

    def _status(self, iterations: _Iterations) -> Status:
        """``diverged``, or what the budget says, before the images are looked at."""
        record, epoch = self._record, len(self._record.history.epoch)
        why = iterations.why
        if why is None and all(row[_SPREAD] <= COLLAPSED for row in iterations.rows):
            why = "the critic collapsed: it gave all images the same score through the epoch"
        if why is not None:
            record.message = f"{why} (epoch {epoch})"
            return "diverged"
        # Early stopping is on the score, which comes later.
        status = status_after_epoch(replace(self._config.budget, early_stopping=None), record.history)
        return "timeout" if iterations.out_of_time and status == "running" else status

    def _judge(self) -> None:
        """Score the images and show some of them, both on the same noise after each epoch."""
        record, fid = self._record, self._adversarial.fid
        scores = record.history.metrics.setdefault(fid.metric, [])
        if record.status == "diverged":
            scores.append(None)
            return
        self._players.train(False)
        due = len(record.history.epoch) % fid.every == 0 or record.status != "running"
        scores.append(self._score() if due else None)
        if self._config.samples is not None:
            self._show(self._config.samples)
        patience = self._config.budget.early_stopping
        if record.status == "running" and due and patience is not None and epochs_since_lowest(scores) >= patience:
            record.status = "done"

    def _score(self) -> float | None:
        noise = fixed_noise(self._config.seed, self._adversarial.fid.samples, self._problem.task.noise, shown=False)
        score = self._distance.score(map(self._generate, torch.split(noise, _BATCH)))
        return score if score - score == 0 else None

    def _show(self, directory: Path) -> None:
        config, epoch = self._config, len(self._record.history.epoch)
        noise = fixed_noise(config.seed, SHOWN, self._problem.task.noise, shown=True)
        name = f"{file_slug(config.label)}-seed{config.seed}-epoch{epoch:03d}.png"
        write_grid((self._generate(noise) * 255).round().byte().cpu().numpy(), directory / name)
        add_sample(self._record, epoch, name)

    @torch.no_grad()
    def _generate(self, noise: Tensor) -> Tensor:
        return unit_interval(self._players.generator_twin(noise.to(self._device, self._dtype)))

    def _save(self, path: Path) -> None:
        networks: dict[str, Any] = {player: getattr(self._players, player).state_dict() for player in PLAYERS}
        states: dict[str, Any] = {player: self._optimizers[player].state_dict() for player in PLAYERS}
        save_checkpoint(Checkpoint(networks, states, self._random, self._record), path)

    def _load(self) -> None:
        assert self._config.checkpoint is not None
        with self._resuming(self._config.checkpoint) as checkpoint:
            for player in PLAYERS:
                getattr(self._players, player).load_state_dict(checkpoint.model[player])
                self._optimizers[player].load_state_dict(checkpoint.optimizer[player])


def _read(losses: list[Losses]) -> list[list[float]]:
    rows = torch.stack([torch.stack([one.critic, one.penalty, one.generator, one.spread]) for one in losses])
    values: list[list[float]] = rows.double().tolist()
    return values


def _exploded(row: list[float]) -> str | None:
    for name, column in (("critic's loss", _CRITIC), ("generator's loss", _GENERATOR)):
        # A comparison with NaN is false.
        if not abs(row[column]) <= EXPLODED:
            return f"the {name} became {row[column]:.6g}"
    return None
