"""Operation counts of an iteration of two players, taken on networks and optimizers that are thrown away."""

from __future__ import annotations

import torch
from torch import Tensor

from ngbench.measurement.operations import Operations, count_operations
from ngbench.measurement.recorder import StepKind, StepRecorder
from ngbench.running.adversarial_config import AdversarialConfig
from ngbench.running.adversarial_problem import AdversarialProblem, epoch_draws, player_optimizers
from ngbench.running.adversarial_step import AdversarialStep
from ngbench.running.players import initial_players
from ngbench.running.probe import STEPS, Counted, step_operations
from ngbench.running.randomness import isolated, seeded_state

__all__ = ["probe_adversarial_operations"]


def probe_adversarial_operations(
    problem: AdversarialProblem, config: AdversarialConfig, images: Tensor, dtype: torch.dtype
) -> Counted:
    """The operations of one call of each phase, for each kind of step that the first iterations show.

    One critic step an iteration is enough, since counts are of one call. The random state of the process is as
    before, and the networks that the run will train are not touched.
    """
    counts: dict[StepKind, dict[str, Operations]] = {}
    device = images.device
    players = initial_players(problem.task, problem.name, config.seed, device, dtype)
    with isolated(device, seeded_state(config.seed, device)), count_operations() as counter:
        recorder = StepRecorder(counter.mark)
        optimizers = player_optimizers(problem.task, players, config.players)
        players.train()
        step = AdversarialStep(players, optimizers, penalty=config.penalty, recorder=recorder)
        draws = epoch_draws(
            images[: config.batch_size],
            seed=config.seed,
            epoch=1,
            critic_steps=1,
            batch_size=config.batch_size,
            noise=problem.task.noise,
            limit=1,
        )
        draw = next(iter(draws))
        # A run of fewer steps has no other kinds.
        for _ in range(min(STEPS, config.budget.steps or STEPS)):
            step(draw)
            kind, phases = step_operations(recorder)
            counts[kind] = phases
    return Counted(counts, counter.unknown_names)
