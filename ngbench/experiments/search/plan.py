"""From what a search is asked to do to the trials it will make. Everything is checked here, before any is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from ngbench.adversarial_task import AdversarialTask
from ngbench.arms import ArmSpec
from ngbench.errors import ParameterError, UnknownNameError, UsageError
from ngbench.experiments.search.ledger import SearchedArm
from ngbench.experiments.search.metrics import SearchMetric, parse_metric
from ngbench.experiments.search.request import SearchRequest
from ngbench.experiments.search.samplers import SAMPLERS, proposer
from ngbench.experiments.search.space import Choice, Dimension, Space, is_grid, plain, read_dimension, size
from ngbench.experiments.search.trials import TrialTemplate
from ngbench.plugins import registry
from ngbench.plugins.parameters import Parameter, format_value
from ngbench.running.plan import Plan, make_plan
from ngbench.running.problem import Problem
from ngbench.running.request import Request
from ngbench.spelling import argument
from ngbench.task import Task

__all__ = ["SearchPlan", "plan_search"]


@dataclass(frozen=True)
class SearchPlan:
    """What will be searched.

    Attributes:
        arms: each with its trials.
        templates: by arm.
        metric: what decides.
        sampler: its name.
        common: what all arms have in common, as plain values: task, data, budget and so on.
        problem: the task with its data.
        data: name, origin and digest of the data.
        device: where trials compute.
        threads: of torch's operations on the CPU.
        introduction: where trials compute, and on which data.
        warnings: what the user should know.
    """

    arms: Sequence[SearchedArm]
    templates: Mapping[str, TrialTemplate]
    metric: SearchMetric
    sampler: str
    common: Mapping[str, Any]
    problem: Problem
    data: Mapping[str, str]
    device: torch.device
    threads: int
    introduction: Sequence[str] = ()
    warnings: Sequence[str] = ()


def plan_search(request: SearchRequest) -> SearchPlan:
    """Check the request and fill in every default; the data are loaded, and each optimizer is built once.

    Args:
        request: what is asked for.

    Raises:
        UsageError: whatever the user can put right, naming the value and what is allowed.
    """
    run, options = request.run, request.options
    if not run.arms:
        raise ParameterError("there is no arm to search, give at least one optimizer")
    unknown = [label for label in request.spaces if label not in {arm.label for arm in run.arms}]
    if unknown:
        raise UnknownNameError("arm", unknown[0], [arm.label for arm in run.arms])
    task = _task(run)
    metric = parse_metric(options.metric, task.metrics, run.options.target_loss)
    spaces = {arm.label: _space(arm, task, run.task, request.spaces.get(arm.label)) for arm in run.arms}
    sampler = options.sampler or ("grid" if all(map(is_grid, spaces.values())) else "tpe")
    if sampler not in SAMPLERS:
        raise UnknownNameError("sampler", sampler, SAMPLERS)
    if options.trials is None and sampler != "grid":
        raise ParameterError(f"sampler {sampler!r} needs {argument('trials')}, how many trials each arm gets")
    proposers = {
        label: proposer(sampler, space, options.sampler_seed, metric.direction) for label, space in spaces.items()
    }
    # Workers share the machine's threads.
    shared = max(1, torch.get_num_threads() // options.workers)
    threads = run.options.threads if run.options.threads is not None else shared
    plans = _plans(replace(run, options=replace(run.options, threads=threads)), spaces)
    arms, templates = [], {}
    for arm in run.arms:
        plan, space = plans[arm.label], spaces[arm.label]
        runs = [group[0] for group in plan.groups]
        hyperparameters = runs[0].config.hyperparameters
        templates[arm.label] = TrialTemplate(arm.label, arm.optimizer, space, hyperparameters, runs)
        fixed = {name: _plain_value(value) for name, value in hyperparameters.items() if name not in space}
        searched = {name: plain(dimension) for name, dimension in space.items()}
        identity = {"optimizer": arm.optimizer, "hyperparameters": fixed, "space": searched}
        arms.append(SearchedArm(arm.label, proposers[arm.label], _trials(options.trials, sampler, space), identity))
    first = plans[run.arms[0].label]
    return SearchPlan(
        arms=arms,
        templates=templates,
        metric=metric,
        sampler=sampler,
        common=_common(first, request, metric, sampler),
        problem=first.problem,
        data={name: getattr(first.problem.data.source, name) for name in ("name", "origin", "digest")},
        device=first.device,
        threads=threads,
        introduction=first.introduction,
        warnings=_warnings(arms, options.trials),
    )


def _task(run: Request) -> Task:
    task = registry.any_task(run.task, registry.task_options(run.task, run.task_options))
    if isinstance(task, AdversarialTask):
        raise UsageError(
            f"task {run.task!r} trains two players against each other, whose hyper-parameters no search covers: "
            f"ngbench gan compares values of your own ({argument('players')})"
        )
    return task


def _space(arm: ArmSpec, task: Task, name: str, given: Mapping[str, Any] | None) -> Space:
    """What is searched for the arm."""
    plugin = registry.optimizer(arm.optimizer)
    known = {parameter.name: parameter for parameter in plugin.accepted}
    fixed = plugin.convert(arm.hyperparameters)
    published = given is None
    if given is None:
        given = {key: list(values) for key, values in task.grid.get(arm.optimizer, {}).items() if key not in fixed}
    if not given:
        left = " that is left to search" if published and task.grid.get(arm.optimizer) else ""
        raise ParameterError(
            f"task {name} has no grid for {arm.optimizer}{left}: say what to search with {argument('spaces')}"
        )
    space: dict[str, Dimension] = {}
    for key, wanted in given.items():
        if key in fixed:
            raise ParameterError(
                f"arm {arm.label!r}: {key} is given as {format_value(fixed[key])} and searched as well; do one of both"
            )
        # For the message about a name that the optimizer does not have.
        if key not in known and not plugin.accepts_any:
            plugin.convert({key: None})
        parameter = known.get(key, Parameter(key, Any))
        try:
            space[key] = wanted if isinstance(wanted, Dimension) else read_dimension(parameter, wanted)
        except ParameterError as error:
            raise ParameterError(f"optimizer {plugin.name}: {error}") from None
    return space


def _plans(run: Request, spaces: Mapping[str, Space]) -> dict[str, Plan[Problem]]:
    """A plan for each arm, with one value of what is searched: it checks all that does not depend on the trial."""
    plans: dict[str, Plan[Problem]] = {}
    problem = None
    for arm in run.arms:
        some = {name: _some_value(dimension) for name, dimension in spaces[arm.label].items()}
        filled = replace(arm, hyperparameters={**arm.hyperparameters, **some})
        plans[arm.label] = make_plan(replace(run, arms=[filled]), problem)
        problem = plans[arm.label].problem
    return plans


def _some_value(dimension: Dimension) -> str:
    return format_value(dimension.values[0] if isinstance(dimension, Choice) else dimension.low)


def _trials(asked: int | None, sampler: str, space: Space) -> int:
    points = size(space)
    if sampler == "grid" and points is not None:
        return points if asked is None else min(asked, points)
    assert asked is not None
    return asked


def _common(plan: Plan[Problem], request: SearchRequest, metric: SearchMetric, sampler: str) -> dict[str, Any]:
    """What must be equal for trials to be of one search."""
    config = plan.groups[0][0].config
    return {
        "version": 1,
        "task": config.task,
        "task_options": {name: _plain_value(value) for name, value in config.task_options.items()},
        "data": plan.problem.data.source.digest,
        "batch_size": config.batch_size,
        "dtype": config.dtype,
        "device": plan.device.type,
        "budget": config.budget.as_dict(),
        "target_loss": config.target_loss,
        "seeds": [group[0].config.seed for group in plan.groups],
        "metric": metric.name,
        "direction": metric.direction,
        "sampler": sampler,
        "sampler_seed": request.options.sampler_seed,
        # Left out where there are none, so that searches from before go on.
        **({"conditions": config.conditions} if config.conditions else {}),
    }


def _plain_value(value: Any) -> Any:
    return [_plain_value(item) for item in value] if isinstance(value, (tuple, list)) else value


def _warnings(arms: Sequence[SearchedArm], asked: int | None) -> list[str]:
    if len({arm.trials for arm in arms}) == 1 and (asked is None or arms[0].trials == asked):
        return []
    counts = ", ".join(f"{arm.label} {arm.trials}" for arm in arms)
    if asked is None:
        return [f"the arms have different numbers of trials ({counts}); {argument('trials')} gives all the same"]
    small = ", ".join(arm.label for arm in arms if arm.trials < asked)
    return [f"the grid of {small} has fewer than {asked} points, all of which are tried ({counts})"]
