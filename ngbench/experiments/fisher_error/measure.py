"""The measurement of Fisher errors: from what is asked for to the record of its run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ngbench.arms import ArmSpec
from ngbench.curvature.blocks.linear import LinearBlock
from ngbench.disk import files
from ngbench.errors import NgbenchError, ParameterError, PluginError, RecordError, describe, one_line
from ngbench.experiments.fisher_error.request import FisherErrorRequest
from ngbench.experiments.fisher_error.run import (
    FisherErrorConfig,
    FisherErrorStarter,
    choose_layers,
    numbers_of,
)
from ngbench.experiments.runs import ExperimentObserver, Place, Ran, SilentObserver, make_runs
from ngbench.measurement.memory import parameter_bytes
from ngbench.plugins import registry
from ngbench.records.differences import differences
from ngbench.records.record import FisherCurve, FisherErrorRecord, RunRecord
from ngbench.records.sources import load_records
from ngbench.running.initial import initial_model
from ngbench.running.plan import Plan, RunConditions, first_record, for_each_seed
from ngbench.running.problem import Problem, load_problem

__all__ = ["measure_fisher_errors"]


def measure_fisher_errors(
    request: FisherErrorRequest,
    *,
    place: Place | None = None,
    observer: ExperimentObserver | None = None,
    own_processes: bool = True,
) -> Ran:
    """Train, and measure approximations at some of the steps; a run for each seed.

    Args:
        request: what to measure.
        place: where records are kept, nowhere by default; a run that did not come to its end begins again.
        observer: is told what happens.
        own_processes: whether the runs have a process of their own.

    Raises:
        UsageError: whatever the user can put right, before anything runs.
    """
    observer = observer or SilentObserver()
    observer.stage(f"loading the data of {request.task}")
    plan, place = _plan(request), place or Place()
    if place.directory is not None and place.resume:
        _refuse_others(place.directory, plan.groups[0][0].record)
    return make_runs(plan, place=place, observer=observer, own_processes=own_processes)


def _plan(request: FisherErrorRequest) -> Plan[Problem]:
    """The run, after all was refused that a user can get wrong."""
    for arm in request.approximations:
        _try(arm)
    asked = request.options
    conditions = RunConditions.of(request.task, request.task_options, asked)
    problem = load_problem(request.task, conditions.task_options, conditions.directory)
    config = conditions.config(
        FisherErrorConfig,
        problem,
        label=asked.trained_with,
        optimizer=asked.trained_with,
        hyperparameters=registry.effective_hyperparameters(registry.optimizer(asked.trained_with), problem.task, {}),
        approximations=tuple(request.approximations),
        layer=asked.layer,
        every=asked.every,
        fisher=asked.fisher,
    )
    model = initial_model(problem, 0, torch.device("cpu"), conditions.dtype)
    layers = numbers_of(model, choose_layers(model, asked.layer))
    curves = {arm.label: _nothing_measured(arm) for arm in request.approximations}
    errors = [
        FisherErrorRecord(layer=number, layer_name=name, fisher=asked.fisher, steps=[], approximations=curves)
        for name, number in layers.items()
    ]
    changes = {"position": 0, "fisher_errors": errors}

    def record(config: FisherErrorConfig) -> RunRecord:
        size = sum(p.numel() for p in model.parameters())
        return first_record(config, problem, None, size, parameter_bytes(model)).model_copy(update=changes)

    groups = for_each_seed([config], asked.seeds, record)
    introduction = conditions.introduce(problem)
    return Plan(groups, problem, FisherErrorStarter, conditions.device, conditions.threads, introduction)


def _nothing_measured(arm: ArmSpec) -> FisherCurve:
    options = registry.approximation_plugin(arm.optimizer).convert(arm.hyperparameters)
    return FisherCurve(plugin=arm.optimizer, hyperparameters=options, error_1=[], error_2=[])


def _refuse_others(directory: Path, planned: RunRecord) -> None:
    """Refuse to go on with runs that measured other approximations; all else is compared for runs of any kind.

    Raises:
        RecordError: naming what differs.
    """
    held = load_records(directory) if files.is_directory(directory) else None
    for run in [] if held is None else held.runs:
        told = list(differences(_approximations(run), _approximations(planned), "approximations"))
        if told:
            raise RecordError(
                f"{str(directory)!r} holds another measurement with seed {run.seed} than the one to be resumed: "
                f"{'; '.join(told)}"
            )


def _approximations(run: RunRecord) -> dict[str, dict[str, Any]]:
    return {
        label: {"plugin": curve.plugin, **curve.hyperparameters}
        for error in run.fisher_errors
        for label, curve in error.approximations.items()
    }


def _try(arm: ArmSpec) -> None:
    """What an approximation refuses of its options, it refuses before anything runs."""
    approximation = registry.approximation(arm.optimizer, arm.hyperparameters)
    generator = torch.Generator().manual_seed(0)
    inputs, derivatives = torch.randn(4, 3, generator=generator), torch.randn(4, 3, generator=generator)
    try:
        approximation(LinearBlock(inputs, derivatives, constant=True), None)
    except KeyboardInterrupt:
        raise
    except (ValueError, NgbenchError) as error:
        raise ParameterError(f"approximation {arm.label}: {one_line(error)}") from error
    except BaseException as error:
        raise PluginError(f"approximation {arm.label!r} failed: {describe(error)}") from error
