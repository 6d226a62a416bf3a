"""From what a user asks for to the runs that will be made. Everything is checked here, before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

from ngbench.arms import ArmSpec, refuse_identical
from ngbench.data.directory import data_directory
from ngbench.errors import ParameterError
from ngbench.measurement.memory import parameter_bytes
from ngbench.plugins import registry
from ngbench.plugins.located import SourceFile
from ngbench.plugins.plugin import Plugin
from ngbench.records.commits import commit_of
from ngbench.records.experiments import BudgetRecord
from ngbench.records.provenance import SourceFileRecord
from ngbench.records.record import (
    DataRecord,
    History,
    MemoryRecord,
    OptimizerRecord,
    RunRecord,
    StepsRecord,
)
from ngbench.running.config import Budget, RunConfig
from ngbench.running.devices import device_name, explain_device, resolve_device, resolve_dtype
from ngbench.running.initial import initial_model, initial_optimizer
from ngbench.running.learning_rates import LearningRates
from ngbench.running.option_fields import conditions_of
from ngbench.running.problem import LoadedTask, Problem, load_problem
from ngbench.running.request import Request, RunOptions
from ngbench.running.schedule import PlannedRun
from ngbench.running.turns import default_turn_steps
from ngbench.running.weight_average import refuse_two_averages, weight_average
from ngbench.running.workers import RunStarter, Start
from ngbench.spelling import spelled

__all__ = ["Plan", "RunConditions", "first_record", "for_each_seed", "make_plan", "optimizer_record"]


ProblemT = TypeVar("ProblemT", bound=LoadedTask)
ConfigT = TypeVar("ConfigT", bound=RunConfig)


@dataclass(frozen=True)
class Plan(Generic[ProblemT]):
    """The runs to be made.

    Attributes:
        groups: for each seed, one run for each arm.
        problem: the task with its data.
        starter: makes what starts the runs, of the problem or of one that it loads itself.
        device: where the runs compute.
        threads: of torch's operations on the CPU.
        introduction: what the user should know before they begin, a line each.
    """

    groups: Sequence[Sequence[PlannedRun]]
    problem: ProblemT
    starter: Callable[..., Start]
    device: torch.device
    threads: int
    introduction: Sequence[str] = ()


@dataclass(frozen=True)
class RunConditions:
    """What all runs of a request have in common, with every default filled in but those of the task.

    Raises:
        UsageError: whatever the user can put right, naming the value and what is allowed.
    """

    task: str
    options: RunOptions
    task_options: dict[str, Any]
    device: torch.device
    dtype: torch.dtype
    threads: int
    directory: Path

    @classmethod
    def of(cls, task: str, task_options: Mapping[str, str], options: RunOptions) -> RunConditions:
        """The conditions that are asked for."""
        device = resolve_device(options.device)
        return cls(
            task=task,
            options=options,
            task_options=registry.task_options(task, task_options),
            device=device,
            dtype=resolve_dtype(options.dtype, device),
            threads=options.threads if options.threads is not None else torch.get_num_threads(),
            directory=data_directory(options.data_dir),
        )

    def introduce(self, problem: LoadedTask) -> list[str]:
        """Where the runs compute, and on which data."""
        source = problem.data.source
        origin = "" if source.origin == "original" else f" ({source.origin})"
        own = [] if problem.file is None else [f"task {problem.name!r} is that of {problem.file.path}"]
        return [
            explain_device(self.options.device, self.device, self.threads),
            *own,
            f"data: {source.name}{origin}, {source.description}",
        ]

    def config(
        self,
        kind: Callable[..., ConfigT],
        problem: LoadedTask,
        *,
        label: str,
        whole_batches: bool = False,
        **of_kind: Any,
    ) -> ConfigT:
        """The configuration of the first seed's run.

        Args:
            kind: of the configuration.
            problem: the task with its data.
            label: the arm.
            whole_batches: whether an epoch leaves out the examples that do not fill a mini-batch.
            of_kind: what the arm and the kind of run have beside.
        """
        asked, examples = self.options, len(problem.data.train_inputs)
        batch_size = check_batch_size(asked.batch_size, problem)
        budget = _budget(asked, problem.task.epochs)
        epoch_steps = examples // batch_size if whole_batches else -(-examples // batch_size)
        return kind(
            task=self.task,
            label=label,
            seed=asked.seed,
            batch_size=batch_size,
            budget=budget,
            data_dir=self.directory,
            task_options=self.task_options,
            device=str(self.device),
            dtype=asked.dtype,
            threads=self.threads,
            conditions=conditions_of(asked),
            target_loss=asked.target_loss,
            turn_steps=default_turn_steps(budget, epoch_steps) if asked.turn_steps is None else asked.turn_steps,
            diagnostics_interval=asked.diagnostics_interval if asked.diagnostics else None,
            diagnostics_damping=asked.diagnostics_damping,
            schedule=asked.schedule,
            warmup=asked.warmup,
            average=asked.average,
            epoch_steps=epoch_steps,
            count_operations=asked.count_operations,
            **of_kind,
        )


def for_each_seed(
    configs: Sequence[ConfigT], seeds: int, record: Callable[[ConfigT], RunRecord]
) -> list[list[PlannedRun]]:
    """The runs of all seeds, counted up from that of the configurations, each with its first record."""

    def planned(config: ConfigT, position: int) -> PlannedRun:
        first = record(config)
        first.position = position
        return PlannedRun(config, first)

    return [
        [planned(replace(config, seed=config.seed + more), at) for at, config in enumerate(configs)]
        for more in range(seeds)
    ]


def make_plan(request: Request, problem: Problem | None = None) -> Plan[Problem]:
    """Check the request and fill in every default; the data are loaded, and each optimizer is built once.

    Args:
        request: what is asked for.
        problem: the task with its data, if it is loaded already.

    Raises:
        UsageError: whatever the user can put right, naming the value and what is allowed.
    """
    conditions = RunConditions.of(request.task, request.task_options, request.options)
    found = {arm.label: registry.optimizer(arm.optimizer) for arm in request.arms}
    # A wrong name or value is said before anything is downloaded.
    task = registry.task(request.task, conditions.task_options)
    hyperparameters = {
        arm.label: registry.effective_hyperparameters(
            found[arm.label], task, {**_tuned(request, arm), **arm.hyperparameters}
        )
        for arm in request.arms
    }
    origins = {
        arm.label: registry.origins_of_hyperparameters(
            found[arm.label], task, arm.hyperparameters, _tuned(request, arm)
        )
        for arm in request.arms
    }
    # A default of 0 and a given 0.0 are the same value.
    refuse_identical(
        (arm.label, arm.optimizer, {name: _as_float(value) for name, value in hyperparameters[arm.label].items()})
        for arm in request.arms
    )
    if problem is None:
        problem = load_problem(request.task, conditions.task_options, conditions.directory)
    loaded = problem
    configs = [
        conditions.config(
            RunConfig,
            loaded,
            label=arm.label,
            optimizer=arm.optimizer,
            hyperparameters=hyperparameters[arm.label],
        )
        for arm in request.arms
    ]
    parameters, size = _try_optimizers(loaded, configs, conditions.dtype)

    def record(config: RunConfig) -> RunRecord:
        first = first_record(config, loaded, found[config.label], parameters, size)
        first.optimizer.origins = origins[config.label]
        return first

    introduction = conditions.introduce(loaded)
    for plugin in found.values():
        if plugin.file is not None:
            introduction.append(f"optimizer {plugin.name!r} is that of {plugin.file.path}")
    if request.tuned is not None:
        introduction += request.tuned.notes(request.arms, configs[0].batch_size, conditions.task_options)
    groups = for_each_seed(configs, request.options.seeds, record)
    return Plan(groups, loaded, RunStarter, conditions.device, conditions.threads, introduction)


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
            f"{spelled('batch_size')}={size} is not allowed, it must be at most {examples}, "
            f"the number of training examples of {problem.name}"
        )
    return size


def _budget(options: RunOptions, epochs: int) -> Budget:
    """The budget asked for; the task's own number of ``epochs`` where no end is asked for at all."""
    endless = options.epochs is None and options.steps is None and options.time_limit is None
    asked = Budget(**{field.name: getattr(options, field.name) for field in fields(Budget)})
    return replace(asked, epochs=epochs) if endless else asked


