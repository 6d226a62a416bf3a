"""From what a user asks of ``ngbench gan`` to the runs that will be made. Everything is checked here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from ngbench.adversarial_task import PLAYERS, AdversarialTask, Player
from ngbench.arms import refuse_identical
from ngbench.data.directory import data_directory
from ngbench.frechet.network import FeatureNetwork
from ngbench.measurement.memory import parameter_bytes
from ngbench.player_arms import PlayersArm, parse_players, resolve_pair
from ngbench.plugins import registry
from ngbench.records.record import AdversarialRecord, FidRecord, OptimizerRecord
from ngbench.running.adversarial_config import AdversarialConfig, FidConfig, PlayerConfig
from ngbench.running.adversarial_problem import (
    AdversarialProblem,
    feature_network,
    load_adversarial_problem,
    player_optimizers,
)
from ngbench.running.devices import resolve_device, resolve_dtype
from ngbench.running.plan import budget_of, check_batch_size, first_record
from ngbench.running.players import initial_players, player_task
from ngbench.running.request import AdversarialRequest
from ngbench.running.schedule import PlannedRun
from ngbench.running.turns import default_turn_steps

__all__ = ["AdversarialPlan", "make_adversarial_plan"]


@dataclass(frozen=True)
class AdversarialPlan:
    """The runs to be made.

    Attributes:
        groups: for each seed, one run for each arm.
        problem: the task with its data.
        network: what scores the images.
        device: where the runs compute.
        threads: of torch's operations on the CPU.
    """

    groups: list[list[PlannedRun]]
    problem: AdversarialProblem
    network: FeatureNetwork
    device: torch.device
    threads: int


def make_adversarial_plan(request: AdversarialRequest) -> AdversarialPlan:
    """Check the request and fill in every default; data and feature network are made, each optimizer is built once.

    Raises:
        UsageError: whatever the user can put right, naming the value and what is allowed.
    """
    asked = request.options
    device = resolve_device(asked.device)
    dtype = resolve_dtype(asked.dtype, device)
    threads = asked.threads if asked.threads is not None else torch.get_num_threads()
    directory = data_directory(asked.data_dir)
    options = registry.task_options(request.task, request.task_options)
    # A wrong name or value is said before anything is downloaded.
    task = registry.adversarial_task(request.task, options)
    batch_size = task.batch_size if asked.batch_size is None else asked.batch_size
    arms = request.arms or parse_players([",".join(task.settings_for(batch_size))])
    pairs = [_resolve(arm, task, batch_size) for arm in arms]
    refuse_identical((arm.label, _name(pair), _flat(pair)) for arm, pair in zip(arms, pairs, strict=True))
    problem = load_adversarial_problem(request.task, options, directory)
    check_batch_size(batch_size, problem)
    parameters, size = _try_players(problem, pairs, dtype)
    fid = FidConfig(asked.fid_every, asked.fid_samples, asked.fid_weights, asked.fid_features)
    network = feature_network(problem, fid, directory)
    budget = budget_of(asked, task.epochs)
    turn_steps = asked.turn_steps
    if turn_steps is None:
        turn_steps = default_turn_steps(budget, len(problem.data.train_inputs) // batch_size)
    configs = [
        AdversarialConfig(
            task=request.task,
            label=arm.label,
            optimizer=_name(pair),
            hyperparameters=_flat(pair),
            seed=asked.seed,
            batch_size=batch_size,
            budget=budget,
            data_dir=directory,
            task_options=options,
            device=str(device),
            dtype=asked.dtype,
            threads=threads,
            turn_steps=turn_steps,
            players=pair,
            critic_steps=task.critic_steps if asked.critic_steps is None else asked.critic_steps,
            penalty=task.penalty if asked.penalty is None else asked.penalty,
            fid=fid,
            samples=request.samples,
            count_operations=asked.count_operations,
        )
        for arm, pair in zip(arms, pairs, strict=True)
    ]
    groups = [
        [_planned(config, at, asked.seed + k, problem, network, parameters, size) for at, config in enumerate(configs)]
        for k in range(asked.seeds)
    ]
    return AdversarialPlan(groups, problem, network, device, threads)


def _resolve(arm: PlayersArm, task: AdversarialTask, batch_size: int) -> dict[Player, PlayerConfig]:
    """Both optimizers of an arm with all their hyper-parameters: given or published, else the task's or their own."""
    pair = resolve_pair(arm, task, batch_size)
    given = {"generator": pair.generator_hyperparameters, "critic": pair.critic_hyperparameters}
    names = {"generator": pair.generator, "critic": pair.critic}
    resolved: dict[Player, PlayerConfig] = {}
    for player in PLAYERS:
        plugin = registry.optimizer(names[player])
        values = registry.effective_hyperparameters(plugin, player_task(task, player), given[player])
        resolved[player] = PlayerConfig(names[player], values)
    return resolved


def _name(pair: Mapping[Player, PlayerConfig]) -> str:
    return "+".join(pair[player].optimizer for player in PLAYERS)


def _flat(pair: Mapping[Player, PlayerConfig]) -> dict[str, object]:
    return {f"{player}.{key}": value for player in PLAYERS for key, value in pair[player].hyperparameters.items()}


def _try_players(
    problem: AdversarialProblem, pairs: Sequence[Mapping[Player, PlayerConfig]], dtype: torch.dtype
) -> tuple[int, int]:
    """Build each pair of optimizers once, on the CPU, and forget it.

    Returns:
        Both networks' number of parameters, and their bytes.
    """
    for pair in pairs:
        players = initial_players(problem.task, problem.name, 0, torch.device("cpu"), dtype)
        player_optimizers(problem.task, players, pair)
    networks = (players.generator, players.critic)
    return sum(p.numel() for network in networks for p in network.parameters()), sum(map(parameter_bytes, networks))


def _planned(
    config: AdversarialConfig,
    position: int,
    seed: int,
    problem: AdversarialProblem,
    network: FeatureNetwork,
    parameters: int,
    size: int,
) -> PlannedRun:
    config = replace(config, seed=seed)
    record = first_record(config, problem, None, parameters, size)
    record.position = position
    record.adversarial = AdversarialRecord(
        players={
            player: OptimizerRecord(
                name=chosen.optimizer,
                hyperparameters=chosen.hyperparameters,
                distribution=registry.optimizer(chosen.optimizer).distribution,
            )
            for player, chosen in config.players.items()
        },
        critic_steps=config.critic_steps,
        penalty=config.penalty,
        fid=FidRecord(
            metric=network.metric,
            network=network.description,
            digest=network.digest,
            features=network.features,
            accuracy=network.accuracy,
            every=config.fid.every,
            samples=config.fid.samples,
            real_samples=min(config.fid.samples, len(problem.data.train_inputs)),
        ),
    )
    return PlannedRun(config, record)
