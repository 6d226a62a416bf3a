"""The same arms with two versions of the code, in turns, and whether one is worse than the other."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ngbench.data.choice import stand_ins_taken
from ngbench.errors import ParameterError, UsageError
from ngbench.experiments.gate import thresholds_for
from ngbench.experiments.gate_rules import SIDES_THRESHOLDS, GateRules
from ngbench.experiments.runs import ExperimentObserver, Place, Ran, make_runs
from ngbench.experiments.sides import other_side, this_side
from ngbench.plugins import registry
from ngbench.records.experiments import GateRecord, ProblemRecord
from ngbench.records.gate import check
from ngbench.records.record import Document, RunRecord
from ngbench.records.thresholds import Threshold, parse_seconds
from ngbench.running.plan import Plan, make_plan
from ngbench.running.programs import ArmRefused, CodeSide, Program, ProgramWorker
from ngbench.running.request import Request, RunOptions
from ngbench.running.schedule import PlannedRun
from ngbench.spelling import are_options, argument, spelled

__all__ = ["Against", "compare_sides"]


@dataclass(frozen=True)
class Against:
    """What runs are compared with, and by which rules.

    Attributes:
        name: of the other side: the path of an environment, or a commit of the repository around the current directory.
        fail_if: thresholds as text; those of the project, else the usual ones, if there are none.
        rules: how is compared.
    """

    name: str
    fail_if: Sequence[str] = field(default_factory=tuple)
    rules: GateRules = field(default_factory=GateRules)


@dataclass
class _Sides:
    """The programs of all arms and what they planned.

    Attributes:
        groups: for each seed, the runs of an arm on this side and on the other, arm by arm.
        workers: what makes the runs, by label.
        baseline: for each label of the other side, the arm's label on this one.
        refused: why the other side cannot run an arm, by its label.
    """

    groups: list[list[PlannedRun]]
    workers: dict[str, ProgramWorker] = field(default_factory=dict)
    baseline: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


def compare_sides(
    request: Request,
    against: Against,
    *,
    place: Place,
    observer: ExperimentObserver,
    reference: str | None = None,
    restarts: int = 1,
) -> Ran:
    """Train the task with each optimizer of this code and of the other, in turns; the verdict is in the document.

    Args:
        request: what to run.
        against: what to compare with.
        place: where records are kept.
        observer: is told what happens.
        reference: the arm that ratios refer to.
        restarts: how many fresh processes make each run, one after the other.

    Raises:
        UsageError: whatever the user can put right, before anything runs.
    """
    if place.resume:
        raise ParameterError(
            f"{argument('resume')} is not allowed with {argument('against')}: both sides have to take turns from the "
            "beginning"
        )
    thresholds, asked_for, origin = thresholds_for(against.fail_if, SIDES_THRESHOLDS)
    floor = parse_seconds(spelled("absolute_floor"), against.rules.absolute_floor)
    plan = make_plan(request)
    plugins = [registry.optimizer(arm.optimizer) for arm in request.arms] + [registry.task_plugin(request.task)]
    with other_side(against.name, plugins) as other, ExitStack() as programs:
        sides = _plan_sides(request, plan, other, programs, observer, fresh=restarts > 1)
        both = replace(plan, groups=sides.groups)
        ran = make_runs(
            both, place=place, observer=observer, own_processes=True, workers=sides.workers, restarts=restarts
        )
    commit = f" ({other.commit[:12]})" if other.commit else ""
    if not ran.interrupted:
        ran.document.gate = _judge(ran.document, sides, thresholds, floor, against, asked_for, reference)
        ran.document.gate.notes.insert(0, f"This side against {against.name}{commit}, thresholds {origin}.")
    return ran


def _plan_sides(
    request: Request,
    plan: Plan[Any],
    other: CodeSide,
    programs: ExitStack,
    observer: ExperimentObserver,
    *,
    fresh: bool,
) -> _Sides:
    """Start a program for each arm on each side and let it plan; ``programs`` ends them. With ``fresh`` each run will
    have one of its own."""
    asked = [_asked(request, run, at) for at, run in enumerate(plan.groups[0])]
    started: list[tuple[Program, Program]] = []
    for at, arm in enumerate(asked):
        label = arm["arm"]["label"]
        pair = []
        for later, (side, shown) in enumerate([(this_side(), label), (other, f"{label}@{other.name}")]):
            program = Program(side, arm, shown, 2 * at + later, told=side is other)
            programs.callback(program.close)
            pair.append(program)
        started.append((pair[0], pair[1]))
    sides = _Sides([[] for _ in plan.groups])
    for runs, (ours, theirs) in zip(zip(*plan.groups, strict=True), started, strict=True):
        label = runs[0].config.label
        # What is wrong with the other side is said before this one is waited for.
        refusal, records = _planned(theirs)
        wrong, own_records = _planned(ours)
        if wrong is not None:
            raise UsageError(wrong.reason)
        _add(sides, runs, ProgramWorker(ours, fresh=fresh), own_records)
        if refusal is None:
            _add(sides, runs, ProgramWorker(theirs, fresh=fresh), records)
            sides.baseline[records[0].label] = label
            continue
        observer.note(f"{label}: {other.name} does not run it: {refusal.reason}")
        if not refusal.new:
            sides.refused[label] = refusal.reason
    return sides


def _planned(program: Program) -> tuple[ArmRefused | None, list[RunRecord]]:
    """Why the side does not run the arm, or what is known of its runs."""
    try:
        return None, program.planned()
    except ArmRefused as refusal:
        return refusal, []


def _add(sides: _Sides, runs: Sequence[PlannedRun], worker: ProgramWorker, records: Sequence[RunRecord]) -> None:
    if (label := records[0].label) in sides.workers:
        raise UsageError(f"two arms are called {label!r}, name them apart with LABEL@NAME")
    for group, run, record in zip(sides.groups, runs, records, strict=True):
        group.append(PlannedRun(replace(run.config, label=record.label), record))
    sides.workers[label] = worker


def _asked(request: Request, run: PlannedRun, at: int) -> dict[str, Any]:
    """The request of one arm, as :func:`ngbench.running.serving.main` reads it; what this side found out is told."""
    config, arm = run.config, request.arms[at]
    found = replace(
        request.options,
        device=config.device,
        threads=config.threads,
        turn_steps=config.turn_steps,
        data_dir=config.data_dir.absolute(),
    )
    usual = RunOptions()
    options = {name: value for name, value in vars(found).items() if value != getattr(usual, name)}
    return {
        "task": request.task,
        "task_options": dict(request.task_options),
        "arm": {"label": arm.label, "optimizer": arm.optimizer, "hyperparameters": dict(arm.hyperparameters)},
        "options": {name: str(value) if isinstance(value, Path) else value for name, value in options.items()},
        "hyperparameters": None if request.tuned is None else str(request.tuned.path.absolute()),
        "as_options": are_options(),
        "stand_ins": sorted(stand_ins_taken()),
    }


def _judge(
    document: Document,
    sides: _Sides,
    thresholds: Sequence[Threshold],
    floor: float,
    against: Against,
    asked_for: bool,
    reference: str | None,
) -> GateRecord:
    """Whether the runs of this side are worse than those of the other."""
    problems = [
        ProblemRecord(subject=label, reason=f"{against.name} cannot run it: {reason}")
        for label, reason in sides.refused.items()
    ]
    baseline = [
        run.model_copy(update={"label": sides.baseline[run.label]})
        for run in document.runs
        if run.label in sides.baseline
    ]
    current = [run for run in document.runs if run.label not in sides.baseline and run.label not in sides.refused]
    strict = against.rules.inconclusive == "fail"
    if not baseline:
        note = f"{against.name} has none of the arms: nothing was compared."
        return GateRecord(comparisons=[], not_comparable=problems, notes=[note], fail_on_inconclusive=strict)
    report = check(
        document.model_copy(update={"runs": current}),
        document.model_copy(update={"runs": baseline}),
        thresholds,
        floor=floor,
        reference=reference if reference in sides.baseline.values() else None,
        asked_for=asked_for,
        fail_on_inconclusive=strict,
        together=True,
    )
    return GateRecord(
        comparisons=report.comparisons,
        not_comparable=[*report.not_comparable, *problems],
        notes=report.notes,
        fail_on_inconclusive=strict,
    )