def _try_optimizers(problem: Problem, configs: Sequence[RunConfig], dtype: torch.dtype) -> tuple[int, int]:
    """Build each optimizer once, on the CPU, and forget it.

    Returns:
        The model's number of parameters, and their bytes.
    """
    for config in configs:
        # A new model each time: an optimizer may leave hooks on its own.
        model = initial_model(problem, 0, torch.device("cpu"), dtype)
        average = weight_average(config, config.optimizer, config.hyperparameters, model)
        optimizer = initial_optimizer(problem.task, model, config.optimizer, config.hyperparameters)
        LearningRates(config, config.optimizer, config.hyperparameters, optimizer)
        refuse_two_averages(average, config.optimizer, optimizer)
    return sum(p.numel() for p in model.parameters()), parameter_bytes(model)


def first_record(
    config: RunConfig, problem: LoadedTask, plugin: Plugin | None, parameters: int, size: int
) -> RunRecord:
    """What is known of a run before it begins.

    Args:
        config: of the run.
        problem: the task with its data.
        plugin: the optimizer, if it is one plugin.
        parameters: how many the model has.
        size: of the model in bytes.
    """
    data, device = problem.data, torch.device(config.device)
    return RunRecord(
        label=config.label,
        task=config.task,
        task_options=config.task_options,
        task_file=_file_record(problem.file),
        data=DataRecord(
            name=data.source.name,
            origin=data.source.origin,
            description=data.source.description,
            digest=data.source.digest,
            train_examples=len(data.train_inputs),
            validation_examples=len(data.validation_inputs),
        ),
        optimizer=optimizer_record(config.optimizer, config.hyperparameters, plugin),
        seed=config.seed,
        device=config.device,
        device_name=device_name(device),
        dtype=config.dtype,
        batch_size=config.batch_size,
        threads=config.threads,
        budget=BudgetRecord(**config.budget.as_dict()),
        conditions=config.conditions,
        status="running",
        target_loss=config.target_loss,
        constant_loss=problem.constant_loss if isinstance(problem, Problem) else None,
        parameters=parameters,
        history=History(),
        steps=StepsRecord(),
        phases={},
        memory=MemoryRecord(parameter_bytes=size),
        started_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )


def optimizer_record(name: str, hyperparameters: Mapping[str, Any], plugin: Plugin | None) -> OptimizerRecord:
    """What a record says of an optimizer called ``name``, which is the plugin if it is one."""
    return OptimizerRecord(
        name=name,
        hyperparameters=dict(hyperparameters),
        distribution=None if plugin is None else plugin.distribution,
        file=None if plugin is None else _file_record(plugin.file),
    )


def _file_record(file: SourceFile | None) -> SourceFileRecord | None:
    if file is None:
        return None
    return SourceFileRecord(path=file.path, digest=file.digest, **commit_of(Path(file.path)).model_dump())
