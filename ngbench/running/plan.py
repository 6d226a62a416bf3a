"""From what a user asks for to the runs that will be made. Everything is checked here, before anything runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import torch

from ngbench.arms import ArmSpec, refuse_identical
from ngbench.data.directory import data_directory
from ngbench.errors import ParameterError
from ngbench.measurement.memory import parameter_bytes
from ngbench.plugins import registry
from ngbench.records.record import DataRecord, MemoryRecord, OptimizerRecord, RunRecord
from ngbench.running.config import Budget, RunConfig
from ngbench.running.devices import device_name, resolve_device, resolve_dtype
from ngbench.running.problem import LoadedTask, Problem, initial_model, initial_optimizer, load_problem
from ngbench.running.request import Request, RunOptions
from ngbench.running.schedule import PlannedRun
from ngbench.running.turns import default_turn_steps

__all__ = ["Plan", "budget_of", "check_batch_size", "first_record", "make_plan"]


@dataclass(frozen=True)
class Plan:
    """The runs to be made.

    Attributes:
        groups: for each seed, one run for each arm.
        problem: the task with its data.
        device: where the runs compute.
        threads: of torch's operations on the CPU.
        notes: what the user should know of the hyper-parameters.
    """

    groups: list[list[PlannedRun]]
    problem: Problem
    device: torch.device
    threads: int
    notes: Sequence[str] = ()


def make_plan(request: Request, problem: Problem | None = None) -> Plan:
    """Check the request and fill in every default; the data are loaded, and each optimizer is built once.

    Args:
        request: what is asked for.
        problem: the task with its data, if it is loaded already.

    Raises:
        UsageError: whatever the user can put right, naming the value and what is allowed.
    """
    asked = request.options
    device = resolve_device(asked.device)
    dtype = resolve_dtype(asked.dtype, device)
    threads = asked.threads if asked.threads is not None else torch.get_num_threads()
    directory = data_directory(asked.data_dir)
    options = registry.task_options(request.task, request.task_options)
    found = [registry.optimizer(arm.optimizer) for arm in request.arms]
    # A wrong name or value is said before anything is downloaded.
    task = registry.task(request.task, options)
    hyperparameters = [
        registry.effective_hyperparameters(plugin, task, {**_tuned(request, arm), **arm.hyperparameters})
        for plugin, arm in zip(found, request.arms, strict=True)
    ]
    # A default of 0 and a given 0.0 are the same value.
    refuse_identical(
        (arm.label, arm.optimizer, {name: _as_float(value) for name, value in values.items()})
        for arm, values in zip(request.arms, hyperparameters, strict=True)
    )
    if problem is None:
        problem = load_problem(request.task, options, directory)
    batch_size = check_batch_size(asked.batch_size, problem)
    parameters, size = _try_optimizers(problem, request.arms, hyperparameters, dtype)
    budget = budget_of(asked, problem.task.epochs)
    turn_steps = asked.turn_steps
    if turn_steps is None:
        turn_steps = default_turn_steps(budget, -(-len(problem.data.train_inputs) // batch_size))

    def planned(at: int, seed: int) -> PlannedRun:
        arm = request.arms[at]
        config = RunConfig(
            task=request.task,
            label=arm.label,
            optimizer=arm.optimizer,
            seed=seed,
            batch_size=batch_size,
            budget=budget,
            data_dir=directory,
            task_options=options,
            hyperparameters=hyperparameters[at],
            device=str(device),
            dtype=asked.dtype,
            threads=threads,
            target_loss=asked.target_loss,
            turn_steps=turn_steps,
            diagnostics_interval=asked.diagnostics_interval if asked.diagnostics else None,
            diagnostics_damping=asked.diagnostics_damping,
            count_operations=asked.count_operations,
        )
        record = first_record(config, problem, found[at].distribution, parameters, size)
        record.position = at
        return PlannedRun(config, record)

    groups = [[planned(at, asked.seed + k) for at in range(len(request.arms))] for k in range(asked.seeds)]
    notes = [] if request.tuned is None else request.tuned.notes(request.arms, batch_size, options)
    return Plan(groups, problem, device, threads, notes)


def _tuned(request: Request, arm: ArmSpec) -> Mapping[str, Any]:
    found = None if request.tuned is None else request.tuned.for_arm(arm.label, arm.optimizer)
    return found or {}


def _as_float(value: Any) -> Any:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def check_batch_size(given: int | None, problem: LoadedTask) -> int:
    """The batch size that is ``given``, else the task's.

    Raises:
        ParameterError: it is larger than the data.
    """
    size = problem.task.batch_size if given is None else given
    examples = len(problem.data.train_inputs)
    if size > examples:
        raise ParameterError(
            f"batch-size={size} is not allowed, it must be at most {examples}, "
            f"the number of training examples of {problem.name}"
        )
    return size


def budget_of(options: RunOptions, epochs: int) -> Budget:
    """The budget asked for; the task's own number of ``epochs`` where no end is asked for at all."""
    endless = options.epochs is None and options.steps is None and options.time_limit is None
    return Budget(
        epochs=epochs if endless else options.epochs,
        steps=options.steps,
        time_limit=options.time_limit,
        early_stopping=options.early_stopping,
    )


def _try_optimizers(
    problem: Problem,
    arms: Sequence[ArmSpec],
    hyperparameters: Sequence[Mapping[str, Any]],
    dtype: torch.dtype,
) -> tuple[int, int]:
    """Build each optimizer once, on the CPU, and forget it.

    Returns:
        The model's number of parameters, and their bytes.
    """
    for arm, values in zip(arms, hyperparameters, strict=True):
        # A new model each time: an optimizer may leave hooks on its own.
        model = initial_model(problem, 0, torch.device("cpu"), dtype)
        initial_optimizer(problem, model, arm.optimizer, values)
    return sum(p.numel() for p in model.parameters()), parameter_bytes(model)


def first_record(
    config: RunConfig, problem: LoadedTask, distribution: str | None, parameters: int, size: int
) -> RunRecord:
    """What is known of a run before it begins; ``size`` is the model's in bytes."""
    data, device = problem.data, torch.device(config.device)
    return RunRecord(
        label=config.label,
        task=config.task,
        task_options=config.task_options,
        data=DataRecord(
            name=data.source.name,
            origin=data.source.origin,
            description=data.source.description,
            digest=data.source.digest,
            train_examples=len(data.train_inputs),
            validation_examples=len(data.validation_inputs),
        ),
        optimizer=OptimizerRecord(
            name=config.optimizer, hyperparameters=config.hyperparameters, distribution=distribution
        ),
        seed=config.seed,
        device=config.device,
        device_name=device_name(device),
        dtype=config.dtype,
        batch_size=config.batch_size,
        threads=config.threads,
        budget=config.budget.as_dict(),
        target_loss=config.target_loss,
        parameters=parameters,
        memory=MemoryRecord(parameter_bytes=size),
        started_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
