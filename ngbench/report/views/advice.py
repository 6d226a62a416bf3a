"""Warnings about what a comparison can and cannot say, each with what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence

from ngbench.plugins.parameters import format_value
from ngbench.plugins.run_parameters import RUN_PARAMETERS
from ngbench.records.record import Document, RunRecord
from ngbench.records.statistics import FAILED, FEWEST_ESTIMATES, curvature_estimates, final_loss
from ngbench.records.timing import busy_machine
from ngbench.report.summary import Arm, arms_of, summarise
from ngbench.report.views.conclusions import endings
from ngbench.running.request import RunOptions
from ngbench.spelling import are_options, argument
from ngbench.units import enumerated

__all__ = ["caveats", "find_warnings"]

_WITHOUT = "without_curvature/"
_MOST_NAMES = 6


def find_warnings(document: Document, *, reference: str | None = None, target_loss: float | None = None) -> list[str]:
    """One sentence or two for each reason to read the tables with care, in the order of their weight."""
    arms = summarise(document, reference=reference, target_loss=target_loss)
    return [warning for _, warnings in _reasons(document, arms) for warning in warnings]


def caveats(document: Document) -> list[str]:
    """What the warnings are about, in one sentence of a few words for each; none where there are none."""
    told = [about for about, warnings in _reasons(document, summarise(document)) if about and any(warnings)]
    return [f"To be read with care, as the warnings say: {enumerated(told)}."] if told else []


def _reasons(document: Document, arms: Sequence[Arm]) -> Iterator[tuple[str | None, Iterable[str]]]:
    """Warnings by what they are about; how arms ended has no words, since a summary tells it anyway."""
    runs = document.runs
    yield "stand-in data", _about_stand_ins(runs)
    yield "different data", _about_data(runs)
    yield "unequal conditions", _about_fairness(document)
    yield "hyper-parameters that no equal search found", _about_settings(document)
    yield "unequal schedules", _about_schedules(document)
    yield None, (warning for arm in arms for warning in _about_outcome(arm))
    yield "parameters without curvature", (warning for arm in arms for warning in _about_curvature(arm))
    yield "few estimates of a curvature", (warning for arm in arms for warning in _about_estimates(arm))
    yield "losses that cannot be reproduced", _about_processes(runs)
    yield "a busy machine", busy_machine(runs)
    yield "imprecise times", _about_precision(arms)
    yield "one seed", _about_seeds(arms)


def _about_stand_ins(runs: Sequence[RunRecord]) -> Iterator[str]:
    for name in dict.fromkeys(run.data.name for run in runs if run.data.origin == "stand-in"):
        yield (
            f"The data are a stand-in for {name}: these losses do not compare with published ones. "
            f"Put the official files into the data directory ({argument('data_dir')}) to use them."
        )


def _about_data(runs: Sequence[RunRecord]) -> Iterator[str]:
    if len({run.data.digest for run in runs}) > 1:
        yield "The runs used different data, so their losses do not compare. Run them again together."


def _about_processes(runs: Sequence[RunRecord]) -> Iterator[str]:
    whole = [run for run in runs if run.status == "done"]
    differing = dict.fromkeys(
        run.label for run in whole if any(made.train_loss != final_loss(run) for made in run.restarts)
    )
    if differing:
        yield (
            f"The training loss of {enumerated([*differing])} is another one in another process, although the seed is "
            "the same. Nothing that it reached can be reproduced."
        )


def _about_fairness(document: Document) -> Iterator[str]:
    runs = document.runs
    for field in ("device", "dtype", "threads"):
        values = dict.fromkeys(str(getattr(run, field)) for run in runs)
        if len(values) > 1:
            yield (
                f"The runs differ in {field} ({', '.join(values)}), so their times do not compare. "
                f"Run them again with one {argument(field)}."
            )
    sizes = sorted({run.batch_size for run in runs})
    if len(sizes) > 1:
        yield (
            f"The runs differ in batch size ({', '.join(map(str, sizes))}), so their steps do not compare; "
            "compare epochs and seconds."
        )
    here = document.environment.machine
    if any(run.environment is not None and run.environment.machine != here for run in runs):
        yield "The runs come from different environments, so times do not compare. Run them again in one."
    seeds = {label: {run.seed for run in arm} for label, arm in arms_of(document).items()}
    if len({frozenset(of_arm) for of_arm in seeds.values()}) > 1:
        yield "The arms ran different seeds, so weights and data order differ. Run all with the same seeds."


def _about_settings(document: Document) -> Iterator[str]:
    """Whose hyper-parameters the arms run on, where that is not the same for all."""
    arms = {label: runs[0].optimizer for label, runs in arms_of(document).items()}
    if len(arms) < 2 or not all(optimizer.origins for optimizer in arms.values()):
        return
    found = {label: optimizer.settings for label, optimizer in arms.items()}
    kinds = set(found.values())
    if len(kinds) == 1 and kinds != {"defaults"}:
        return
    if len(kinds) == 1:
        told = "All arms run on their optimizers' defaults, which may suit some better than others"
    else:
        whose = {label: basis if basis == "defaults" else f"{basis} ones" for label, basis in found.items()}
        each = enumerated([f"{label} on {basis}" for label, basis in whose.items()])
        told = f"The arms run on values of different origin, which may favour some: {each}"
    # A task that was an object in Python has no name that a command takes.
    if not are_options() or document.environment.called_from == "Python":
        yield f"{told}. ngbench.tune searches all equally."
        return
    names = shlex.quote(",".join(dict.fromkeys(optimizer.name for optimizer in arms.values())))
    # A space of their own, because a task need not have one for every optimizer.
    space = " --search lr=1e-4..1:log" if all("lr" in one.hyperparameters for one in arms.values()) else ""
    task = shlex.quote(document.runs[0].task)
    yield f"{told}. Search all equally: ngbench tune {task} -o {names}{space} --trials 8"


def _about_schedules(document: Document) -> Iterator[str]:
    """Where arms differ in what all of a run can have in common."""
    for name in (parameter.name for parameter in RUN_PARAMETERS):
        chosen = {
            label: runs[0].optimizer.hyperparameters.get(name, runs[0].conditions.get(name, getattr(RunOptions, name)))
            for label, runs in arms_of(document).items()
        }
        if len(set(chosen.values())) > 1:
            each = enumerated([f"{label} {format_value(value)}" for label, value in chosen.items()])
            yield (
                f"The arms differ in {name} ({each}), so what tells them apart need not be the optimizer. "
                f"Give all the same ({argument(name)}), or search it for each."
            )


def _about_outcome(arm: Arm) -> Iterator[str]:
    arguments = {name: argument(name) for name in ("batch_size", "resume", "time_limit")}
    for status, told, runs in endings(arm):
        left = " Its losses leave them out." if status in FAILED and len(runs) < len(arm.runs) else ""
        yield f"{told} {_HINTS[status].format(**arguments)}{left}"


_HINTS = {
    "diverged": "Try a smaller learning rate, more damping or KL clipping.",
    "out_of_memory": "Try a smaller batch ({batch_size}).",
    "killed": "Continue it with {resume}, with a smaller batch ({batch_size}) if memory may have been short.",
    "failed": "The record's message says why.",
    "timeout": "Compare at equal time, or give it more ({time_limit}).",
    "interrupted": "Continue it with {resume}.",
    "running": "Continue it with {resume}.",
}


def _about_curvature(arm: Arm) -> Iterator[str]:
    found = (key.partition(_WITHOUT) for run in arm.runs for key in run.diagnostics if _WITHOUT in key)
    names = list(dict.fromkeys(f"{player}{name}" for player, _, name in found))
    if names:
        shown = ", ".join(names[:_MOST_NAMES])
        more = f" and {len(names) - _MOST_NAMES} more, which the record names" if len(names) > _MOST_NAMES else ""
        yield f"Parameters of {arm.label} went without curvature, along their plain gradient: {shown}{more}."


def _about_estimates(arm: Arm) -> Iterator[str]:
    """Whether the curvature was estimated too seldom for the run to say much of it."""
    known = [(len(run.steps.kind), curvature_estimates(run)) for run in arm.runs]
    steps, estimates = min(known, key=lambda found: found[0], default=(0, None))
    if estimates is not None and estimates < FEWEST_ESTIMATES:
        yield (
            f"{arm.label} refreshed its curvature in {estimates} of {steps} steps. "
            f"Run more epochs ({argument('epochs')}), or set a smaller curvature_interval and inverse_interval."
        )


def _about_precision(arms: Sequence[Arm]) -> Iterator[str]:
    timed = [arm for arm in arms if arm.step is not None]
    vague = [arm.label for arm in timed if arm.step is not None and arm.step.error is None]
    if vague:
        yield f"Too few rounds for an interval: {', '.join(vague)}. Run more epochs ({argument('epochs')})."
    wide = [
        arm.label
        for arm in timed
        if arm.ratio is not None and arm.ratio.error is not None and arm.ratio.error > 0.2 * arm.ratio.value
    ]
    if wide:
        yield (
            f"The step time's ratio to the reference is uncertain by more than 20 %: {', '.join(wide)}. "
            f"Run more epochs ({argument('epochs')}) or seeds ({argument('seeds')}) on a quiet machine."
        )
    few = [arm.label for arm in timed if arm.refresh is not None and arm.refresh.n == 1 and arm.label not in vague]
    if few:
        yield (
            f"Refresh steps in one round alone, so their time has no interval: {', '.join(few)}. "
            f"Run more epochs ({argument('epochs')}) or seeds ({argument('seeds')})."
        )


def _about_seeds(arms: Sequence[Arm]) -> Iterator[str]:
    if len(arms) > 1 and all(len(arm.runs) == 1 for arm in arms):
        more = argument("seeds", 3)
        yield f"One seed per arm: losses have no interval, their order may be chance. Run more ({more})."
