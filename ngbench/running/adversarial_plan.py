"""From what a user asks of ``ngbench gan`` to the runs that will be made. Everything is checked here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from ngbench.adversarial_task import PLAYERS, AdversarialTask, Player
from ngbench.arms import PlayersArm, parse_players, refuse_identical, resolve_pair
from ngbench.frechet.network import FeatureNetwork
from ngbench.measurement.memory import parameter_bytes
from ngbench.plugins import registry
from ngbench.records.record import AdversarialRecord, FidRecord, RunRecord
from ngbench.running.adversarial_config import AdversarialConfig, FidConfig, PlayerConfig
from ngbench.running.adversarial_problem import (
    AdversarialProblem,
    feature_network,
    generator_average,
    load_adversarial_problem,
    player_optimizers,
    player_rates,
)
from ngbench.running.plan import Plan, RunConditions, first_record, for_each_seed, optimizer_record
from ngbench.running.players import initial_players, player_task
from ngbench.running.request import AdversarialRequest
from ngbench.running.weight_average import refuse_two_averages
from ngbench.running.workers import RunStarter

__all__ = ["make_adversarial_plan"]


def make_adversarial_plan(request: AdversarialRequest) -> Plan[AdversarialProblem]:
    """Check the request and fill in every default; data and feature network are made, each optimizer is built once.

    Raises:
        UsageError: whatever the user can put right, naming the value and what is allowed.
    """
    asked = request.options
    conditions = RunConditions.of(request.task, request.task_options, asked)
    # A wrong name or value is said before anything is downloaded.
    task = registry.adversarial_task(request.task, conditions.task_options)
    batch_size = task.batch_size if asked.batch_size is None else asked.batch_size
    arms = request.arms or parse_players([",".join(task.settings_for(batch_size))])
    pairs = [_resolve(arm, task, batch_size) for arm in arms]
    refuse_identical((arm.label, _name(pair), _flat(pair)) for arm, pair in zip(arms, pairs, strict=True))
    problem = load_adversarial_problem(request.task, conditions.task_options, conditions.directory)
    fid = FidConfig(asked.fid_every, asked.fid_samples, asked.fid_weights, asked.fid_features)
    configs = [
        conditions.config(
            AdversarialConfig,
            problem,
            label=arm.label,
            whole_batches=True,
            optimizer=_name(pair),
            hyperparameters=_flat(pair),
            players=pair,
            critic_steps=task.critic_steps if asked.critic_steps is None else asked.critic_steps,
            penalty=task.penalty if asked.penalty is None else asked.penalty,
            fid=fid,
            samples=request.samples,
        )
        for arm, pair in zip(arms, pairs, strict=True)
    ]
    parameters, size = _try_players(problem, configs, conditions.dtype)
    network = feature_network(problem, fid, conditions.directory)

    def record(config: AdversarialConfig) -> RunRecord:
        first = first_record(config, problem, None, parameters, size)
        first.adversarial = _adversarial_record(config, problem, network)
        return first

    groups = for_each_seed(configs, asked.seeds, record)
    introduction = [*conditions.introduce(problem), f"scored by {network.description}"]
    return Plan(groups, problem, RunStarter, conditions.device, conditions.threads, introduction)


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
    problem: AdversarialProblem, configs: Sequence[AdversarialConfig], dtype: torch.dtype
) -> tuple[int, int]:
    """Build each pair of optimizers once, on the CPU, and forget it.

    Returns:
        Both networks' number of parameters, and their bytes.
    """
    for config in configs:
        players = initial_players(problem.task, problem.name, 0, torch.device("cpu"), dtype)
        average = generator_average(config, players)
        optimizers = player_optimizers(problem.task, players, config.players)
        player_rates(config, optimizers)
        refuse_two_averages(average, config.players["generator"].optimizer, optimizers["generator"])
    networks = (players.generator, players.critic)
    return sum(p.numel() for network in networks for p in network.parameters()), sum(map(parameter_bytes, networks))


def _adversarial_record(
    config: AdversarialConfig, problem: AdversarialProblem, network: FeatureNetwork
) -> AdversarialRecord:
    return AdversarialRecord(
        players={
            player: optimizer_record(chosen.optimizer, chosen.hyperparameters, registry.optimizer(chosen.optimizer))
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
