"""From what a user asks of ``ngbench gan`` to the runs that will be made. Everything is checked here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

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
from ngbench.running.config import Budget
from ngbench.running.devices import resolve_device, resolve_dtype
from ngbench.running.limits import ADVERSARIAL_LIMITS, LIMITS, check_seeds_and_time
from ngbench.running.plan import check_batch_size, first_record
from ngbench.running.players import initial_players, player_task
from ngbench.running.schedule import PlannedRun

__all__ = ["AdversarialPlan", "AdversarialRequest", "make_adversarial_plan"]


@dataclass(frozen=True)
class AdversarialRequest:
    """What the user asks for; ``None`` stands for the task's or the tool's default.

    Attributes:
        task: the task's name.
        arms: which optimizers train the players; none stands for all pairs that the task has a name for.
        task_options: the task's own options, as text.
        critic_steps: K, steps of the critic for each one of the generator.
        penalty: λ, weight of the gradient penalty.
        early_stopping: ends a run after so many epochs without a new lowest score.
        fid_every: epochs from one score to the next.
        fid_samples: images that are scored.
        fid_weights: file of Inception's weights.
        fid_features: of Inception's layer.
        samples: directory of the grids of generated images; ``None`` draws none.

    The others are as in :class:`~ngbench.running.plan.Request`.
    """

    task: str
    arms: Sequence[PlayersArm]
    task_options: Mapping[str, str] = field(default_factory=dict)
    critic_steps: int | None = None
    penalty: float | None = None
    epochs: int | None = None
    steps: int | None = None
    time_limit: float | None = None
    early_stopping: int | None = None
    batch_size: int | None = None
    seed: int = 0
    seeds: int = 1
    device: str = "auto"
    dtype: str = "float32"
    threads: int | None = None
    data_dir: str | None = None
    fid_every: int = 1
    fid_samples: int = 2000
    fid_weights: Path | None = None
    fid_features: int = 2048
    samples: Path | None = None
    count_operations: bool = True


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
    _check_limits(request)
    device = resolve_device(request.device)
    dtype = resolve_dtype(request.dtype, device)
    threads = request.threads if request.threads is not None else torch.get_num_threads()
    directory = data_directory(request.data_dir)
    options = registry.task_options(request.task, request.task_options)
    # A wrong name or value is said before anything is downloaded.
    task = registry.adversarial_task(request.task, options)
    batch_size = task.batch_size if request.batch_size is None else request.batch_size
    arms = request.arms or parse_players([",".join(task.settings_for(batch_size))])
    pairs = [_resolve(arm, task, batch_size) for arm in arms]
    refuse_identical((arm.label, _name(pair), _flat(pair)) for arm, pair in zip(arms, pairs, strict=True))
    problem = load_adversarial_problem(request.task, options, directory)
    check_batch_size(batch_size, problem)
    parameters, size = _try_players(problem, pairs, dtype)
    fid = FidConfig(request.fid_every, request.fid_samples, request.fid_weights, request.fid_features)
    network = feature_network(problem, fid, directory)
    configs = [
        AdversarialConfig(
            task=request.task,
            label=arm.label,
            optimizer=_name(pair),
            hyperparameters=_flat(pair),
            seed=request.seed,
            batch_size=batch_size,
            budget=_budget(request, task),
            data_dir=directory,
            task_options=options,
            device=str(device),
            dtype=request.dtype,
            threads=threads,
            players=pair,
            critic_steps=task.critic_steps if request.critic_steps is None else request.critic_steps,
            penalty=task.penalty if request.penalty is None else request.penalty,
            fid=fid,
            samples=request.samples,
            count_operations=request.count_operations,
        )
        for arm, pair in zip(arms, pairs, strict=True)
    ]
    groups = [
        [
            _planned(config, at, request.seed + k, problem, network, parameters, size)
            for at, config in enumerate(configs)
        ]
        for k in range(request.seeds)
    ]
    return AdversarialPlan(groups, problem, network, device, threads)


def _check_limits(request: AdversarialRequest) -> None:
    for name, limit in {**LIMITS, **ADVERSARIAL_LIMITS}.items():
        value = getattr(request, name.replace("-", "_"), None)
        if value is not None:
            limit.convert(value)
    check_seeds_and_time(request.seed, request.seeds, request.time_limit)


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


def _budget(request: AdversarialRequest, task: AdversarialTask) -> Budget:
    """The budget asked for; the task's own number of epochs where no end is asked for at all."""
    endless = request.epochs is None and request.steps is None and request.time_limit is None
    return Budget(
        epochs=task.epochs if endless else request.epochs,
        steps=request.steps,
        time_limit=request.time_limit,
        early_stopping=request.early_stopping,
    )


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
